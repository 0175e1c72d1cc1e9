//! Peers that announced themselves (BEP5).
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::place::{Place, is_local};
use crate::{Id, Time};

/// A peer that does not announce itself again is forgotten after this time.
const PEER_LASTS: Duration = Duration::from_secs(30 * 60);

/// How much the store holds.
#[derive(Debug, Clone, Copy)]
struct PeerBounds {
    /// Peers of one infohash.
    torrent: usize,
    /// Peers announced from one place.
    place: usize,
    /// Peers of one infohash announced from one place.
    place_in_torrent: usize,
    /// Peers in all.
    all: usize,
}

/// The peers that announced themselves, within bounds; who counts as one is a [`Place`]. Where there is no room for a
/// new one, the oldest of whoever takes most room goes.
#[derive(Debug)]
pub(crate) struct PeerStore {
    bounds: PeerBounds,
    swarms: BTreeMap<Id, Swarm>,
    /// By the number of their announcement, so that the first is the oldest.
    announced: BTreeMap<u64, Announced>,
    places: BTreeMap<Place, BTreeSet<u64>>,
    /// How much each place has, so that the last has most.
    crowds: BTreeSet<(usize, Place)>,
    next_number: u64,
}

/// The peers of one infohash, in order of their addresses, so that those of one place stand together.
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
        Self { torrent: 500, place: 200, place_in_torrent: 8, all: 20_000 }
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
            places: BTreeMap::new(),
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
        self.make_room(&info_hash, Place::of(peer));
        self.insert(Announced { info_hash, address: peer, at: now });
    }

    /// Up to `count` peers of an infohash; `pick` is a random number that says which, if there are more. Peers of our
    /// own networks are only named if the asker is `local`, too.
    pub(crate) fn find(
        &self,
        info_hash: &Id,
        v6: bool,
        local: bool,
        count: usize,
        pick: u64,
        now: Time,
    ) -> Vec<SocketAddr> {
        let Some(swarm) = self.swarms.get(info_hash) else {
            return Vec::new();
        };
        let useful = |peer: &&Peer| !is_old(peer.at, now) && (local || !is_local(peer.address.ip()));
        sample(swarm.family(v6).iter().filter(useful).map(|peer| peer.address).collect(), count, pick)
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

    fn make_room(&mut self, info_hash: &Id, place: Place) {
        let mates = self.swarms.get(info_hash).map(|swarm| swarm.numbers_of(place)).unwrap_or_default();
        if let Some(oldest) = mates.iter().min().filter(|_| mates.len() >= self.bounds.place_in_torrent) {
            self.remove(*oldest);
        }
        let own = self.places.get(&place).filter(|numbers| numbers.len() >= self.bounds.place);
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
        let (_, place) = self.crowds.last()?;
        self.places.get(place)?.first().copied()
    }

    fn insert(&mut self, announced: Announced) {
        let number = self.next_number;
        self.next_number += 1;
        let peer = Peer { address: announced.address, at: announced.at, number };
        self.swarms.entry(announced.info_hash).or_default().insert(peer);
        self.change_place(Place::of(announced.address), |numbers| numbers.insert(number));
        self.announced.insert(number, announced);
    }

    fn remove(&mut self, number: u64) {
        let Some(announced) = self.announced.remove(&number) else {
            return;
        };
        self.change_place(Place::of(announced.address), |numbers| numbers.remove(&number));
        if let Some(swarm) = self.swarms.get_mut(&announced.info_hash) {
            swarm.remove(announced.address);
            if swarm.len() == 0 {
                self.swarms.remove(&announced.info_hash);
            }
        }
    }

    fn change_place(&mut self, place: Place, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let numbers = self.places.entry(place).or_default();
        self.crowds.remove(&(numbers.len(), place));
        change(numbers);
        if numbers.is_empty() {
            self.places.remove(&place);
        } else {
            self.crowds.insert((numbers.len(), place));
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

    fn numbers_of(&self, place: Place) -> Vec<u64> {
        let peers = self.v4.iter().chain(&self.v6).filter(|peer| Place::of(peer.address) == place);
        peers.map(|peer| peer.number).collect()
    }

    /// The oldest peer of the place that has most peers here, and of equal ones of the one with the oldest.
    fn oldest_of_most(&self) -> Option<u64> {
        let places = [&self.v4, &self.v6].into_iter().flat_map(|peers| peers.chunk_by(Peer::shares_place));
        let crowds =
            places.filter_map(|peers| Some((peers.len(), Reverse(peers.iter().map(|peer| peer.number).min()?))));
        crowds.max().map(|(_, Reverse(number))| number)
    }
}

impl Peer {
    fn shares_place(&self, other: &Self) -> bool {
        Place::of(self.address) == Place::of(other.address)
    }
}

fn is_old(at: Time, now: Time) -> bool {
    now.since(at) > PEER_LASTS
}

/// Up to `count` of these, all equally likely.
fn sample(mut peers: Vec<SocketAddr>, count: usize, pick: u64) -> Vec<SocketAddr> {
    let mut random = ChaCha8Rng::seed_from_u64(pick);
    let count = count.min(peers.len());
    for chosen in 0..count {
        let rest = u64::try_from(peers.len() - chosen).unwrap_or(u64::MAX);
        let offset = usize::try_from(random.next_u64() % rest).unwrap_or(0);
        peers.swap(chosen, chosen + offset);
    }
    peers.truncate(count);
    peers
}

#[cfg(test)]
mod tests;
