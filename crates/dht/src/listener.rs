//! Those who wait for what a task of the node reports.
use std::net::{IpAddr, SocketAddr};

use seedbank_dht_proto::{Item, Outcome, Report};
use seedbank_types::ServerKey;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::FoundRecord;

/// Nobody has use for more than this, and it may all be made up. The node never waits for its
/// listeners: what finds no room in their channel is lost to them.
pub(crate) const FOUND_MAX: usize = 1024;

/// Whoever wants to hear of one task.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) found: Found,
    /// Told how the task went.
    pub(crate) done: Option<oneshot::Sender<Box<Outcome>>>,
}

/// Where that goes which is found on the way.
#[derive(Debug)]
pub(crate) enum Found {
    /// Only the end matters.
    Nothing,
    Peers {
        peers: mpsc::Sender<SocketAddr>,
        /// Where the asker is: whoever is on loopback stays there.
        asker: IpAddr,
        /// So many more are passed on.
        room: usize,
    },
    Items(mpsc::Sender<Item>),
    /// Items, if they are records of this server.
    Records(ServerKey, mpsc::Sender<FoundRecord>),
}

impl Listener {
    pub(crate) fn hear(&mut self, report: Report) {
        match (report, &mut self.found) {
            (Report::Peer(peer), Found::Peers { peers, asker, room }) if *room > 0 && reachable(*asker, &peer) => {
                *room -= 1;
                pass(peers, peer);
            }
            (Report::Item(item), Found::Items(items)) => pass(items, item),
            (Report::Item(item), Found::Records(key, records)) => {
                if let Some(record) = FoundRecord::checked(*key, &item) {
                    pass(records, record);
                }
            }
            (Report::Done(outcome), _) => {
                // Whoever waits for the end has read the rest when it comes, because the channel is closed first.
                self.found = Found::Nothing;
                if let Some(Err(_unheard)) = self.done.take().map(|done| done.send(Box::new(outcome))) {
                    tracing::trace!("nobody waits for the end of a task any more");
                }
            }
            _ => {}
        }
    }

    /// Whether anybody still listens.
    pub(crate) fn is_there(&self) -> bool {
        let hears_found = match &self.found {
            Found::Nothing => false,
            Found::Peers { peers, .. } => !peers.is_closed(),
            Found::Items(items) => !items.is_closed(),
            Found::Records(_, records) => !records.is_closed(),
        };
        hears_found || self.done.as_ref().is_some_and(|done| !done.is_closed())
    }
}

fn pass<T>(sender: &mpsc::Sender<T>, found: T) {
    if let Err(TrySendError::Full(_)) = sender.try_send(found) {
        tracing::debug!("more is found in the DHT than is read");
    }
}

/// Whether an address that strangers gave can be dialled at all.
fn reachable(asker: IpAddr, peer: &SocketAddr) -> bool {
    let ip = peer.ip();
    let leaves_loopback = asker.is_loopback() && !ip.is_loopback();
    peer.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !leaves_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_dialled_are_dropped() {
        let asker = "192.0.2.9".parse().expect("an address");
        let reachable = |text: &str| reachable(asker, &text.parse().expect("an address"));
        assert!(reachable("127.0.0.1:1") && reachable("[2001:db8::1]:1"));
        assert!(!reachable("127.0.0.1:0") && !reachable("0.0.0.0:1") && !reachable("224.0.0.1:1"));
    }

    #[test]
    fn a_node_on_loopback_gives_peers_on_loopback_only() {
        let asker = "127.0.0.3".parse().expect("an address");
        let reachable = |text: &str| reachable(asker, &text.parse().expect("an address"));
        assert!(reachable("127.1.2.3:1") && reachable("[::1]:1"));
        assert!(!reachable("192.0.2.1:1") && !reachable("10.0.0.1:1") && !reachable("[2001:db8::1]:1"));
    }

    #[test]
    fn a_flood_of_peers_is_cut_and_the_end_still_comes() {
        let (peers, mut found) = mpsc::channel(FOUND_MAX);
        let (done, mut ended) = oneshot::channel();
        let asker = "127.0.0.1".parse().expect("an address");
        let mut listener = Listener { found: Found::Peers { peers, asker, room: 3 }, done: Some(done) };
        (1..=9).for_each(|port| listener.hear(Report::Peer(SocketAddr::new(asker, port))));
        listener.hear(Report::Done(Outcome::default()));
        let passed: Vec<u16> = std::iter::from_fn(|| found.try_recv().ok()).map(|peer| peer.port()).collect();
        assert_eq!(passed, [1, 2, 3]);
        assert!(found.is_closed() && ended.try_recv().is_ok() && !listener.is_there());
    }
}
