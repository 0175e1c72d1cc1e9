//! The peers known for one fetch.
use std::{collections::BTreeSet, net::SocketAddr};

use tokio::sync::mpsc;

use super::PEERS_PER_FETCH_MAX;

/// Peers known so far, and the channel on which more come.
pub(super) struct Peers {
    known: BTreeSet<SocketAddr>,
    lists: mpsc::Receiver<Vec<SocketAddr>>,
    own: SocketAddr,
}

impl Peers {
    /// Starts with `first`; `own` is the listener of this process, which is no peer.
    pub(super) fn new(own: SocketAddr, first: &[SocketAddr], lists: mpsc::Receiver<Vec<SocketAddr>>) -> Self {
        let mut peers = Self { known: BTreeSet::new(), lists, own };
        peers.learn(first);
        peers
    }

    pub(super) fn known(&self) -> Vec<SocketAddr> {
        self.known.iter().copied().collect()
    }

    /// Waits for peers not known before. Never returns once the service has ended.
    pub(super) async fn next(&mut self) -> Vec<SocketAddr> {
        while let Some(list) = self.lists.recv().await {
            let new = self.learn(&list);
            if !new.is_empty() {
                return new;
            }
        }
        std::future::pending().await
    }

    /// Those of `peers` that are new.
    fn learn(&mut self, peers: &[SocketAddr]) -> Vec<SocketAddr> {
        let usable = |peer: &&SocketAddr| **peer != self.own && peer.port() != 0 && !peer.ip().is_unspecified();
        let mut new = Vec::new();
        for peer in peers.iter().filter(usable) {
            if self.known.len() < PEERS_PER_FETCH_MAX && self.known.insert(*peer) {
                new.push(*peer);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn peers_are_told_once_and_we_are_none() {
        let (_lists, inbox) = mpsc::channel(1);
        let mut peers = Peers::new(peer(9), &[peer(1), peer(9)], inbox);
        assert_eq!(peers.learn(&[peer(1), peer(2), peer(0), peer(9)]), [peer(2)]);
        assert_eq!(peers.known(), [peer(1), peer(2)]);
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let (_lists, inbox) = mpsc::channel(1);
        let many: Vec<_> = (1..=1000).map(peer).collect();
        assert_eq!(Peers::new(peer(2000), &many, inbox).known().len(), PEERS_PER_FETCH_MAX);
    }
}
