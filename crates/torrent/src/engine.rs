//! The BitTorrent engine behind our words: the only place besides `storage` that knows `librqbit`.
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use librqbit::{
    AddTorrent, AddTorrentOptions, AddTorrentResponse, ConnectionOptions, ListOnlyResponse, ListenerMode,
    ListenerOptions, ManagedTorrent, PeerConnectionOptions, Session, SessionOptions, TorrentStatsState,
    api::TorrentIdOrHash, storage::StorageFactoryExt,
};
use librqbit_core::Id20;
use seedbank_types::InfoHash;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{FetchError, TorrentError},
    metainfo::Metainfo,
    service::{TorrentSettings, TorrentStats},
    storage::{Access, OneFileFactory},
};

/// A peer that does not accept a connection in this time is left alone for a while.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing comes for this long is closed.
const READ_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// One session of the engine.
#[derive(Clone)]
pub(crate) struct Engine {
    session: Arc<Session>,
    listen: SocketAddr,
}

/// Where a torrent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// What is on disk is being hashed.
    Checking,
    /// Peers are served and asked.
    Live,
    /// The engine gave up.
    Failed(String),
}

/// A torrent in the engine.
pub(crate) struct Torrent(Arc<ManagedTorrent>);

impl Engine {
    /// Starts to listen. Everything of it ends with `stop`.
    pub(crate) async fn start(settings: &TorrentSettings, stop: CancellationToken) -> Result<Self, TorrentError> {
        let failed = |why| TorrentError::Listen { listen: settings.listen, why };
        let session = Session::new_with_opts(PathBuf::new(), session_options(settings, stop))
            .await
            .map_err(|error| failed(format!("{error:#}")))?;
        let listen = session.listen_addr().ok_or_else(|| failed("no listener was started".to_owned()))?;
        Ok(Self { session, listen })
    }

    /// The address that is really listened on.
    pub(crate) const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Carries the file at `path` and connects to `peers`; the check of what is there has begun on return.
    pub(crate) async fn add(
        &self,
        metainfo: &Metainfo,
        path: &Path,
        access: Access,
        peers: Vec<SocketAddr>,
    ) -> Result<Torrent, String> {
        let factory = OneFileFactory { info_hash: metainfo.info_hash(), path: path.to_owned(), access };
        let options = AddTorrentOptions {
            storage_factory: Some(factory.boxed()),
            initial_peers: Some(peers),
            overwrite: true,
            ..Default::default()
        };
        let torrent = AddTorrent::from_bytes(metainfo.to_torrent_bytes());
        match self.session.add_torrent(torrent, Some(options)).await {
            Ok(AddTorrentResponse::Added(_, torrent)) => Ok(Torrent(torrent)),
            Ok(_) => Err("it is carried already".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// Asks one peer for the metainfo. `Err(None)` says that the peer did not give it.
    pub(crate) async fn ask_metainfo(
        &self,
        info_hash: InfoHash,
        peer: SocketAddr,
    ) -> Result<Metainfo, Option<FetchError>> {
        let options = AddTorrentOptions { list_only: true, initial_peers: Some(vec![peer]), ..Default::default() };
        let torrent = AddTorrent::from_url(info_hash.to_string());
        match self.session.add_torrent(torrent, Some(options)).await {
            Ok(AddTorrentResponse::ListOnly(listed)) => our_metainfo(info_hash, &listed).map_err(Some),
            Ok(_) => Err(None),
            Err(error) => {
                tracing::debug!(%peer, %info_hash, "the peer gave no metainfo: {error:#}");
                Err(None)
            }
        }
    }

    /// Drops a torrent with its connections and its open file; the file stays.
    pub(crate) async fn remove(&self, info_hash: InfoHash) {
        if let Err(error) = self.session.delete(id(info_hash), false).await {
            tracing::debug!(%info_hash, "nothing to remove: {error:#}");
        }
    }

    /// What a torrent has done so far.
    pub(crate) fn stats(&self, info_hash: InfoHash) -> Option<TorrentStats> {
        self.session.get(id(info_hash)).map(|torrent| Torrent(torrent).stats().1)
    }
}

impl Torrent {
    /// Where the torrent is, and what it has done so far.
    pub(crate) fn stats(&self) -> (State, TorrentStats) {
        let stats = self.0.stats();
        let state = match stats.state {
            TorrentStatsState::Initializing { .. } => State::Checking,
            TorrentStatsState::Live | TorrentStatsState::Paused => State::Live,
            TorrentStatsState::Error => State::Failed(stats.error.unwrap_or_else(|| "for no named reason".to_owned())),
        };
        let live = stats.live.map(|live| live.snapshot);
        let ours = TorrentStats {
            bytes_up: stats.uploaded_bytes,
            bytes_down: live.as_ref().map_or(0, |live| live.fetched_bytes),
            bytes_have: if state == State::Live { stats.progress_bytes } else { 0 },
            peers: live.map_or(0, |live| live.peer_stats.live),
            finished: stats.finished,
        };
        (state, ours)
    }
}

fn id(info_hash: InfoHash) -> TorrentIdOrHash {
    TorrentIdOrHash::Hash(Id20::new(info_hash.0))
}

/// TCP on exactly one address, and nothing that reaches out by itself.
fn session_options(settings: &TorrentSettings, stop: CancellationToken) -> SessionOptions {
    SessionOptions {
        dht: None,
        disable_trackers: true,
        disable_local_service_discovery: true,
        persistence: None,
        listen: Some(ListenerOptions {
            mode: ListenerMode::TcpOnly,
            listen_addr: settings.listen,
            enable_upnp_port_forwarding: false,
            announce_port: None,
            ..Default::default()
        }),
        connect: Some(ConnectionOptions {
            proxy_url: None,
            enable_tcp: true,
            peer_opts: Some(PeerConnectionOptions {
                connect_timeout: Some(CONNECT_TIMEOUT),
                read_write_timeout: Some(READ_WRITE_TIMEOUT),
                ..Default::default()
            }),
        }),
        cancellation_token: Some(stop),
        peer_limit: Some(settings.peers_per_torrent_max),
        client_name_and_version: Some(concat!("Seedbank ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Default::default()
    }
}

/// The metainfo that hashes to `info_hash`, if it is one of ours: only then do the two encodings agree.
fn our_metainfo(info_hash: InfoHash, listed: &ListOnlyResponse) -> Result<Metainfo, FetchError> {
    let refused = |why: String| FetchError::NotOneFile { info_hash, why };
    let info = listed.info.info();
    let (Some(length), Some(name)) = (info.length, &info.name) else {
        return Err(refused("it holds several files, or one without a name".to_owned()));
    };
    let name =
        std::str::from_utf8(name.as_ref()).map_err(|error| refused(format!("its name is not UTF-8: {error}")))?;
    let metainfo = Metainfo::from_fields(name, length, info.piece_length, info.pieces.as_ref())
        .map_err(|error| refused(error.to_string()))?;
    if metainfo.info_hash() != info_hash {
        return Err(refused("it says more than length, name and pieces".to_owned()));
    }
    Ok(metainfo)
}
