//! The client's sockets: DHT node and BitTorrent, each started when first needed.
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use seedbank_dht::{Bootstrap, DhtError, DhtHandle, DhtSettings};
use seedbank_torrent::{TorrentHandle, TorrentSettings};
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::errors::{Exit, Failure};
use crate::obtain::Seen;
use crate::settings::Trusted;

/// How often the servers are asked for evidence by a program that runs on.
const EVIDENCE_EVERY: Duration = Duration::from_secs(300);

/// Sockets bound to one local address.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) ip: IpAddr,
    pub(crate) dht: DhtHandle,
    pub(crate) stop: CancellationToken,
    torrent_port: u16,
    torrent: OnceCell<TorrentHandle>,
    /// When the servers were last asked for evidence.
    asked: std::sync::Mutex<Option<Instant>>,
    /// The snapshot that was read wholly and found right last.
    pub(crate) seen: Mutex<Option<Seen>>,
}

impl Network {
    /// A client's network: the system chooses all ports.
    pub(crate) async fn start(trusted: &Trusted) -> Result<Self, Failure> {
        let dht = dht_settings(trusted, 0)?;
        Self::start_with(trusted.ip, dht, 0).await
    }

    /// The network of a seeder, on ports that others are told. Its DHT node serves, and keeps what it
    /// knows in the file `dht_state`.
    pub(crate) async fn start_on(
        trusted: &Trusted,
        dht_port: u16,
        dht_state: PathBuf,
        torrent_port: u16,
    ) -> Result<Self, Failure> {
        let dht = dht_settings(trusted, dht_port)?.serving().keeping(dht_state);
        Self::start_with(trusted.ip, dht, torrent_port).await
    }

    async fn start_with(ip: IpAddr, dht: DhtSettings, torrent_port: u16) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let dht = seedbank_dht::spawn(dht, stop.clone()).await.map_err(|error| dht_failure(&error))?;
        Ok(Self {
            ip,
            dht,
            stop,
            torrent_port,
            torrent: OnceCell::new(),
            asked: std::sync::Mutex::new(None),
            seen: Mutex::new(None),
        })
    }

    /// Whether it is time to ask the servers for evidence: at first, and for whoever runs on, now and then.
    pub(crate) fn may_ask(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = asked.is_none_or(|at| at.elapsed() > EVIDENCE_EVERY);
        if may {
            *asked = Some(Instant::now());
        }
        may
    }

    /// Ends everything, and waits until what the DHT node knows is on the disk.
    pub(crate) async fn stopped(&self) {
        self.stop.cancel();
        self.dht.closed().await;
    }

    /// The BitTorrent service, started at the first call.
    pub(crate) async fn torrent(&self) -> Result<&TorrentHandle, Failure> {
        self.torrent
            .get_or_try_init(|| async {
                let settings = TorrentSettings::new(SocketAddr::new(self.ip, self.torrent_port));
                let spawned = seedbank_torrent::spawn(settings, self.stop.clone()).await;
                let (torrent, mut events) = spawned.map_err(|error| {
                    Failure::new(Exit::Unexpected, error, "Choose another --torrent-port, or 0, or another --ip.")
                })?;
                tokio::spawn(async move {
                    while let Some(event) = events.recv().await {
                        tracing::debug!(?event, "torrent");
                    }
                });
                Ok(torrent)
            })
            .await
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn dht_settings(trusted: &Trusted, port: u16) -> Result<DhtSettings, Failure> {
    let bootstrap = trusted.file.bootstrap.clone();
    if bootstrap == Bootstrap::None {
        let message = "the trust file names no way into the DHT: nobody can be asked";
        let next = "Add a line `bootstrap = host:port`, or `bootstrap = public`, to the trust file.";
        return Err(Failure::new(Exit::NoPeers, message, next));
    }
    let bind = SocketAddr::new(trusted.ip, port);
    Ok(if trusted.ip.is_loopback() {
        DhtSettings::loopback(bind, bootstrap)
    } else {
        DhtSettings::new(bind, bootstrap)
    })
}

pub(crate) fn dht_failure(error: &DhtError) -> Failure {
    let exit = match error {
        DhtError::NoNodes | DhtError::NoAnswer(_) | DhtError::Unresolved(_) | DhtError::TimedOut => Exit::NoPeers,
        DhtError::LeavesLoopback { .. } | DhtError::OneFamily { .. } => Exit::Usage,
        _ => Exit::Unexpected,
    };
    Failure::new(exit, error, "Check the network, --ip and the bootstrap lines of the trust file.")
}
