//! An iterative look-up in one family of addresses: whom to ask next, and when it is complete.
//!
//! It asks the nearest nodes it has heard of, a few at a time, until the nearest
//! [`WIDTH`] that are left have answered. A node that is slow frees its place among those asked at a
//! time and is no longer waited for, but may still answer. Strangers cannot crowd out the rest
//! with made-up nodes near the target: of one subnet, and of those whose id does not follow from
//! their address (BEP42), only a part of the width is counted.
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::node::Family;
use crate::place::Network;
use crate::{Distance, Id, NodeInfo};

/// So many of the nearest nodes are asked, and told to store: enough that some are left after an
/// hour in which most have gone.
pub(crate) const WIDTH: usize = 20;
/// So many are asked at a time.
const PARALLEL: usize = 8;
/// Nodes of one subnet that are counted.
const PER_SUBNET: usize = 2;
/// Nodes that are counted though their id does not follow from their address.
const UNFOUNDED: usize = WIDTH / 2;
/// A look-up that has asked so many is complete: somebody leads it astray.
const ASKED_MAX: usize = 200;
const CANDIDATES_MAX: usize = 256;
/// Who has named so many that do not answer is not believed about the others.
const SILENT_NAMES_MAX: u8 = 3;
/// Of the nodes named in one answer so many are heard, the nearest ones: others name no more (BEP5).
const NAMES_MAX: usize = 8;

/// A look-up under way.
#[derive(Debug)]
pub(crate) struct Lookup {
    family: Family,
    target: Id,
    /// Whether only those who give a token are of use in the end.
    needs_token: bool,
    candidates: BTreeMap<(Distance, SocketAddr), Candidate>,
    /// Where each address is among the candidates; those without an id yet are nowhere.
    places: BTreeMap<SocketAddr, Option<Distance>>,
    /// Addresses to ask whose id is not known.
    hosts: Vec<SocketAddr>,
    /// Asked, and still waited for.
    waiting: BTreeSet<SocketAddr>,
    /// Asked and slow: not waited for, unless nobody has answered.
    slow: BTreeSet<SocketAddr>,
    /// How many nodes that somebody named did not answer.
    silent_names: BTreeMap<SocketAddr, u8>,
    asked: usize,
    answered: usize,
}

#[derive(Debug)]
struct Candidate {
    id: Id,
    state: State,
    /// Whether its id follows from its address.
    founded: bool,
    /// Who named it first, unless it was known before.
    namer: Option<SocketAddr>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Asked,
    Slow,
    Answered { token: Option<Vec<u8>> },
    Failed,
}

/// A node that can be told to store, with the token it gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Storer {
    pub(crate) address: SocketAddr,
    pub(crate) token: Vec<u8>,
}

impl Lookup {
    /// Begins at these nodes, and at hosts of which only the address is known.
    pub(crate) fn new(
        family: Family,
        target: Id,
        needs_token: bool,
        nodes: Vec<NodeInfo>,
        hosts: Vec<SocketAddr>,
    ) -> Self {
        let mut lookup = Self {
            family,
            target,
            needs_token,
            candidates: BTreeMap::new(),
            places: BTreeMap::new(),
            hosts: vec![],
            waiting: BTreeSet::new(),
            slow: BTreeSet::new(),
            silent_names: BTreeMap::new(),
            asked: 0,
            answered: 0,
        };
        nodes.into_iter().for_each(|node| lookup.add(node, None));
        for host in hosts {
            if let Entry::Vacant(place) = lookup.places.entry(host) {
                place.insert(None);
                lookup.hosts.push(host);
            }
        }
        lookup
    }

    pub(crate) const fn asked(&self) -> usize {
        self.asked
    }

    pub(crate) const fn answered_count(&self) -> usize {
        self.answered
    }

    /// Whom to ask now, if anybody; that one counts as asked from here on.
    pub(crate) fn next(&mut self) -> Option<SocketAddr> {
        if self.waiting.len() >= PARALLEL || self.asked >= ASKED_MAX {
            return None;
        }
        let address = match self.hosts.pop() {
            Some(host) => host,
            None => {
                let (key, _) = self.counted().find(|(_, candidate)| candidate.state == State::Fresh)?;
                let key = *key;
                self.set(key, State::Asked);
                key.1
            }
        };
        self.asked += 1;
        self.waiting.insert(address);
        Some(address)
    }

    /// A node answered.
    pub(crate) fn answered(&mut self, node: NodeInfo, token: Option<Vec<u8>>) {
        if !self.waiting.remove(&node.address) && !self.slow.remove(&node.address) {
            return;
        }
        self.answered += 1;
        let distance = node.id.distance(&self.target);
        if let Some(Some(before)) = self.places.insert(node.address, Some(distance)) {
            self.candidates.remove(&(before, node.address));
        }
        let founded = node.id.follows_from(node.address.ip());
        let answered = Candidate { id: node.id, state: State::Answered { token }, founded, namer: None };
        self.candidates.insert((distance, node.address), answered);
    }

    /// Somebody named these nodes; those of this family are candidates.
    pub(crate) fn hear(&mut self, namer: SocketAddr, nodes: &[NodeInfo]) {
        if self.silent_names.get(&namer).is_some_and(|silent| *silent >= SILENT_NAMES_MAX) {
            return;
        }
        let (family, target) = (self.family, self.target);
        let mut named: Vec<NodeInfo> =
            nodes.iter().filter(|node| Family::of(&node.address) == family).copied().collect();
        named.sort_unstable_by_key(|node| node.id.distance(&target));
        named.into_iter().take(NAMES_MAX).for_each(|node| self.add(node, Some(namer)));
    }

    /// A node takes longer than usual.
    pub(crate) fn is_slow(&mut self, address: SocketAddr) {
        if self.waiting.remove(&address) {
            self.slow.insert(address);
            self.set_at(address, State::Slow);
            self.doubt_namer_of(address);
        }
    }

    /// A node did not answer, or not as it should.
    pub(crate) fn failed(&mut self, address: SocketAddr) {
        let was_waited_for = self.waiting.remove(&address);
        if was_waited_for || self.slow.remove(&address) {
            self.set_at(address, State::Failed);
        }
        if was_waited_for {
            self.doubt_namer_of(address);
        }
    }

    /// Whoever names nodes that are not there could keep a look-up busy for good: what else it named is
    /// forgotten, until somebody else names it.
    fn doubt_namer_of(&mut self, address: SocketAddr) {
        let Some(Some(distance)) = self.places.get(&address) else { return };
        let Some(namer) = self.candidates.get(&(*distance, address)).and_then(|silent| silent.namer) else { return };
        let count = self.silent_names.entry(namer).or_default();
        *count = count.saturating_add(1);
        if *count < SILENT_NAMES_MAX {
            return;
        }
        let places = &mut self.places;
        self.candidates.retain(|(_, address), candidate| {
            let stays = candidate.namer != Some(namer) || candidate.state != State::Fresh;
            if !stays {
                places.remove(address);
            }
            stays
        });
    }

    /// Whether nobody is left to ask or to wait for. While more are slow than have answered it is the
    /// network that is slow, and they are waited for.
    pub(crate) fn is_complete(&self) -> bool {
        let waited_for = !self.waiting.is_empty() || self.slow.len() > self.answered;
        !waited_for && (self.asked >= ASKED_MAX || !self.has_more())
    }

    fn has_more(&self) -> bool {
        !self.hosts.is_empty() || self.counted().any(|(_, candidate)| candidate.state == State::Fresh)
    }

    /// The nearest nodes that answered, nearest first.
    pub(crate) fn nearest(&self) -> Vec<NodeInfo> {
        let answered = self.fair(|state| matches!(state, State::Answered { .. }));
        answered.map(|((_, address), candidate)| NodeInfo { id: candidate.id, address: *address }).collect()
    }

    /// The nearest nodes that gave a token.
    pub(crate) fn storers(&self) -> Vec<Storer> {
        let storer = |(key, candidate): (&(Distance, SocketAddr), &Candidate)| match &candidate.state {
            State::Answered { token: Some(token) } => Some(Storer { address: key.1, token: token.clone() }),
            _ => None,
        };
        self.fair(|state| matches!(state, State::Answered { token: Some(_) })).filter_map(storer).collect()
    }

    /// The nearest candidates that answered as they should, or may still.
    fn counted(&self) -> impl Iterator<Item = (&(Distance, SocketAddr), &Candidate)> {
        let needs_token = self.needs_token;
        self.fair(move |state| match state {
            State::Fresh | State::Asked => true,
            State::Answered { token } => token.is_some() || !needs_token,
            State::Slow | State::Failed => false,
        })
    }

    /// The nearest candidates in these states, as far as the width goes, without those that would
    /// crowd out the rest.
    fn fair(&self, counts: impl Fn(&State) -> bool) -> impl Iterator<Item = (&(Distance, SocketAddr), &Candidate)> {
        let mut subnets: Vec<(Network, usize)> = Vec::with_capacity(WIDTH);
        let mut unfounded = 0;
        let candidates = self.candidates.iter().filter(move |(_, candidate)| counts(&candidate.state));
        let fair = candidates.filter(move |((_, address), candidate)| {
            if (!candidate.founded && unfounded >= UNFOUNDED) || !room_in_subnet(&mut subnets, *address) {
                return false;
            }
            unfounded += usize::from(!candidate.founded);
            true
        });
        fair.take(WIDTH)
    }

    fn add(&mut self, node: NodeInfo, namer: Option<SocketAddr>) {
        if self.places.contains_key(&node.address) {
            return;
        }
        let distance = node.id.distance(&self.target);
        if self.candidates.len() >= CANDIDATES_MAX && !self.make_room(&distance) {
            return;
        }
        self.places.insert(node.address, Some(distance));
        let founded = node.id.follows_from(node.address.ip());
        self.candidates
            .insert((distance, node.address), Candidate { id: node.id, state: State::Fresh, founded, namer });
    }

    /// Drops the furthest candidate, if it is further than `distance`. Who was asked is not forgotten,
    /// so that it is not asked again.
    fn make_room(&mut self, distance: &Distance) -> bool {
        let Some(furthest) = self.candidates.last_entry().filter(|furthest| furthest.key().0 > *distance) else {
            return false;
        };
        let ((_, address), candidate) = furthest.remove_entry();
        if candidate.state == State::Fresh {
            self.places.remove(&address);
        } else {
            self.places.insert(address, None);
        }
        true
    }

    fn set_at(&mut self, address: SocketAddr, state: State) {
        if let Some(Some(distance)) = self.places.get(&address) {
            self.set((*distance, address), state);
        }
    }

    fn set(&mut self, key: (Distance, SocketAddr), state: State) {
        if let Some(candidate) = self.candidates.get_mut(&key) {
            candidate.state = state;
        }
    }
}

/// Counts one more node of a subnet, if it may have one more.
fn room_in_subnet(subnets: &mut Vec<(Network, usize)>, address: SocketAddr) -> bool {
    let Some(subnet) = Network::of(address.ip()) else { return true };
    match subnets.iter_mut().find(|(known, _)| *known == subnet) {
        Some((_, count)) if *count >= PER_SUBNET => false,
        Some((_, count)) => {
            *count += 1;
            true
        }
        None => {
            subnets.push((subnet, 1));
            true
        }
    }
}

#[cfg(test)]
mod tests;
