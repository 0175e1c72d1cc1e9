//! The guard that keeps announcing.
use std::time::Duration;

use seedbank_types::InfoHash;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::retry::{Timetable, spread};
use crate::{DhtError, DhtHandle};

/// Nodes of the DHT forget a peer after half an hour.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(15 * 60);

/// Announces as long as it lives.
#[derive(Debug)]
pub struct Announcement {
    info_hash: InfoHash,
    announced: watch::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Announcement {
    pub(crate) fn spawn(dht: DhtHandle, info_hash: InfoHash, port: u16) -> Self {
        let (sender, announced) = watch::channel(false);
        let task = tokio::spawn(announce(dht, info_hash, port, sender));
        Self { info_hash, announced, _task: AbortOnDropHandle::new(task) }
    }

    /// What is announced.
    #[must_use]
    pub const fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// Whether it has worked at least once.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        *self.announced.borrow()
    }

    /// Waits until it has worked once; false if the node was stopped before.
    pub async fn announced(&self) -> bool {
        self.announced.clone().wait_for(|announced| *announced).await.is_ok()
    }
}

async fn announce(dht: DhtHandle, info_hash: InfoHash, port: u16, announced: watch::Sender<bool>) {
    let mut timetable = Timetable::new(ANNOUNCE_EVERY);
    loop {
        let result = dht.announce_once(info_hash, port).await;
        match &result {
            Ok(_) => drop(announced.send_replace(true)),
            Err(DhtError::Stopped) => return,
            Err(error) => tracing::debug!(%info_hash, %error, "not announced yet"),
        }
        let pause = timetable.pause(result.is_ok_and(|stored| stored.is_enough()));
        tokio::time::sleep(spread(pause)).await;
    }
}
