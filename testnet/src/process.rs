//! One process of a testnet: its home, its log, where it listens, how it ends.
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::guard::Guard;

const POLL_PAUSE: Duration = Duration::from_millis(20);
/// How much of a log is shown when its process failed.
const LOG_LINES_SHOWN: usize = 12;

/// A running process, or one that has ended.
#[derive(Debug)]
pub struct Process {
    name: String,
    home: PathBuf,
    pid: u32,
    child: Child,
    guard: Arc<Guard>,
}

impl Process {
    /// Starts `program` with its output in `home/log`.
    ///
    /// `addresses.json` of an earlier run is removed: the file says that this run listens.
    pub fn start(program: &Path, args: &[OsString], home: &Path, guard: &Arc<Guard>) -> Result<Self> {
        std::fs::create_dir_all(home).with_context(|| format!("{} cannot be made", home.display()))?;
        remove_if_there(&home.join("addresses.json"))?;
        let log = open_log(&home.join("log"))?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("the log cannot be opened twice")?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let pid = child.id().context("a process that was just started has a number")?;
        guard.watch(pid)?;
        let name = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, home: home.to_owned(), pid, child, guard: Arc::clone(guard) })
    }

    /// Its number.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Its directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Waits until it has written where it listens.
    pub async fn addresses<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T> {
        let path = self.home.join("addresses.json");
        let deadline = Instant::now() + limit;
        loop {
            self.check_alive()?;
            // Half a file does not parse, and is read again.
            if let Ok(Ok(addresses)) = std::fs::read(&path).map(|bytes| serde_json::from_slice(&bytes)) {
                return Ok(addresses);
            }
            if Instant::now() > deadline {
                bail!("{} does not say in {} s that it listens; {}", self.name, limit.as_secs(), self.end_of_log());
            }
            sleep(POLL_PAUSE).await;
        }
    }

    /// An error with the end of the log if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("the state of {} is not known", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} has ended by itself ({status}); {}", self.name, self.end_of_log()),
        }
    }

    /// Asks it to stop (SIGTERM) and waits; one that does not stop in time is killed, and an error.
    pub async fn stop(&mut self, limit: Duration) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            self.signal(Signal::TERM)?;
        }
        match timeout(limit, self.child.wait()).await {
            Ok(status) => self.ended(status?),
            Err(_elapsed) => {
                self.kill().await?;
                bail!("{} did not stop within {} s; {}", self.name, limit.as_secs(), self.end_of_log())
            }
        }
    }

    /// Waits until it ends in order by itself; one that does not in time is killed, and an error.
    pub async fn gone(&mut self, limit: Duration) -> Result<()> {
        match timeout(limit, self.child.wait()).await {
            Ok(status) => self.ended(status?),
            Err(_elapsed) => {
                self.kill().await?;
                bail!("{} did not end within {} s; {}", self.name, limit.as_secs(), self.end_of_log())
            }
        }
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("{} cannot be killed", self.name))?;
        self.guard.forget(self.pid)
    }

    /// Waits until it has ended by itself, in whatever way.
    pub async fn end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let ended = timeout(limit, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} does not end; {}", self.name, self.end_of_log()))??;
        self.guard.forget(self.pid)?;
        Ok(status)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a process number is above 0")?;
        kill_process(pid, signal).with_context(|| format!("{} cannot be signalled", self.name))
    }

    fn ended(&self, status: ExitStatus) -> Result<()> {
        self.guard.forget(self.pid)?;
        if status.success() {
            return Ok(());
        }
        bail!("{} stopped with {status}; {}", self.name, self.end_of_log())
    }

    fn end_of_log(&self) -> String {
        let path = self.log();
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n    ");
        format!("the end of its log {}:\n    {end}", path.display())
    }
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
