//! Light clients and seeders: the real `seedbank`, each with a directory and an address of its own.
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::Command;

use crate::guard::Guard;
use crate::process::Process;
use crate::testnet::ProcessDescription;

const START_LIMIT: Duration = Duration::from_secs(30);
/// No command of these tests may take longer.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A light client: it keeps what it knows in its home, between one command and the next.
#[derive(Debug, Clone)]
pub struct LightClient {
    program: PathBuf,
    home: PathBuf,
    trust_file: PathBuf,
    ip: Ipv4Addr,
}

/// How a command of `seedbank` ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; -1 if a signal ended it.
    pub exit: i32,
    /// The one JSON object that it printed.
    pub json: Value,
    /// What it took.
    pub duration: Duration,
}

impl LightClient {
    pub(crate) fn new(program: &Path, home: PathBuf, trust_file: &Path, ip: Ipv4Addr) -> Result<Self> {
        std::fs::create_dir_all(&home).with_context(|| format!("{} cannot be made", home.display()))?;
        Ok(Self { program: program.to_owned(), home, trust_file: trust_file.to_owned(), ip })
    }

    /// The same client with another trust file.
    #[must_use]
    pub fn trusting(self, trust_file: &Path) -> Self {
        Self { trust_file: trust_file.to_owned(), ..self }
    }

    /// Runs a command to its end, whatever that is.
    pub async fn run(&self, args: &[&str]) -> Result<Outcome> {
        let start = Instant::now();
        let output = Command::new(&self.program)
            .args(args)
            .args(self.common_args())
            .arg("--json")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(COMMAND_LIMIT, output).await;
        let output = output.with_context(|| format!("`seedbank {}` does not end", args.join(" ")))??;
        let said = String::from_utf8_lossy(&output.stdout);
        let json = serde_json::from_str(&said).with_context(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("`seedbank {}` did not print one JSON object but {said:?}; {complaint}", args.join(" "))
        })?;
        Ok(Outcome { exit: output.status.code().unwrap_or(-1), json, duration: start.elapsed() })
    }

    /// Runs a command that must succeed.
    pub async fn succeed(&self, args: &[&str]) -> Result<Outcome> {
        let outcome = self.run(args).await?;
        ensure!(
            outcome.exit == 0,
            "`seedbank {}` ended with exit code {}: {}",
            args.join(" "),
            outcome.exit,
            outcome.json
        );
        Ok(outcome)
    }

    pub(crate) async fn seed(&self, guard: &Arc<Guard>) -> Result<Seeder> {
        Seeder::start(&self.program, &self.home, &self.trust_file, self.ip, guard).await
    }

    /// Its directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    fn common_args(&self) -> Vec<OsString> {
        common_args(&self.home, &self.trust_file, self.ip)
    }
}

/// Where a seeder listens, as it writes itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SeederAddresses {
    /// Its process.
    pub pid: u32,
    /// BitTorrent peers, `host:port`.
    pub torrent: String,
    /// DHT node, `host:port`.
    pub dht: String,
}

/// A community seeder: `seedbank seed`.
#[derive(Debug)]
pub struct Seeder {
    program: PathBuf,
    trust_file: PathBuf,
    ip: Ipv4Addr,
    guard: Arc<Guard>,
    process: Process,
    addresses: SeederAddresses,
}

impl Seeder {
    pub(crate) async fn start(
        program: &Path,
        home: &Path,
        trust_file: &Path,
        ip: Ipv4Addr,
        guard: &Arc<Guard>,
    ) -> Result<Self> {
        let mut args: Vec<OsString> = ["seed", "--torrent-port", "0", "--dht-port", "0"].map(OsString::from).into();
        args.extend(common_args(home, trust_file, ip));
        let mut process = Process::start(program, &args, home, guard)?;
        let addresses = process.addresses(START_LIMIT).await?;
        let (program, trust_file) = (program.to_owned(), trust_file.to_owned());
        Ok(Self { program, trust_file, ip, guard: Arc::clone(guard), process, addresses })
    }

    /// kill -9, and starts it again.
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.process.kill().await?;
        *self = Self::start(&self.program, self.process.home(), &self.trust_file, self.ip, &self.guard).await?;
        Ok(())
    }

    /// SIGTERM, then waits for its end.
    pub async fn stop(&mut self, limit: Duration) -> Result<()> {
        self.process.stop(limit).await
    }

    /// An error with the end of its log if it has ended by itself.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.check_alive()
    }

    /// Whether it holds a verified snapshot: those have their name only once they are verified.
    pub fn has_snapshot(&self) -> Result<bool> {
        Ok(!snapshots_below(self.process.home())?.is_empty())
    }

    pub(crate) fn describe(&self) -> ProcessDescription {
        ProcessDescription {
            pid: self.addresses.pid,
            api: None,
            mesh: None,
            torrent: self.addresses.torrent.clone(),
            home: self.process.home().to_owned(),
            log: self.process.log(),
        }
    }
}

/// All snapshot files below a directory.
pub fn snapshots_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(snapshots_below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "snapshot") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn common_args(home: &Path, trust_file: &Path, ip: Ipv4Addr) -> Vec<OsString> {
    let flags = [("--home", home.as_os_str()), ("--trust", trust_file.as_os_str())];
    let args = flags.into_iter().flat_map(|(flag, value)| [OsString::from(flag), value.to_owned()]);
    args.chain(["--ip".into(), ip.to_string().into()]).collect()
}
