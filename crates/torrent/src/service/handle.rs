//! What the caller holds.
use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use seedbank_types::InfoHash;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Command, FetchOrder, TorrentStats};
use crate::{
    error::{FetchError, TorrentError},
    metainfo::Metainfo,
};

/// Speaks to the service. Cheap to clone; the service ends with the last one.
#[derive(Clone)]
pub struct TorrentHandle {
    listen: SocketAddr,
    commands: mpsc::Sender<Command>,
}

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Length of the file as the checkpoint says; another one is refused.
    pub length: u64,
    /// Where the file goes. What is there already is checked and completed.
    pub path: PathBuf,
    /// Peers known so far; [`TorrentHandle::add_peers`] adds more.
    pub peers: Vec<SocketAddr>,
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes in pieces that are there and right.
    pub bytes: u64,
    /// Length of the file.
    pub length: u64,
    /// Peers connected now.
    pub peers: u32,
}

/// A file that was fetched whole. Its bytes are right by SHA-1, which proves nothing: verify it.
/// It is not flushed to the disk yet, and it is seeded on until [`TorrentHandle::stop`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its metainfo, as [`TorrentHandle::seed`] wants it.
    pub metainfo: Metainfo,
    /// Where it is.
    pub path: PathBuf,
}

/// A running fetch: a future of the fetched file. Dropped before that, the fetch is given up;
/// what was fetched so far stays on disk.
#[must_use = "dropped, the fetch is given up"]
pub struct Fetch {
    progress: watch::Receiver<Progress>,
    reply: oneshot::Receiver<Result<Fetched, FetchError>>,
    _abandons: DropGuard,
}

impl TorrentHandle {
    pub(super) const fn new(listen: SocketAddr, commands: mpsc::Sender<Command>) -> Self {
        Self { listen, commands }
    }

    /// The address that is really listened on.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Offers the file at `path` to peers, in place and without ever writing it; it may be read-only.
    ///
    /// Returns once the file was hashed and found right. A torrent that is seeded from there already
    /// is left as it is; one that comes from another path, or is being fetched, is replaced.
    pub async fn seed(&self, metainfo: Metainfo, path: &Path) -> Result<(), TorrentError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Seed { metainfo: Box::new(metainfo), path: path.to_owned(), reply };
        self.ask(command, answer).await.unwrap_or(Err(TorrentError::Stopped))
    }

    /// Starts to fetch a file by its infohash alone; the metainfo comes from the peers.
    ///
    /// Goes on, with whatever peers become known, until the file is there, is refused, or the
    /// [`Fetch`] is dropped: how long to wait is the caller's to say. A torrent that is carried
    /// already is ended first.
    pub async fn fetch(&self, request: FetchRequest) -> Fetch {
        let (reply, answer) = oneshot::channel();
        let (progress, shown) = watch::channel(Progress { length: request.length, ..Progress::default() });
        let abandoned = CancellationToken::new();
        let order = FetchOrder { request, progress, abandoned: abandoned.clone() };
        if self.commands.send(Command::Fetch { order: Box::new(order), reply }).await.is_err() {
            tracing::debug!("the torrent service has stopped: nothing is fetched");
        }
        Fetch { progress: shown, reply: answer, _abandons: abandoned.drop_guard() }
    }

    /// Names more peers for a fetch. Those of a torrent that is not being fetched are dropped.
    pub async fn add_peers(&self, info_hash: InfoHash, peers: &[SocketAddr]) {
        if self.commands.send(Command::AddPeers { info_hash, peers: peers.to_owned() }).await.is_err() {
            tracing::debug!(%info_hash, "the torrent service has stopped: peers were dropped");
        }
    }

    /// Ends a torrent, seeded or being fetched; its file stays. Whether there was one.
    pub async fn stop(&self, info_hash: InfoHash) -> bool {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Stop { info_hash, reply }, answer).await.unwrap_or(false)
    }

    /// What a torrent has done so far, if it is carried.
    pub async fn stats(&self, info_hash: InfoHash) -> Option<TorrentStats> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Stats { info_hash, reply }, answer).await.flatten()
    }

    /// `None` if the service has stopped.
    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<T>) -> Option<T> {
        self.commands.send(command).await.ok()?;
        answer.await.ok()
    }
}

impl Fetch {
    /// How far it is; the receiver sees every later change that it has time for.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
}

impl Future for Fetch {
    type Output = Result<Fetched, FetchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|answer| answer.unwrap_or(Err(FetchError::Stopped)))
    }
}

impl fmt::Debug for TorrentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorrentHandle").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("progress", &*self.progress.borrow()).finish_non_exhaustive()
    }
}
