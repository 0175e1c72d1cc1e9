//! One server of a testnet: a process that can be killed and come back.
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use seedbank_types::ServerKey;
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::faults::room::Station;
use crate::guard::Guard;
use crate::process::Process;

/// A server with a million accounts scans them all before it listens.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Requests a second that a server off loopback takes from the clients of a run, which share one address.
const API_REQUESTS: &str = "5000";

/// Where a server listens, as it writes itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerAddresses {
    /// Its process.
    pub pid: u32,
    /// HTTP API, `host:port`.
    pub api: String,
    /// Mesh, a multiaddr.
    pub mesh: String,
    /// BitTorrent peers, `host:port`.
    pub torrent: String,
    /// DHT node, `host:port`.
    pub dht: String,
}

/// What a server is started with; the same at every start.
#[derive(Debug, Clone)]
pub(crate) struct ServerPlan {
    pub(crate) program: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) key: ServerKey,
    pub(crate) genesis: PathBuf,
    pub(crate) snapshot: PathBuf,
    pub(crate) ip: Ipv4Addr,
    pub(crate) bootstrap: Vec<String>,
    /// Whether an order is still to add its key.
    pub(crate) joins: bool,
    /// Where it runs, if not simply here.
    pub(crate) station: Option<Station>,
    pub(crate) peer_payments: Option<u32>,
}

/// A server of a testnet, running or killed.
#[derive(Debug)]
pub struct Server {
    plan: ServerPlan,
    guard: Arc<Guard>,
    process: Option<Process>,
    addresses: ServerAddresses,
    api: Api,
}

impl Server {
    pub(crate) async fn start(plan: ServerPlan, guard: Arc<Guard>) -> Result<Self> {
        if let Some(station) = &plan.station {
            station.mount_disk(&plan.home)?;
            set_clock(&plan.clock(), 0)?;
        }
        let mut process = plan.run([0; 4], &guard)?;
        let addresses: ServerAddresses = process.addresses(START_LIMIT).await?;
        let api = Api::new(&addresses.api)?;
        Ok(Self { plan, guard, process: Some(process), addresses, api })
    }

    /// Starts it again after it was killed, at the addresses it had, and waits until it listens.
    pub async fn restart(&mut self) -> Result<()> {
        self.launch()?;
        self.listening().await
    }

    /// Starts it again, at the addresses it had; its home says the rest.
    pub fn launch(&mut self) -> Result<()> {
        let before = &self.addresses;
        let ports = [&before.mesh, &before.torrent, &before.dht, &before.api].map(|address| port(address));
        self.process = Some(self.plan.run(ports, &self.guard)?);
        Ok(())
    }

    /// Waits until it listens after [`Server::launch`].
    pub async fn listening(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the server does not run")?;
        self.addresses = process.addresses(START_LIMIT).await?;
        self.api = Api::new(&self.addresses.api)?;
        Ok(())
    }

    /// kill -9.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM, then waits for its end.
    pub async fn stop(&mut self, limit: Duration) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(limit).await,
            None => Ok(()),
        }
    }

    /// Waits until it ends in order by itself.
    pub async fn left(&mut self, limit: Duration) -> Result<()> {
        self.process.take().context("the server does not run")?.gone(limit).await
    }

    /// Waits until it has ended by itself, in whatever way; gives its exit code, if no signal ended it.
    pub async fn ended(&mut self, limit: Duration) -> Result<Option<i32>> {
        let process = self.process.as_mut().context("the server does not run")?;
        let status = process.end(limit).await?;
        self.process = None;
        Ok(status.code())
    }

    /// Stops it in the midst of whatever it does (SIGSTOP).
    pub fn freeze(&self) -> Result<()> {
        self.process.as_ref().context("the server does not run")?.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<()> {
        self.process.as_ref().context("the server does not run")?.signal(Signal::CONT)
    }

    /// Sets its clock so many seconds off, if it has one of its own; it notices within a second.
    pub fn set_clock(&self, offset_s: i64) -> Result<()> {
        set_clock(&self.plan.clock(), offset_s)
    }

    /// Takes a disk of its own away again; the server must not run.
    pub(crate) fn unmount(&self) -> Result<()> {
        self.plan.station.as_ref().map_or(Ok(()), |station| station.unmount_disk(&self.plan.home))
    }

    /// Whether it was started and not killed or stopped since.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its name: that of its directory.
    #[must_use]
    pub fn name(&self) -> String {
        self.plan.home.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its public key.
    #[must_use]
    pub const fn key(&self) -> ServerKey {
        self.plan.key
    }

    /// The file of its secret key.
    #[must_use]
    pub fn key_file(&self) -> &Path {
        &self.plan.key_file
    }

    /// Its directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.plan.home
    }

    /// Its log, of all its runs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.plan.home.join("log")
    }

    /// Where it listens, or did.
    #[must_use]
    pub const fn addresses(&self) -> &ServerAddresses {
        &self.addresses
    }

    /// Its API.
    #[must_use]
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// An error with the end of its log if it has ended by itself.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check_alive)
    }

    /// Memory it holds, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let process = self.process.as_ref().context("the server does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no line VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }
}

impl ServerPlan {
    fn run(&self, ports: [u16; 4], guard: &Arc<Guard>) -> Result<Process> {
        let args = self.args(ports);
        let Some(station) = &self.station else { return Process::start(&self.program, &args, &self.home, guard) };
        let (program, args) = station.wrapped(&self.clock(), &self.program, args);
        Process::start(Path::new(&program), &args, &self.home, guard)
    }

    /// The file that says how far off its clock is.
    fn clock(&self) -> PathBuf {
        self.home.with_extension("clock")
    }

    /// The ports of mesh, torrent, DHT and API; 0: the system chooses.
    fn args(&self, ports: [u16; 4]) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["run".into()];
        let files = [
            ("--home", &self.home),
            ("--genesis", &self.genesis),
            ("--snapshot", &self.snapshot),
            ("--key", &self.key_file),
        ];
        for (flag, path) in files {
            args.extend([flag.into(), path.into()]);
        }
        args.extend(["--ip".into(), self.ip.to_string().into()]);
        if !self.ip.is_loopback() {
            args.extend(["--api-ip".into(), self.ip.to_string().into()]);
            args.extend(["--api-requests".into(), API_REQUESTS.into()]);
        }
        for (flag, port) in ["--mesh-port", "--torrent-port", "--dht-port", "--api-port"].into_iter().zip(ports) {
            args.extend([flag.into(), port.to_string().into()]);
        }
        if self.joins {
            args.push("--join".into());
        }
        if let Some(number) = self.peer_payments {
            args.extend(["--peer-payments".into(), number.to_string().into()]);
        }
        for host in &self.bootstrap {
            args.extend(["--bootstrap".into(), host.into()]);
        }
        args
    }
}

/// Replaced in one step: it may be read at any moment.
fn set_clock(file: &Path, offset_s: i64) -> Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{offset_s:+}s\n"))?;
    std::fs::rename(&new, file).with_context(|| format!("{} cannot be written", file.display()))
}

/// The port of `host:port` or of a multiaddr; 0 if there is none, and then the system chooses again.
fn port(address: &str) -> u16 {
    let last = match address.split_once("/tcp/") {
        Some((_, rest)) => rest.split('/').next(),
        None => address.rsplit(':').next(),
    };
    last.and_then(|port| port.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::port;

    #[test]
    fn ports_are_found_in_both_forms() {
        assert_eq!(port("127.1.0.1:4711"), 4711);
        assert_eq!(port("/ip4/127.1.0.1/tcp/4711/p2p/12D3KooW"), 4711);
        assert_eq!(port("nowhere"), 0);
    }
}
