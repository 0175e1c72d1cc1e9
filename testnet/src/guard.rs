//! The guard: a process of its own that leaves no orphans when a testnet dies a violent death.
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const GRACE: Duration = Duration::from_secs(10);
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// The running guard, seen from the testnet. It is told who lives, on a pipe; when the pipe closes,
/// for whatever reason, it ends those who still do.
#[derive(Debug)]
pub struct Guard {
    pipe: Mutex<Option<ChildStdin>>,
    process: Mutex<Child>,
}

impl Guard {
    /// Starts the guard, which is the program `testnet` again.
    pub fn start(testnet: &Path) -> Result<Self> {
        // A group of its own, so that Ctrl-C in a terminal does not end the guard first.
        let mut process = Command::new(testnet)
            .arg("guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} does not start", testnet.display()))?;
        let pipe = process.stdin.take();
        Ok(Self { pipe: Mutex::new(pipe), process: Mutex::new(process) })
    }

    /// From now on the process is to be ended with the testnet.
    pub fn watch(&self, pid: u32) -> Result<()> {
        self.say('+', pid)
    }

    /// The process has ended; its number may become another's.
    pub fn forget(&self, pid: u32) -> Result<()> {
        self.say('-', pid)
    }

    fn say(&self, sign: char, pid: u32) -> Result<()> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = pipe.as_mut().context("the guard of the testnet is closed")?;
        writeln!(pipe, "{sign}{pid}").context("the guard of the testnet has died")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take());
        // It ends by itself; waiting for it here only keeps it from becoming a zombie.
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = process.wait() {
            tracing::warn!(%error, "the guard of the testnet did not end");
        }
    }
}

/// What the guard's process does: reads until the pipe closes, then ends who is left.
pub fn run(input: impl BufRead) -> Result<()> {
    let mut alive = BTreeMap::new();
    for line in input.lines() {
        // A pipe that breaks is a pipe that closes.
        let Ok(line) = line else { break };
        let (sign, number) = line.split_at_checked(1).unwrap_or_default();
        let number: i32 = number.parse().with_context(|| format!("{line:?} is no process"))?;
        let pid = Pid::from_raw(number).with_context(|| format!("{line:?} is no process"))?;
        match sign {
            "+" => alive.insert(number, pid),
            _ => alive.remove(&number),
        };
    }
    end_all(&alive);
    Ok(())
}

fn end_all(alive: &BTreeMap<i32, Pid>) {
    signal_all(alive, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while alive.values().any(|pid| test_kill_process(*pid).is_ok()) && Instant::now() < deadline {
        std::thread::sleep(POLL_PAUSE);
    }
    signal_all(alive, Signal::KILL);
}

/// A process that has ended already is what is wanted, so an error says nothing.
fn signal_all(alive: &BTreeMap<i32, Pid>, signal: Signal) {
    for pid in alive.values() {
        if let Err(error) = kill_process(*pid, signal) {
            tracing::debug!(?pid, %error, "not signalled");
        }
    }
}
