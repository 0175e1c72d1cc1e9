//! Look-ups: what is found is passed on at once, and the channel closes when all are complete.
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use futures::StreamExt;
use mainline::Id;
use mainline::async_dht::AsyncDht;
use seedbank_types::{InfoHash, ServerKey};
use tokio::sync::mpsc;

use crate::node::finished;
use crate::{DhtError, DhtHandle, FoundRecord};

const FOUND_QUEUE: usize = 64;
/// More peers than this are of no use to anybody, and may be made up.
const PEERS_MAX: usize = 1000;

impl DhtHandle {
    /// Looks up the records of all these servers at once.
    ///
    /// The first valid record of a server comes as soon as it is found; after it only those with a
    /// higher number, or with the same number and another value. The channel closes when all
    /// look-ups are complete, or the node stops.
    #[must_use]
    pub fn records(&self, keys: &[ServerKey]) -> mpsc::Receiver<FoundRecord> {
        let (sender, receiver) = mpsc::channel(FOUND_QUEUE);
        for key in keys.iter().copied().collect::<BTreeSet<_>>() {
            let sender = sender.clone();
            self.start(move |dht| async move { pass_records(&dht, key, &sender).await });
        }
        receiver
    }

    /// The newest record of one server, after a complete look-up.
    pub async fn record(&self, key: ServerKey) -> Result<Option<FoundRecord>, DhtError> {
        finished(self.start(move |dht| async move { Ok(newest(&dht, key).await) })).await
    }

    /// Addresses of those who announced `info_hash`, each once, as they are found. The channel
    /// closes when the look-up is complete, or the node stops. A node on loopback gives addresses on
    /// loopback only, whatever the DHT says.
    #[must_use]
    pub fn peers(&self, info_hash: InfoHash) -> mpsc::Receiver<SocketAddr> {
        let (sender, receiver) = mpsc::channel(FOUND_QUEUE);
        let asker = self.local_address().ip();
        self.start(move |dht| async move { pass_peers(&dht, info_hash, asker, &sender).await });
        receiver
    }
}

pub(crate) async fn newest(dht: &AsyncDht, key: ServerKey) -> Option<FoundRecord> {
    let mut items = dht.get_mutable(&key.0, None, None);
    let mut newest: Option<FoundRecord> = None;
    while let Some(item) = items.next().await {
        let found = FoundRecord::checked(key, &item);
        newest = newest.into_iter().chain(found).max_by_key(|record| record.seq);
    }
    newest
}

async fn pass_records(dht: &AsyncDht, key: ServerKey, sender: &mpsc::Sender<FoundRecord>) -> Result<(), DhtError> {
    let mut items = dht.get_mutable(&key.0, None, None);
    let mut best = Best::default();
    while let Some(item) = items.next().await {
        let Some(record) = FoundRecord::checked(key, &item) else { continue };
        if best.admits(&record) && sender.send(record).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn pass_peers(
    dht: &AsyncDht,
    info_hash: InfoHash,
    asker: IpAddr,
    sender: &mpsc::Sender<SocketAddr>,
) -> Result<(), DhtError> {
    let mut answers = dht.get_peers(Id::from(info_hash.0));
    let mut seen = BTreeSet::new();
    while let Some(answer) = answers.next().await {
        for peer in answer.into_iter().map(SocketAddr::V4).filter(|peer| reachable(asker, peer)) {
            if seen.len() < PEERS_MAX && seen.insert(peer) && sender.send(peer).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whoever is on loopback stays there.
fn reachable(asker: IpAddr, peer: &SocketAddr) -> bool {
    let ip = peer.ip();
    let leaves_loopback = asker.is_loopback() && !ip.is_loopback();
    peer.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !leaves_loopback
}

/// The highest number seen of one key, and the values seen under it.
#[derive(Debug, Default)]
struct Best {
    seq: u64,
    values: BTreeSet<Vec<u8>>,
}

impl Best {
    /// Whether the record is news.
    fn admits(&mut self, record: &FoundRecord) -> bool {
        if record.seq > self.seq {
            self.values.clear();
            self.seq = record.seq;
        }
        record.seq == self.seq && self.values.insert(record.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::ServerSecret;

    use super::*;

    #[test]
    fn only_news_is_passed_on() {
        let record = |seq, value: &[u8]| {
            FoundRecord::sign(&ServerSecret::from_bytes(&[1; 32]), seq, value.to_vec()).expect("small enough")
        };
        let mut best = Best::default();
        let admitted = [(3, b"a"), (3, b"a"), (2, b"b"), (3, b"c"), (4, b"a"), (3, b"d"), (4, b"a")]
            .map(|(seq, value)| best.admits(&record(seq, value)));
        assert_eq!(admitted, [true, false, false, true, true, false, false]);
    }

    #[test]
    fn a_record_with_number_zero_is_passed_on() {
        let record = FoundRecord::sign(&ServerSecret::from_bytes(&[1; 32]), 0, vec![]).expect("small enough");
        assert!(Best::default().admits(&record));
    }

    #[test]
    fn addresses_that_cannot_be_dialled_are_dropped() {
        let asker = "192.0.2.9".parse().expect("an address");
        let reachable = |text: &str| reachable(asker, &text.parse().expect("an address"));
        assert!(reachable("127.0.0.1:1"));
        assert!(!reachable("127.0.0.1:0") && !reachable("0.0.0.0:1") && !reachable("224.0.0.1:1"));
    }

    #[test]
    fn a_node_on_loopback_gives_peers_on_loopback_only() {
        let asker = "127.0.0.3".parse().expect("an address");
        let reachable = |text: &str| reachable(asker, &text.parse().expect("an address"));
        assert!(reachable("127.1.2.3:1"));
        assert!(!reachable("192.0.2.1:1") && !reachable("10.0.0.1:1"));
    }
}
