//! Peers that announced themselves (BEP5).
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::place::Host;
use crate::{Id, Time};

/// A peer that does not announce itself again is forgotten after this time.
const PEER_LASTS: Duration = Duration::from_secs(30 * 60);

/// How much the store holds.
#[derive(Debug, Clone, Copy)]
struct PeerBounds {
    /// Peers of one infohash.
    torrent: usize,
    /// Peers announced from one host.
    host: usize,
    /// Peers in all.
    all: usize,
}

/// The peers that announced themselves, within bounds. Where there is no room for a new one, the oldest of whoever
/// takes most room goes.
#[derive(Debug)]
pub(crate) struct PeerStore {
    bounds: PeerBounds,
    swarms: BTreeMap<Id, Swarm>,
    /// By the number of their announcement, so that the first is the oldest.
    announced: BTreeMap<u64, Announced>,
    hosts: BTreeMap<Host, BTreeSet<u64>>,
    /// How much each host has, so that the last has most.
    crowds: BTreeSet<(usize, Host)>,
    next_number: u64,
}

/// The peers of one infohash, in order of their addresses, so that those of one host stand together.
#[derive(Debug, Default)]
struct Swarm {
    v4: Vec<Peer>,
    v6: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    at: Time,
    number: u64,
}

#[derive(Debug)]
struct Announced {
    info_hash: Id,
    address: SocketAddr,
    at: Time,
}

impl Default for PeerBounds {
    fn default() -> Self {
        Self { torrent: 500, host: 200, all: 20_000 }
    }
}

impl PeerStore {
    pub(crate) fn new() -> Self {
        Self::bounded(PeerBounds::default())
    }

    const fn bounded(bounds: PeerBounds) -> Self {
        Self {
            bounds,
            swarms: BTreeMap::new(),
            announced: BTreeMap::new(),
            hosts: BTreeMap::new(),
            crowds: BTreeSet::new(),
            next_number: 0,
        }
    }

    /// Keeps a peer, or keeps it for longer. One without a port cannot be reached and is not kept.
    pub(crate) fn announce(&mut self, info_hash: Id, peer: SocketAddr, now: Time) {
        if peer.port() == 0 {
            return;
        }
        self.expire(now);
        if let Some(number) = self.number(&info_hash, peer) {
            self.remove(number);
        }
        self.make_room(&info_hash, Host::of(peer.ip()));
        self.insert(Announced { info_hash, address: peer, at: now });
    }

    /// Up to `count` peers of an infohash; `pick` is a random number that says with which to begin.
    pub(crate) fn find(&self, info_hash: &Id, v6: bool, count: usize, pick: u64, now: Time) -> Vec<SocketAddr> {
        let Some(swarm) = self.swarms.get(info_hash) else {
            return Vec::new();
        };
        let peers = swarm.family(v6);
        let (before, after) = peers.split_at(start(peers.len(), pick));
        let fresh = after.iter().chain(before).filter(|peer| !is_old(peer.at, now));
        fresh.take(count).map(|peer| peer.address).collect()
    }

    /// Forgets those who were silent for too long.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some((&number, _)) = self.announced.first_key_value().filter(|(_, oldest)| is_old(oldest.at, now)) {
            self.remove(number);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.announced.len()
    }

    fn number(&self, info_hash: &Id, peer: SocketAddr) -> Option<u64> {
        let peers = self.swarms.get(info_hash)?.family(peer.is_ipv6());
        let position = peers.binary_search_by_key(&peer, |peer| peer.address).ok()?;
        Some(peers[position].number)
    }

    fn make_room(&mut self, info_hash: &Id, host: Host) {
        let own = self.hosts.get(&host).filter(|numbers| numbers.len() >= self.bounds.host);
        if let Some(oldest) = own.and_then(|numbers| numbers.first().copied()) {
            self.remove(oldest);
        }
        let swarm = self.swarms.get(info_hash).filter(|swarm| swarm.len() >= self.bounds.torrent);
        if let Some(oldest) = swarm.and_then(Swarm::oldest_of_most) {
            self.remove(oldest);
        }
        if self.len() >= self.bounds.all
            && let Some(oldest) = self.oldest_of_most()
        {
            self.remove(oldest);
        }
    }

    fn oldest_of_most(&self) -> Option<u64> {
        let (_, host) = self.crowds.last()?;
        self.hosts.get(host)?.first().copied()
    }

    fn insert(&mut self, announced: Announced) {
        let number = self.next_number;
        self.next_number += 1;
        let peer = Peer { address: announced.address, at: announced.at, number };
        self.swarms.entry(announced.info_hash).or_default().insert(peer);
        self.change_host(Host::of(announced.address.ip()), |numbers| numbers.insert(number));
        self.announced.insert(number, announced);
    }

    fn remove(&mut self, number: u64) {
        let Some(announced) = self.announced.remove(&number) else {
            return;
        };
        self.change_host(Host::of(announced.address.ip()), |numbers| numbers.remove(&number));
        if let Some(swarm) = self.swarms.get_mut(&announced.info_hash) {
            swarm.remove(announced.address);
            if swarm.len() == 0 {
                self.swarms.remove(&announced.info_hash);
            }
        }
    }

    fn change_host(&mut self, host: Host, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let numbers = self.hosts.entry(host).or_default();
        self.crowds.remove(&(numbers.len(), host));
        change(numbers);
        if numbers.is_empty() {
            self.hosts.remove(&host);
        } else {
            self.crowds.insert((numbers.len(), host));
        }
    }
}

impl Swarm {
    const fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn family(&self, v6: bool) -> &[Peer] {
        if v6 { &self.v6 } else { &self.v4 }
    }

    const fn family_mut(&mut self, v6: bool) -> &mut Vec<Peer> {
        if v6 { &mut self.v6 } else { &mut self.v4 }
    }

    fn insert(&mut self, peer: Peer) {
        let peers = self.family_mut(peer.address.is_ipv6());
        let position = peers.partition_point(|other| other.address < peer.address);
        peers.insert(position, peer);
    }

    fn remove(&mut self, address: SocketAddr) {
        let peers = self.family_mut(address.is_ipv6());
        if let Ok(position) = peers.binary_search_by_key(&address, |peer| peer.address) {
            peers.remove(position);
        }
    }

    /// The oldest peer of the host that has most peers here, and of equal ones of the one with the oldest.
    fn oldest_of_most(&self) -> Option<u64> {
        let hosts = [&self.v4, &self.v6].into_iter().flat_map(|peers| peers.chunk_by(Peer::shares_host));
        let crowds =
            hosts.filter_map(|peers| Some((peers.len(), Reverse(peers.iter().map(|peer| peer.number).min()?))));
        crowds.max().map(|(_, Reverse(number))| number)
    }
}

impl Peer {
    fn shares_host(&self, other: &Self) -> bool {
        Host::of(self.address.ip()) == Host::of(other.address.ip())
    }
}

fn is_old(at: Time, now: Time) -> bool {
    now.since(at) > PEER_LASTS
}

/// A position below `length` (zero if there is none), all equally likely.
fn start(length: usize, pick: u64) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX).max(1);
    usize::try_from(pick % length).unwrap_or(0)
}

#[cfg(test)]
mod tests;
