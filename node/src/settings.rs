//! From flags and configuration file to checked settings.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use seedbank_types::{BODY_BYTES_MAX, Bootstrap, STAMP_BITS_MAX};
use tracing_subscriber::EnvFilter;

use crate::cli::{RunArguments, RunFlags};
use crate::exit::Failure;
use crate::stamps::Stamps;

const MESH_PORT: u16 = 6882;
const TORRENT_PORT: u16 = 6881;
const DHT_PORT: u16 = 6881;
const API_PORT: u16 = 6883;
const BATCH_BYTES: usize = 1 << 20;
/// A batch must have room for one longest payment.
const BATCH_BYTES_MIN: usize = 1 << 10;
/// So many bits more are asked for at most when there is no room, unless set otherwise.
const STAMP_BITS_MORE: u8 = 6;
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// The agreement engine tells its inner life at `info`; people are not interested in it.
/// Nor in a proposal that this server will not vote for, of which it says more itself.
const QUIET: &str = "arc_malachitebft_core_consensus=warn,arc_malachitebft_core_consensus::state=error,arc_malachitebft_core_state_machine=warn,\
arc_malachitebft_core_driver=warn,arc_malachitebft_core_votekeeper=warn,arc_malachitebft_core_types=warn,\
librqbit=warn,librqbit_tracker_comms=warn,libp2p_swarm=warn,libp2p_gossipsub=error";

/// Everything that `run` needs to know, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) home: PathBuf,
    pub(crate) genesis: Option<PathBuf>,
    pub(crate) snapshot: Option<PathBuf>,
    pub(crate) key: PathBuf,
    pub(crate) mesh: SocketAddr,
    pub(crate) torrent: SocketAddr,
    pub(crate) dht: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) log: String,
    pub(crate) batch_bytes: usize,
    /// For how many epochs bodies are kept; a week's, unless set.
    pub(crate) keep_batches: Option<u64>,
    /// How many batches behind the others a snapshot is taken instead, unless it is the quorum's default.
    pub(crate) snapshot_after: Option<u64>,
    /// What strangers' payments must carry.
    pub(crate) stamps: Stamps,
    /// Payments a second that one address may hand in.
    pub(crate) peer_payments: Option<u32>,
    /// Requests a second that one address may make at the HTTP API.
    pub(crate) api_requests: Option<NonZeroU32>,
    /// Whether the key may be one that an order is still to add.
    pub(crate) join: bool,
}

impl Settings {
    /// Flags first, then the configuration file, then defaults.
    pub(crate) fn read(arguments: RunArguments) -> Result<Self, Failure> {
        let RunArguments { home, config, flags } = arguments;
        let config = match config {
            Some(path) => read_config(&path)?,
            None => match home.join("config.toml") {
                path if path.exists() => read_config(&path)?,
                _ => RunFlags::default(),
            },
        };
        Self::check(home, flags, config).map_err(Failure::Usage)
    }

    fn check(home: PathBuf, flags: RunFlags, config: RunFlags) -> anyhow::Result<Self> {
        let ip = flags.ip.or(config.ip).unwrap_or(Ipv4Addr::LOCALHOST);
        if ip.is_unspecified() {
            bail!("ip is {ip}: it must be the very address at which other servers reach this one");
        }
        let api_ip = if ip.is_loopback() { IpAddr::V4(ip) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let api_ip = flags.api_ip.or(config.api_ip).unwrap_or(api_ip);
        let at = |flag: Option<u16>, config: Option<u16>, default| {
            SocketAddr::from((ip, flag.or(config).unwrap_or(default)))
        };
        let log = flags.log.or(config.log).unwrap_or_else(|| "info".to_owned());
        EnvFilter::try_new(&log).with_context(|| format!("log is {log:?}"))?;
        let bootstrap = if flags.bootstrap.is_empty() { config.bootstrap } else { flags.bootstrap };
        let api_port = flags.api_port.or(config.api_port).unwrap_or(API_PORT);
        Ok(Self {
            genesis: flags.genesis.or(config.genesis),
            snapshot: flags.snapshot.or(config.snapshot),
            key: flags.key.or(config.key).unwrap_or_else(|| home.join("key")),
            mesh: at(flags.mesh_port, config.mesh_port, MESH_PORT),
            torrent: at(flags.torrent_port, config.torrent_port, TORRENT_PORT),
            dht: at(flags.dht_port, config.dht_port, DHT_PORT),
            api: SocketAddr::new(api_ip, api_port),
            bootstrap: bootstrap_of(&bootstrap)?,
            batch_bytes: batch_bytes(flags.batch_bytes.or(config.batch_bytes))?,
            keep_batches: flags.keep_batches.or(config.keep_batches),
            snapshot_after: flags.snapshot_after.or(config.snapshot_after),
            stamps: stamps(flags.stamp_bits.or(config.stamp_bits), flags.stamp_bits_max.or(config.stamp_bits_max))?,
            peer_payments: flags.peer_payments.or(config.peer_payments),
            api_requests: flags.api_requests.or(config.api_requests),
            join: flags.join || config.join,
            home,
            log,
        })
    }

    /// What is logged.
    pub(crate) fn log_filter(&self) -> EnvFilter {
        let filter = format!("{QUIET},{}", self.log);
        EnvFilter::try_new(&filter).unwrap_or_else(|_odd| EnvFilter::new("info"))
    }
}

fn read_config(path: &Path) -> Result<RunFlags, Failure> {
    let missing = "write it, or leave --config out and give flags";
    let metadata = std::fs::metadata(path);
    let length = metadata.map_err(|error| Failure::unreadable("configuration file", path, &error, missing))?.len();
    let read = || -> anyhow::Result<RunFlags> {
        if length > CONFIG_BYTES_MAX {
            bail!("it is longer than 1 MiB");
        }
        Ok(toml::from_str(&std::fs::read_to_string(path)?)?)
    };
    read().with_context(|| format!("configuration file {}", path.display())).map_err(Failure::Usage)
}

fn batch_bytes(given: Option<usize>) -> anyhow::Result<usize> {
    let bytes = given.unwrap_or(BATCH_BYTES);
    if (BATCH_BYTES_MIN..=BODY_BYTES_MAX).contains(&bytes) {
        return Ok(bytes);
    }
    bail!("batch-bytes is {bytes}: it must be from {BATCH_BYTES_MIN} to {BODY_BYTES_MAX}")
}

fn stamps(least: Option<u8>, most: Option<u8>) -> anyhow::Result<Stamps> {
    let least = least.unwrap_or(0);
    let most = most.unwrap_or_else(|| least.saturating_add(STAMP_BITS_MORE).min(STAMP_BITS_MAX.max(least)));
    Stamps::new(least, most).with_context(|| {
        format!("stamp-bits is {least} and stamp-bits-max {most}: they must rise, to {STAMP_BITS_MAX} at most")
    })
}

/// The `bootstrap` lines of flags, configuration or trust file: hosts, or `public` alone.
pub(crate) fn bootstrap_of(lines: &[String]) -> anyhow::Result<Bootstrap> {
    if lines.is_empty() {
        return Ok(Bootstrap::None);
    }
    if lines.iter().any(|line| line == "public") {
        return if lines.len() == 1 { Ok(Bootstrap::Public) } else { bail!("bootstrap is either `public` or hosts") };
    }
    for line in lines {
        let port = line.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        port.filter(|port| *port != 0)
            .ok_or_else(|| anyhow!("bootstrap is {line:?}; it must be host:port or `public`"))?;
    }
    Ok(Bootstrap::Hosts(lines.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(home: &Path, flags: RunFlags) -> RunArguments {
        RunArguments { home: home.to_owned(), config: None, flags }
    }

    fn with_config(text: &str, flags: RunFlags) -> Result<Settings, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("config.toml"), text).expect("writable");
        Settings::read(arguments(dir.path(), flags))
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let flags = RunFlags { mesh_port: Some(1), ..RunFlags::default() };
        let settings = with_config("ip = \"127.1.0.3\"\nmesh-port = 2\ndht-port = 3\n", flags).expect("good");
        assert_eq!(settings.mesh, "127.1.0.3:1".parse().expect("an address"));
        assert_eq!(settings.dht, "127.1.0.3:3".parse().expect("an address"));
        assert_eq!(settings.torrent, "127.1.0.3:6881".parse().expect("an address"));
        assert_eq!(settings.api, "127.1.0.3:6883".parse().expect("an address"));
        assert_eq!(settings.bootstrap, Bootstrap::None);
    }

    #[test]
    fn the_api_stays_on_loopback_unless_told_otherwise() {
        let settings = with_config("ip = \"192.0.2.1\"", RunFlags::default()).expect("good");
        assert_eq!(settings.api, "127.0.0.1:6883".parse().expect("an address"));
    }

    #[test]
    fn errors_name_file_and_key() {
        for (text, named) in [
            ("mesh-prot = 1", "mesh-prot"),
            ("mesh-port = 70000", "mesh-port"),
            ("ip = \"here\"", "ip"),
            ("bootstrap = \"public\"", "bootstrap"),
        ] {
            let error = with_config(text, RunFlags::default()).expect_err(text).to_string();
            assert!(error.contains("config.toml") && error.contains(named), "{error}");
        }
        for (text, named) in [
            ("bootstrap = [\"public\", \"a:1\"]", "bootstrap"),
            ("bootstrap = [\"a\"]", "bootstrap"),
            ("batch-bytes = 3", "batch-bytes"),
            ("stamp-bits = 41", "stamp-bits"),
            ("stamp-bits = 9\nstamp-bits-max = 8", "stamp-bits"),
            ("log = \"=\"", "log"),
            ("ip = \"0.0.0.0\"", "ip"),
        ] {
            let error = with_config(text, RunFlags::default()).expect_err(text).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
