//! The guard that keeps a server's record in the DHT.
use std::time::Duration;

use seedbank_dht_proto::Item;
use seedbank_types::ServerSecret;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::record::{FoundRecord, Stored};
use crate::retry::{Timetable, spread};
use crate::{DhtError, DhtHandle};

/// Nodes of the DHT forget an item after two hours.
const PUT_EVERY: Duration = Duration::from_secs(60 * 60);

/// Puts a record again and again as long as it lives.
#[derive(Debug)]
pub struct RecordKeeper {
    secret: ServerSecret,
    newest: watch::Sender<Item>,
    status: watch::Receiver<RecordStatus>,
    _task: AbortOnDropHandle<()>,
}

/// How the keeping goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordStatus {
    /// The last record that was stored, if any was.
    pub stored: Option<Stored>,
    /// When that was.
    pub stored_at: Option<Instant>,
    /// The number of a newer record of the same key that was found instead. The keeper then waits
    /// for an update; the next number must be higher than this one.
    pub seen: Option<u64>,
}

impl RecordStatus {
    /// How long ago a record was last stored.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.stored_at.map(|at| at.elapsed())
    }

    fn stored(stored: Stored) -> Self {
        Self { stored: Some(stored), stored_at: Some(Instant::now()), seen: None }
    }
}

impl RecordKeeper {
    pub(crate) fn spawn(dht: DhtHandle, secret: ServerSecret, seq: u64, value: Vec<u8>) -> Result<Self, DhtError> {
        let (newest, receiver) = watch::channel(FoundRecord::sign(&secret, seq, value)?.to_item()?);
        let (sender, status) = watch::channel(RecordStatus::default());
        let task = tokio::spawn(keep(dht, receiver, sender));
        Ok(Self { secret, newest, status, _task: AbortOnDropHandle::new(task) })
    }

    /// Puts this record at once, and from now on this one.
    pub fn update(&self, seq: u64, value: Vec<u8>) -> Result<(), DhtError> {
        self.newest.send_replace(FoundRecord::sign(&self.secret, seq, value)?.to_item()?);
        Ok(())
    }

    /// How it goes at present.
    #[must_use]
    pub fn status(&self) -> RecordStatus {
        *self.status.borrow()
    }

    /// The same as it changes.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<RecordStatus> {
        self.status.clone()
    }

    /// Waits until the record with this number, or a later one, is stored; false if the node was
    /// stopped before.
    pub async fn stored(&self, seq: u64) -> bool {
        let reached = |status: &RecordStatus| status.stored.is_some_and(|stored| stored.seq >= seq);
        self.status.clone().wait_for(reached).await.is_ok()
    }
}

async fn keep(dht: DhtHandle, mut newest: watch::Receiver<Item>, status: watch::Sender<RecordStatus>) {
    let mut timetable = Timetable::new(PUT_EVERY);
    if dht.own(newest.clone()).await.is_err() {
        return;
    }
    loop {
        let item = newest.borrow_and_update().clone();
        let target = item.target();
        let result = dht.put(item, None).await;
        match &result {
            Ok(stored) => drop(status.send_replace(RecordStatus::stored(*stored))),
            Err(DhtError::Stopped) => return,
            Err(error) => tracing::debug!(%target, %error, "record not stored yet"),
        }
        let pause = timetable.pause(result.as_ref().is_ok_and(|stored| stored.is_enough()));
        let pause = async {
            match result {
                Err(DhtError::NewerRecord { seq, seen }) => {
                    tracing::warn!(%target, seq, seen, "somebody has put a newer record of this server");
                    status.send_modify(|status| status.seen = Some(seen));
                    std::future::pending().await
                }
                _ => sleep(spread(pause)).await,
            }
        };
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

/// Puts an own item of the last run once, as soon as that works, unless something newer is there:
/// until its keeper is back, nobody else does.
pub(crate) async fn put_back(dht: DhtHandle, item: Item) {
    let mut timetable = Timetable::new(PUT_EVERY);
    let (_owner, own) = watch::channel(item.clone());
    let mut result = dht.own(own).await.map(drop);
    while !matches!(result, Err(DhtError::Stopped)) {
        result = dht.put(item.clone(), None).await.map(drop);
        match &result {
            Err(DhtError::NoNodes | DhtError::TimedOut) => sleep(timetable.pause(false)).await,
            _ => {
                tracing::debug!(target = %item.target(), ?result, "an item of the last run was put back");
                return;
            }
        }
    }
}
