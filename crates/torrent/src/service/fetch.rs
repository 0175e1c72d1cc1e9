//! The task that fetches a file and seeds it on.
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{FetchOrder, Fetched, Progress, TorrentEvent, TorrentStats, answer, peers::Peers, resolve::resolve, tell};
use crate::{
    engine::{Engine, State, Torrent},
    error::FetchError,
    introduce::introduce,
    metainfo::Metainfo,
    storage::Access,
};

/// How often the engine is looked after; it has no notice that could not be missed.
const LOOK: Duration = Duration::from_millis(10);
/// Without a connected peer for this long, all known peers are tried again. The engine itself waits
/// 10 s, then 60 s, then 360 s.
const ALONE_FIRST: Duration = Duration::from_secs(1);
/// The patience doubles up to this, since trying again means to hash what is there.
const ALONE_MAX: Duration = Duration::from_secs(30);

pub(super) struct Fetching {
    engine: Engine,
    order: FetchOrder,
    peers: Peers,
    events: mpsc::Sender<TorrentEvent>,
}

/// How one try with the engine ended.
enum Try {
    Whole,
    Alone,
}

impl Fetching {
    pub(super) fn new(
        engine: Engine,
        order: FetchOrder,
        lists: mpsc::Receiver<Vec<SocketAddr>>,
        events: mpsc::Sender<TorrentEvent>,
    ) -> Self {
        let peers = Peers::new(engine.listen(), &order.request.peers, lists);
        Self { engine, order, peers, events }
    }

    pub(super) async fn run(mut self, stop: CancellationToken, reply: oneshot::Sender<Result<Fetched, FetchError>>) {
        let info_hash = self.order.request.info_hash;
        let abandoned = self.order.abandoned.clone();
        let outcome = tokio::select! {
            () = stop.cancelled() => Err(FetchError::Stopped),
            () = abandoned.cancelled() => Err(FetchError::Stopped),
            outcome = self.fetch() => outcome,
        };
        if outcome.is_ok() {
            tell(&self.events, TorrentEvent::Fetched { info_hash });
            answer(reply, outcome);
            stop.cancelled().await;
            self.engine.remove(info_hash).await;
        } else {
            self.engine.remove(info_hash).await;
            answer(reply, outcome);
        }
    }

    async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let request = self.order.request.clone();
        let metainfo = resolve(&self.engine, request.info_hash, &mut self.peers).await?;
        let (expected, got) = (request.length, metainfo.length());
        if got != expected {
            return Err(FetchError::Length { info_hash: request.info_hash, expected, got });
        }
        let mut patience = ALONE_FIRST;
        while let Try::Alone = self.attempt(&metainfo, patience).await? {
            self.engine.remove(request.info_hash).await;
            patience = (patience * 2).min(ALONE_MAX);
        }
        Ok(Fetched { metainfo, path: request.path })
    }

    /// Lets the engine fetch until the file is whole or no peer was connected for as long as `patience`.
    async fn attempt(&mut self, metainfo: &Metainfo, patience: Duration) -> Result<Try, FetchError> {
        let request = &self.order.request;
        let refused = |why| FetchError::Disk { path: request.path.clone(), why };
        let peers = self.peers.known();
        let torrent = self.engine.add(metainfo, &request.path, Access::Write, peers).await.map_err(refused)?;
        let mut look = tokio::time::interval(LOOK);
        let (mut live, mut company) = (false, Instant::now());
        loop {
            tokio::select! {
                new = self.peers.next(), if live => self.introduce(new),
                _ = look.tick() => {
                    let stats = self.look(&torrent)?;
                    live = stats.is_some();
                    match stats {
                        Some(stats) if stats.finished => return Ok(Try::Whole),
                        Some(stats) if stats.peers == 0 && company.elapsed() > patience => return Ok(Try::Alone),
                        Some(stats) if stats.peers == 0 => {}
                        _ => company = Instant::now(),
                    }
                }
            }
        }
    }

    /// Shows the progress; `None` while what was on disk before is being checked.
    fn look(&self, torrent: &Torrent) -> Result<Option<TorrentStats>, FetchError> {
        let (state, stats) = torrent.stats();
        let progress = Progress { bytes: stats.bytes_have, length: self.order.request.length, peers: stats.peers };
        self.order.progress.send_if_modified(|shown| std::mem::replace(shown, progress) != progress);
        match state {
            State::Checking => Ok(None),
            State::Live => Ok(Some(stats)),
            State::Failed(why) => Err(FetchError::Disk { path: self.order.request.path.clone(), why }),
        }
    }

    /// Not waited for: it takes milliseconds, and a peer that is missed comes again at the next try.
    fn introduce(&self, peers: Vec<SocketAddr>) {
        let (listen, info_hash) = (self.engine.listen(), self.order.request.info_hash);
        tokio::spawn(async move {
            if let Err(error) = introduce(listen, info_hash, &peers).await {
                tracing::debug!(%info_hash, %error, "new peers could not be made known to the engine");
            }
        });
    }
}
