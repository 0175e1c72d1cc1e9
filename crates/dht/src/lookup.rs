//! Look-ups: what is found is passed on at once, and the channel closes when all are complete.
//! A look-up to which nobody listens any more is given up.
use std::collections::BTreeSet;
use std::net::SocketAddr;

use seedbank_dht_proto::{Id, Item, Job};
use seedbank_types::{InfoHash, ServerKey};
use tokio::sync::{mpsc, oneshot};

use crate::driver::Command;
use crate::listener::{FOUND_MAX, Found, Listener};
use crate::{DhtError, DhtHandle, FoundRecord};

/// How a complete look-up of an item went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookUp {
    /// The item with the highest number, if there is any.
    pub item: Option<Item>,
    /// How many nodes gave it.
    pub holders: u32,
    /// How many nodes answered.
    pub answered: u32,
    /// How many nodes were asked.
    pub asked: u32,
}

impl DhtHandle {
    /// Looks up the records of all these servers at once.
    ///
    /// The first valid record of a server comes as soon as it is found; after it only those with a
    /// higher number, or with the same number and another value. The channel closes when all
    /// look-ups are complete, or the node stops.
    #[must_use]
    pub fn records(&self, keys: &[ServerKey]) -> mpsc::Receiver<FoundRecord> {
        let (sender, receiver) = mpsc::channel(FOUND_MAX);
        let keys: BTreeSet<ServerKey> = keys.iter().copied().collect();
        self.start(keys.into_iter().map(move |key| (record_job(key), Found::Records(key, sender.clone()))));
        receiver
    }

    /// The newest record of one server, after a complete look-up.
    pub async fn record(&self, key: ServerKey) -> Result<Option<FoundRecord>, DhtError> {
        let found = self.look_up(FoundRecord::target(key), vec![]).await?.item;
        Ok(found.and_then(|item| FoundRecord::checked(key, &item)))
    }

    /// Items under this target, correctly signed if they are mutable: the first one as soon as it is
    /// found, after it those with a higher number, or with the same number and another value.
    /// `salt` is that of the mutable item, which nodes do not tell; usually it is empty.
    #[must_use]
    pub fn get(&self, target: Id, salt: Vec<u8>) -> mpsc::Receiver<Item> {
        let (sender, receiver) = mpsc::channel(FOUND_MAX);
        self.start([(Job::Get { target, salt }, Found::Items(sender))].into_iter());
        receiver
    }

    /// The best of the items that [`Self::get`] gives, after a complete look-up.
    pub async fn look_up(&self, target: Id, salt: Vec<u8>) -> Result<LookUp, DhtError> {
        self.look_up_telling(target, salt, |_item| ()).await
    }

    /// [`Self::look_up`], which tells each item as it is found.
    pub async fn look_up_telling(
        &self,
        target: Id,
        salt: Vec<u8>,
        mut tell: impl FnMut(&Item),
    ) -> Result<LookUp, DhtError> {
        let (sender, mut items) = mpsc::channel(FOUND_MAX);
        let (done, outcome) = oneshot::channel();
        let listener = Listener { found: Found::Items(sender), done: Some(done) };
        let job = Box::new(Job::Get { target, salt });
        self.send(Command::Start { job, listener }).await?;
        let mut best: Option<Item> = None;
        while let Some(item) = items.recv().await {
            tell(&item);
            best = best.into_iter().chain([item]).max_by_key(Item::seq);
        }
        let outcome = outcome.await.map_err(|_dropped| DhtError::Stopped)?;
        Ok(LookUp { item: best, holders: outcome.holders, answered: outcome.answered, asked: outcome.asked })
    }

    /// Addresses of those who announced `info_hash`, each once, as they are found. The channel
    /// closes when the look-up is complete, or the node stops. A node on loopback gives addresses on
    /// loopback only, whatever the DHT says.
    #[must_use]
    pub fn peers(&self, info_hash: InfoHash) -> mpsc::Receiver<SocketAddr> {
        let (peers, receiver) = mpsc::channel(FOUND_MAX);
        let found = Found::Peers { peers, asker: self.local_address().ip(), room: FOUND_MAX };
        self.start([(Job::Peers(info_hash.into()), found)].into_iter());
        receiver
    }

    /// Starts tasks as soon as the node has room for them.
    fn start(&self, jobs: impl Iterator<Item = (Job, Found)> + Send + 'static) {
        let dht = self.clone();
        tokio::spawn(async move {
            for (job, found) in jobs {
                let (job, listener) = (Box::new(job), Listener { found, done: None });
                if dht.send(Command::Start { job, listener }).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn record_job(key: ServerKey) -> Job {
    Job::Get { target: FoundRecord::target(key), salt: vec![] }
}
