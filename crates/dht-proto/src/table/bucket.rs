//! The nodes at one distance.
use std::net::SocketAddr;

use super::{ANSWER_AGE_MAX, CHECK_PAUSE, Rivals, SILENCE_MAX};
use crate::place::{Network, Place};
use crate::{Id, NodeInfo, Time};

/// Nodes that wait for an entry of a full bucket.
const SPARE_MAX: usize = 8;
/// Entries of one bucket that neighbours may have.
const NETWORK_MAX: usize = 2;
/// With so many unanswered queries in a row a node is bad.
const FAILURES_BAD: u32 = 2;
/// With so many it leaves, even if nobody waits for its entry.
const FAILURES_LOST: u32 = 3;

/// A node that has answered, and how it behaved.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) node: NodeInfo,
    pub(super) checked: Option<Time>,
    /// Whether its id follows from its address (BEP42), so that it could not choose where to be.
    follows: bool,
    answered: Time,
    heard: Time,
    answers: u32,
    failures: u32,
    /// Whether somebody else claimed its id or place since it last answered.
    claimed: bool,
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) entries: Vec<Entry>,
    /// Those that wait, the youngest last.
    pub(super) spare: Vec<Entry>,
    /// When a node of this bucket last answered.
    pub(super) touched: Time,
    capacity: usize,
}

/// Where a node can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    InsteadOf(Id),
}

impl Entry {
    pub(super) fn new(node: NodeInfo, now: Time) -> Self {
        let follows = node.id.follows_from(node.address.ip());
        Self { node, checked: None, follows, answered: now, heard: now, answers: 1, failures: 0, claimed: false }
    }

    pub(super) const fn answered(&mut self, now: Time) {
        self.answered = now;
        self.heard = now;
        self.answers = self.answers.saturating_add(1);
        self.failures = 0;
        self.claimed = false;
    }

    pub(super) const fn asked(&mut self, now: Time) {
        self.heard = now;
    }

    pub(super) const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Somebody else claims its id or place: it must be asked whether it is still there.
    pub(super) const fn claimed(&mut self) {
        self.claimed = true;
    }

    /// Whether it gives way to another node that claims its id or place. Silence is no reason: it may have had
    /// nothing to say.
    pub(super) const fn yields_to(&self, claimant: &Self) -> bool {
        self.is_bad() || (self.failures > 0 && (claimant.follows || !self.follows))
    }

    pub(super) const fn is_bad(&self) -> bool {
        self.failures >= FAILURES_BAD
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.failures >= FAILURES_LOST
    }

    pub(super) fn is_good(&self, now: Time) -> bool {
        self.failures == 0 && now.since(self.heard) <= SILENCE_MAX
    }

    /// How urgent it is to ask whether this node is there, the smallest first; none if it is not.
    pub(super) fn check_rank(&self, now: Time) -> Option<(u8, Time)> {
        let is_questionable = !self.is_good(now) || now.since(self.answered) > ANSWER_AGE_MAX;
        let is_young = self.answers == 1 && now.since(self.answered) >= CHECK_PAUSE;
        let rank = match (self.claimed, is_questionable) {
            (true, _) => 0,
            (_, true) => 1,
            _ => 2,
        };
        let is_rested = self.checked.is_none_or(|checked| now.since(checked) >= CHECK_PAUSE);
        (is_rested && (self.claimed || is_questionable || is_young)).then_some((rank, self.heard))
    }

    fn network(&self) -> Option<Network> {
        Network::of(self.node.address.ip())
    }

    /// How readily this entry gives way to another node, the smallest first; none if it does not.
    fn yield_rank(&self, other: &Self, now: Time) -> Option<(u8, Time)> {
        let rank = match self.failures {
            FAILURES_BAD.. => 0,
            1 => 1,
            _ if self.follows || !other.follows => return None,
            _ if !self.is_good(now) => 2,
            _ => 3,
        };
        Some((rank, self.heard))
    }
}

impl Bucket {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { entries: Vec::new(), spare: Vec::new(), touched: Time(std::time::Duration::ZERO), capacity }
    }

    pub(super) fn is_stale(&self, now: Time) -> bool {
        now.since(self.touched) > SILENCE_MAX
    }

    /// Where a node that has answered goes, once its rivals have left.
    pub(super) fn room(&self, new: &Entry, rivals: Rivals, now: Time) -> Option<Room> {
        let stay = || self.entries.iter().filter(|entry| !rivals.contains(&Some(entry.node.id)));
        let is_crowded = is_crowded(stay(), new);
        if !is_crowded && stay().count() < self.capacity {
            return Some(Room::Free);
        }
        let candidates = stay().filter(|entry| !is_crowded || entry.network() == new.network());
        let ranked = candidates.filter_map(|entry| Some((entry.yield_rank(new, now)?, entry.node.id)));
        ranked.min().map(|(_, id)| Room::InsteadOf(id))
    }

    /// Whether there is room for a node, or will be if one of those here turns out to be gone.
    pub(super) fn may_have_room(&self, new: &Entry, rivals: Rivals, now: Time) -> bool {
        let waits = self.spare.iter().any(|entry| Place::of(entry.node.address) == Place::of(new.node.address));
        let is_crowded = is_crowded(&self.entries, new);
        let doubted = |entry: &Entry| !entry.is_good(now) && (!is_crowded || entry.network() == new.network());
        self.room(new, rivals, now).is_some() || (!waits && self.entries.iter().any(doubted))
    }

    /// Lets a node wait, as the youngest one.
    pub(super) fn keep_spare(&mut self, entry: Entry) {
        let place = Place::of(entry.node.address);
        self.spare.retain(|other| Place::of(other.node.address) != place && other.node.id != entry.node.id);
        if is_crowded(&self.spare, &entry) {
            return;
        }
        if self.spare.len() >= SPARE_MAX {
            self.spare.remove(0);
        }
        self.spare.push(entry);
    }

    pub(super) fn drop_spare(&mut self, address: SocketAddr) {
        self.spare.retain(|entry| entry.node.address != address);
    }

    /// The youngest that waits and may have the entry of `out`.
    pub(super) fn take_spare(&mut self, out: &Id, is_taken: impl Fn(Place) -> bool) -> Option<Entry> {
        let stay: Vec<&Entry> = self.entries.iter().filter(|entry| entry.node.id != *out).collect();
        let fits = |entry: &Entry| {
            !is_taken(Place::of(entry.node.address))
                && stay.iter().all(|other| other.node.id != entry.node.id)
                && !is_crowded(stay.iter().copied(), entry)
        };
        let position = self.spare.iter().rposition(fits)?;
        Some(self.spare.remove(position))
    }

    /// The node that waits at this place, if it needs nothing but the place.
    pub(super) fn take_spare_at(&mut self, place: Place) -> Option<Entry> {
        let has_room = self.entries.len() < self.capacity;
        let fits = |entry: &Entry| {
            Place::of(entry.node.address) == place
                && self.entries.iter().all(|other| other.node.id != entry.node.id)
                && !is_crowded(&self.entries, entry)
        };
        let position = self.spare.iter().position(fits).filter(|_| has_room)?;
        Some(self.spare.remove(position))
    }
}

/// Whether neighbours of this node have all of these entries that they may have; local addresses have no neighbours.
fn is_crowded<'a>(entries: impl IntoIterator<Item = &'a Entry>, new: &Entry) -> bool {
    let network = new.network();
    network.is_some() && entries.into_iter().filter(|entry| entry.network() == network).count() >= NETWORK_MAX
}
