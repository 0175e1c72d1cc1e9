//! Programs that know nothing of Seedbank, as child processes.
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// A program that starts or answers later than this hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dht_interop");
/// Names those that `.ci/prepare.sh` has found or installed: a test must not miss them in silence.
const PROMISED: &str = "SEEDBANK_INTEROP";

/// A DHT library that a script of ours drives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Library {
    /// C++, by its Python package.
    Libtorrent,
    /// JavaScript: the DHT of webtorrent.
    BittorrentDht,
}

impl Library {
    /// Whether it is installed.
    pub(crate) fn is_here(self) -> bool {
        match self {
            Self::Libtorrent => is_here("libtorrent", &python()),
            Self::BittorrentDht => is_here("bittorrent-dht", &node_modules().join("bittorrent-dht")),
        }
    }

    fn command(self) -> Command {
        let mut command = match self {
            Self::Libtorrent => Command::new(python()),
            Self::BittorrentDht => Command::new("node"),
        };
        command.arg(Path::new(SCRIPTS).join(match self {
            Self::Libtorrent => "libtorrent_node.py",
            Self::BittorrentDht => "bittorrent_dht.mjs",
        }));
        command.env("INTEROP_NODE_MODULES", node_modules());
        command
    }
}

fn tools() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/seedbank/tools");
    std::env::var_os("SEEDBANK_TOOLS").map_or_else(home, PathBuf::from).join("interop")
}

fn python() -> PathBuf {
    tools().join("python/bin/python")
}

fn node_modules() -> PathBuf {
    tools().join("node_modules")
}

/// Whether a program is at this path; if not, says that its test is skipped. One that was promised must be there.
pub(crate) fn is_here(name: &str, path: &Path) -> bool {
    let here = path.exists();
    let promised = std::env::var(PROMISED).unwrap_or_default();
    assert!(here || !promised.split_whitespace().any(|word| word == name), "{name} is not at {}", path.display());
    if !here {
        eprintln!("SKIPPED: {name} is not at {} (tests/run.sh installs it where it can)", path.display());
    }
    here
}

/// Where a program is, if it is in one of the usual places.
pub(crate) fn in_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| Path::new("PATH").join(name))
}

/// A running node of somebody else's DHT library. It ends when this is dropped.
pub(crate) struct Program {
    address: SocketAddr,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Program {
    /// Starts a node whose only way into the DHT is `bootstrap`, and waits until it is ready.
    pub(crate) async fn start(library: Library, ip: IpAddr, bootstrap: Option<SocketAddr>) -> Result<Self> {
        let mut command = library.command();
        command.arg(ip.to_string()).args(bootstrap.map(|address| address.to_string()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let input = child.stdin.take().context("it was asked for")?;
        let lines = BufReader::new(child.stdout.take().context("it was asked for")?).lines();
        let mut program = Self { address: SocketAddr::new(ip, 0), input, lines, _child: child };
        let ready = program.answer().await?;
        program.address.set_port(u16::try_from(ready["port"].as_u64().context("it says its port")?)?);
        Ok(program)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives it a command and waits for the answer.
    pub(crate) async fn ask(&mut self, command: &Value) -> Result<Value> {
        self.input.write_all(format!("{command}\n").as_bytes()).await?;
        let answer = self.answer().await?;
        ensure!(answer["error"].is_null(), "{command} failed: {answer}");
        Ok(answer)
    }

    async fn answer(&mut self) -> Result<Value> {
        match timeout(ANSWER_LIMIT, self.lines.next_line()).await.context("the program hangs")?? {
            Some(line) => Ok(serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?),
            None => bail!("the program has ended"),
        }
    }
}

/// A command that ends when it is dropped, and writes its log to `log`.
pub(crate) fn logged(program: impl AsRef<OsStr>, log: &Path) -> Result<Command> {
    let log = std::fs::File::create(log)?;
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    Ok(command)
}
