//! The service: one task owns the list of torrents, one task carries each of them.
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use seedbank_types::InfoHash;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    engine::Engine,
    error::{FetchError, TorrentError},
    metainfo::Metainfo,
};

mod fetch;
mod handle;
mod peers;
mod resolve;
mod seed;

pub use handle::{Fetch, FetchRequest, Fetched, Progress, TorrentHandle};

/// Torrents carried at once: the files of a few checkpoints and what is being fetched.
pub const TORRENTS_MAX: usize = 64;
/// Peers known for one fetch; more are not needed to fill a connection.
pub const PEERS_PER_FETCH_MAX: usize = 100;
/// Commands that wait for the service.
const COMMANDS_MAX: usize = 64;
/// Events that wait for the caller; when it does not take them, further ones are only logged.
const EVENTS_MAX: usize = 256;
/// Lists of peers that wait for one fetch; further ones are dropped, the DHT names them again.
const PEER_LISTS_MAX: usize = 16;

/// How the service runs.
#[derive(Debug, Clone)]
pub struct TorrentSettings {
    /// Address for peers to connect to, bound exactly as given; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Most connections of one torrent.
    pub peers_per_torrent_max: usize,
}

impl TorrentSettings {
    /// Listens on `listen`, with bounds that suit a server.
    #[must_use]
    pub const fn new(listen: SocketAddr) -> Self {
        Self { listen, peers_per_torrent_max: 128 }
    }
}

/// What the service tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TorrentEvent {
    /// A file was checked and is offered to peers: the time to announce it.
    Seeding {
        /// The torrent.
        info_hash: InfoHash,
    },
    /// A file was fetched whole and is offered to peers.
    Fetched {
        /// The torrent.
        info_hash: InfoHash,
    },
    /// A file that is being seeded cannot be read any more; peers get nothing from it.
    Unreadable {
        /// The torrent.
        info_hash: InfoHash,
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// What a torrent has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TorrentStats {
    /// Bytes of the file sent to peers.
    pub bytes_up: u64,
    /// Bytes of the file received from peers, right or wrong.
    pub bytes_down: u64,
    /// Bytes in pieces that are there and right.
    pub bytes_have: u64,
    /// Peers connected now.
    pub peers: u32,
    /// Whether the whole file is there.
    pub finished: bool,
}

enum Command {
    Seed { metainfo: Box<Metainfo>, path: PathBuf, reply: oneshot::Sender<Result<(), TorrentError>> },
    Fetch { order: Box<FetchOrder>, reply: oneshot::Sender<Result<Fetched, FetchError>> },
    AddPeers { info_hash: InfoHash, peers: Vec<SocketAddr> },
    Stop { info_hash: InfoHash, reply: oneshot::Sender<bool> },
    Stats { info_hash: InfoHash, reply: oneshot::Sender<Option<TorrentStats>> },
}

struct FetchOrder {
    request: FetchRequest,
    progress: watch::Sender<Progress>,
    /// Cancelled when nobody waits for the file any more.
    abandoned: CancellationToken,
}

/// One torrent and the task that carries it from its first check to its removal.
struct Carried {
    stop: CancellationToken,
    task: JoinHandle<()>,
    work: Work,
}

enum Work {
    Seed {
        path: PathBuf,
        /// Cancelled once the file was found right: nothing else than a signal that stays.
        ready: CancellationToken,
    },
    Fetch {
        peers: mpsc::Sender<Vec<SocketAddr>>,
    },
}

struct Service {
    engine: Engine,
    carried: BTreeMap<InfoHash, Carried>,
    events: mpsc::Sender<TorrentEvent>,
    stop: CancellationToken,
}

/// Starts to listen for peers. Everything ends when `stop` is cancelled, or the last handle is dropped.
pub async fn spawn(
    settings: TorrentSettings,
    stop: CancellationToken,
) -> Result<(TorrentHandle, mpsc::Receiver<TorrentEvent>), TorrentError> {
    let stop = stop.child_token();
    let engine = Engine::start(&settings, stop.child_token()).await?;
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let (events, told) = mpsc::channel(EVENTS_MAX);
    let handle = TorrentHandle::new(engine.listen(), commands);
    let service = Service { engine, carried: BTreeMap::new(), events, stop: stop.clone() };
    tokio::spawn(service.run(inbox, stop.drop_guard()));
    Ok((handle, told))
}

impl Service {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, _engine_ends_with_us: DropGuard) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
            }
        }
        self.end_all().await;
    }

    async fn obey(&mut self, command: Command) {
        self.carried.retain(|_, carried| !carried.task.is_finished());
        match command {
            Command::Seed { metainfo, path, reply } => self.seed(metainfo, path, reply).await,
            Command::Fetch { order, reply } => self.fetch(order, reply).await,
            Command::AddPeers { info_hash, peers } => self.add_peers(info_hash, peers),
            Command::Stop { info_hash, reply } => answer(reply, self.end(info_hash).await),
            Command::Stats { info_hash, reply } => answer(reply, self.engine.stats(info_hash)),
        }
    }

    async fn seed(&mut self, metainfo: Box<Metainfo>, path: PathBuf, reply: oneshot::Sender<Result<(), TorrentError>>) {
        let info_hash = metainfo.info_hash();
        if self.carried.get(&info_hash).is_some_and(|carried| carried.seeds(&path)) {
            return answer(reply, Ok(()));
        }
        self.end(info_hash).await;
        if self.carried.len() >= TORRENTS_MAX {
            return answer(reply, Err(TorrentError::TooMany { max: TORRENTS_MAX }));
        }
        let (stop, ready) = (self.stop.child_token(), CancellationToken::new());
        let work = Work::Seed { path: path.clone(), ready: ready.clone() };
        let seeding = seed::Seeding { engine: self.engine.clone(), metainfo, path, ready, events: self.events.clone() };
        let task = tokio::spawn(seeding.run(stop.clone(), reply));
        self.carried.insert(info_hash, Carried { stop, task, work });
    }

    async fn fetch(&mut self, order: Box<FetchOrder>, reply: oneshot::Sender<Result<Fetched, FetchError>>) {
        let info_hash = order.request.info_hash;
        self.end(info_hash).await;
        if self.carried.len() >= TORRENTS_MAX {
            return answer(reply, Err(FetchError::TooMany { max: TORRENTS_MAX }));
        }
        let (peers, lists) = mpsc::channel(PEER_LISTS_MAX);
        let stop = self.stop.child_token();
        let fetching = fetch::Fetching::new(self.engine.clone(), *order, lists, self.events.clone());
        let task = tokio::spawn(fetching.run(stop.clone(), reply));
        self.carried.insert(info_hash, Carried { stop, task, work: Work::Fetch { peers } });
    }

    /// Peers of a torrent that is not being fetched are dropped: who wants a file from us comes to us.
    fn add_peers(&mut self, info_hash: InfoHash, peers: Vec<SocketAddr>) {
        if let Some(Carried { work: Work::Fetch { peers: lists }, .. }) = self.carried.get(&info_hash)
            && lists.try_send(peers).is_err()
        {
            tracing::debug!(%info_hash, "peers were dropped: the fetch is over, or busy with others");
        }
    }

    /// Ends one torrent and waits until nothing of it is left. Whether there was one.
    async fn end(&mut self, info_hash: InfoHash) -> bool {
        let Some(carried) = self.carried.remove(&info_hash) else { return false };
        carried.end(info_hash).await;
        true
    }

    async fn end_all(&mut self) {
        self.stop.cancel();
        for (info_hash, carried) in std::mem::take(&mut self.carried) {
            carried.end(info_hash).await;
        }
    }
}

impl Carried {
    fn seeds(&self, file: &PathBuf) -> bool {
        matches!(&self.work, Work::Seed { path, ready } if path == file && ready.is_cancelled())
    }

    async fn end(self, info_hash: InfoHash) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%info_hash, %error, "the task of a torrent died");
        }
    }
}

/// Who asked may have gone; then there is nobody to tell.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("nobody waits for the answer");
    }
}

fn tell(events: &mpsc::Sender<TorrentEvent>, event: TorrentEvent) {
    if let Err(error) = events.try_send(event) {
        tracing::debug!(%error, "an event was not taken");
    }
}
