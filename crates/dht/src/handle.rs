//! What can be asked of a running node.
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use seedbank_dht_proto::{Id, Item, Job, NodeInfo, Outcome, Pong};
use seedbank_types::{InfoHash, ServerSecret};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::driver::Command;
use crate::listener::{Found, Listener};
use crate::record::{FoundRecord, Stored, check_item};
use crate::{Announcement, DhtError, DhtHealth, RecordKeeper};

/// A running node. Clones are the same node.
#[derive(Clone)]
pub struct DhtHandle(Arc<Inner>);

struct Inner {
    commands: mpsc::Sender<Command>,
    local_addresses: Vec<SocketAddr>,
    closed: CancellationToken,
    /// Turns for those who announce: many torrents must not burst out all at once.
    announcing: Semaphore,
}

/// Announcements under way at once.
const ANNOUNCING_MAX: usize = 32;

impl DhtHandle {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        local_addresses: Vec<SocketAddr>,
        closed: CancellationToken,
    ) -> Self {
        let announcing = Semaphore::new(ANNOUNCING_MAX);
        Self(Arc::new(Inner { commands, local_addresses, closed, announcing }))
    }

    /// Where the node listens: the first address of its settings.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.0.local_addresses[0]
    }

    /// All addresses at which the node listens.
    #[must_use]
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.0.local_addresses
    }

    /// How many nodes of the DHT this one knows at present.
    pub async fn known_nodes(&self) -> Result<usize, DhtError> {
        Ok(self.health().await?.known_nodes())
    }

    /// How the node is doing.
    pub async fn health(&self) -> Result<DhtHealth, DhtError> {
        let (reply, health) = oneshot::channel();
        self.send(Command::Health(reply)).await?;
        health.await.map_err(|_dropped| DhtError::Stopped)
    }

    /// Asks one address whether a node is there.
    pub async fn ping(&self, address: SocketAddr) -> Result<Pong, DhtError> {
        let bind = self.local_address();
        if bind.ip().is_loopback() && !address.ip().is_loopback() {
            return Err(DhtError::LeavesLoopback { bind, host: address.to_string() });
        }
        self.outcome(Job::Ping(address)).await?.pong.ok_or(DhtError::NoAnswer(address))
    }

    /// The nodes nearest to a point, nearest first.
    pub async fn find_nodes(&self, target: Id) -> Result<Vec<NodeInfo>, DhtError> {
        let outcome = self.outcome(Job::FindNode(target)).await?;
        if outcome.answered == 0 { Err(DhtError::NoNodes) } else { Ok(outcome.nodes) }
    }

    /// Stores a record of this server at the nodes that are closest to its key, once.
    ///
    /// First looks up what is there: a higher number, or another value under the same one, is
    /// [`DhtError::NewerRecord`].
    pub async fn put_record(&self, secret: &ServerSecret, seq: u64, value: Vec<u8>) -> Result<Stored, DhtError> {
        self.put_again(FoundRecord::sign(secret, seq, value)?).await
    }

    /// Stores a record unchanged, for a server that no longer does so itself.
    pub async fn put_again(&self, record: FoundRecord) -> Result<Stored, DhtError> {
        self.put(record.to_item()?, None).await
    }

    /// Stores any item at the nodes that are closest to its target, once, as [`Self::put_record`] does.
    ///
    /// With `cas`, nodes store it only if the item they hold has exactly this number.
    pub async fn put(&self, item: Item, cas: Option<i64>) -> Result<Stored, DhtError> {
        let seq = check_item(&item)?;
        let outcome = self.outcome(Job::Put { item, cas }).await?;
        if let Some(newer) = &outcome.newer {
            return Err(DhtError::NewerRecord { seq, seen: FoundRecord::seq_of(newer) });
        }
        stored(seq, &outcome)
    }

    /// Keeps this server's record in the DHT: puts it at once, and again every hour.
    pub fn keep_record(&self, secret: ServerSecret, seq: u64, value: Vec<u8>) -> Result<RecordKeeper, DhtError> {
        RecordKeeper::spawn(self.clone(), secret, seq, value)
    }

    /// Says to the DHT that whoever wants `info_hash` finds it at this address and `port`: at once,
    /// soon again until it worked, then every 15 minutes.
    #[must_use = "the announcing stops when this is dropped"]
    pub fn announce(&self, info_hash: InfoHash, port: u16) -> Announcement {
        Announcement::spawn(self.clone(), info_hash, port)
    }

    pub(crate) async fn announce_once(&self, info_hash: InfoHash, port: u16) -> Result<Stored, DhtError> {
        let _turn = self.0.announcing.acquire().await.map_err(|_closed| DhtError::Stopped)?;
        let outcome = self.outcome(Job::Announce { info_hash: info_hash.into(), port: Some(port) }).await?;
        stored(0, &outcome)
    }

    /// The hosts to ask first have these addresses now.
    pub(crate) async fn bootstrap_at(&self, addresses: Vec<SocketAddr>) {
        if self.send(Command::Bootstrap(addresses)).await.is_err() {
            tracing::trace!("the DHT node has stopped");
        }
    }

    /// Waits until the node has stopped: its ports are free and its state is on the disk.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Says that an item is the owner's, as long as the other end of the channel is there.
    pub(crate) async fn own(&self, item: watch::Receiver<Item>) -> Result<(), DhtError> {
        self.send(Command::Own(item)).await
    }

    /// Does something of which only the end matters.
    async fn outcome(&self, job: Job) -> Result<Box<Outcome>, DhtError> {
        let (done, outcome) = oneshot::channel();
        let (job, listener) = (Box::new(job), Listener { found: Found::Nothing, done: Some(done) });
        self.send(Command::Start { job, listener }).await?;
        outcome.await.map_err(|_dropped| DhtError::Stopped)
    }

    pub(crate) async fn send(&self, command: Command) -> Result<(), DhtError> {
        self.0.commands.send(command).await.map_err(|_closed| DhtError::Stopped)
    }
}

impl fmt::Debug for DhtHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DhtHandle({})", self.local_address())
    }
}

/// Whether a put or an announcement worked.
fn stored(seq: u64, outcome: &Outcome) -> Result<Stored, DhtError> {
    match &outcome.refusal {
        _ if outcome.stored > 0 => Ok(Stored { seq, nodes: outcome.stored, tried: outcome.tried }),
        Some(refusal) => Err(DhtError::Refused(format!("{} (error {})", refusal.text, refusal.code))),
        None if outcome.answered == 0 => Err(DhtError::NoNodes),
        None => Err(DhtError::TimedOut),
    }
}
