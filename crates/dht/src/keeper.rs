//! The guard that keeps a server's record in the DHT.
use std::time::Duration;

use seedbank_types::ServerSecret;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::record::{FoundRecord, Stored};
use crate::retry::Timetable;
use crate::{DhtError, DhtHandle};

/// Nodes of the DHT forget an item after two hours.
const PUT_EVERY: Duration = Duration::from_secs(60 * 60);

/// Puts a record again and again as long as it lives.
#[derive(Debug)]
pub struct RecordKeeper {
    secret: ServerSecret,
    newest: watch::Sender<FoundRecord>,
    status: watch::Receiver<RecordStatus>,
    _task: AbortOnDropHandle<()>,
}

/// How the keeping goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordStatus {
    /// The last record that was stored, if any was.
    pub stored: Option<Stored>,
    /// The number of a newer record of the same key that was found instead. The keeper then waits
    /// for an update; the next number must be higher than this one.
    pub seen: Option<u64>,
}

impl RecordKeeper {
    pub(crate) fn spawn(dht: DhtHandle, secret: ServerSecret, seq: u64, value: Vec<u8>) -> Result<Self, DhtError> {
        let (newest, receiver) = watch::channel(FoundRecord::sign(&secret, seq, value)?);
        let (sender, status) = watch::channel(RecordStatus::default());
        let task = tokio::spawn(keep(dht, receiver, sender));
        Ok(Self { secret, newest, status, _task: AbortOnDropHandle::new(task) })
    }

    /// Puts this record at once, and from now on this one.
    pub fn update(&self, seq: u64, value: Vec<u8>) -> Result<(), DhtError> {
        self.newest.send_replace(FoundRecord::sign(&self.secret, seq, value)?);
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

async fn keep(dht: DhtHandle, mut newest: watch::Receiver<FoundRecord>, status: watch::Sender<RecordStatus>) {
    let mut timetable = Timetable::new(PUT_EVERY);
    loop {
        let record = newest.borrow_and_update().clone();
        let key = record.key;
        let result = dht.put_again(record).await;
        match &result {
            Ok(stored) => drop(status.send_replace(RecordStatus { stored: Some(*stored), seen: None })),
            Err(DhtError::Stopped) => return,
            Err(error) => tracing::debug!(server = %key.short(), %error, "record not stored yet"),
        }
        let pause = timetable.pause(result.is_ok());
        let pause = async {
            match result {
                Err(DhtError::NewerRecord { seq, seen }) => {
                    tracing::warn!(server = %key.short(), seq, seen, "somebody has put a newer record of this server");
                    status.send_modify(|status| status.seen = Some(seen));
                    std::future::pending().await
                }
                _ => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}
