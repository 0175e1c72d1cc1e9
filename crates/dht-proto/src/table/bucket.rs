//! The nodes at one distance.
use std::net::SocketAddr;

use super::{ANSWER_AGE_MAX, CHECK_PAUSE, SILENCE_MAX};
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
    InsteadOf(usize),
}

impl Entry {
    pub(super) fn new(node: NodeInfo, now: Time) -> Self {
        let follows = node.id.follows_from(node.address.ip());
        Self { node, checked: None, follows, answered: now, heard: now, answers: 1, failures: 0 }
    }

    pub(super) const fn answered(&mut self, now: Time) {
        self.answered = now;
        self.heard = now;
        self.answers = self.answers.saturating_add(1);
        self.failures = 0;
    }

    pub(super) const fn asked(&mut self, now: Time) {
        self.heard = now;
    }

    pub(super) const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
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
        let rank = if is_questionable { 0 } else { 1 };
        let is_rested = self.checked.is_none_or(|checked| now.since(checked) >= CHECK_PAUSE);
        (is_rested && (is_questionable || is_young)).then_some((rank, self.heard))
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

    /// Where a node that has answered goes.
    pub(super) fn room(&self, new: &Entry, now: Time) -> Option<Room> {
        let is_crowded = self.is_crowded(new);
        if !is_crowded && self.entries.len() < self.capacity {
            return Some(Room::Free);
        }
        let candidates =
            self.entries.iter().enumerate().filter(|(_, entry)| !is_crowded || entry.network() == new.network());
        let ranked = candidates.filter_map(|(index, entry)| Some((entry.yield_rank(new, now)?, index)));
        ranked.min().map(|(_, index)| Room::InsteadOf(index))
    }

    /// Whether there is room for a node, or will be if one of those here turns out to be gone.
    pub(super) fn may_have_room(&self, new: &Entry, now: Time) -> bool {
        let waits = self.spare.iter().any(|entry| Place::of(entry.node.address) == Place::of(new.node.address));
        let is_crowded = self.is_crowded(new);
        let doubted = |entry: &Entry| !entry.is_good(now) && (!is_crowded || entry.network() == new.network());
        self.room(new, now).is_some() || (!waits && self.entries.iter().any(doubted))
    }

    /// Returns who was there before.
    pub(super) fn put(&mut self, entry: Entry, room: Room) -> Option<Entry> {
        match room {
            Room::Free => {
                self.entries.push(entry);
                None
            }
            Room::InsteadOf(index) => Some(std::mem::replace(&mut self.entries[index], entry)),
        }
    }

    /// Lets a node wait, as the youngest one.
    pub(super) fn keep_spare(&mut self, entry: Entry) {
        let place = Place::of(entry.node.address);
        self.spare.retain(|other| Place::of(other.node.address) != place && other.node.id != entry.node.id);
        if count_neighbours(&self.spare, &entry) >= NETWORK_MAX {
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
                && count_neighbours(stay.iter().copied(), entry) < NETWORK_MAX
        };
        let position = self.spare.iter().rposition(fits)?;
        Some(self.spare.remove(position))
    }

    /// Whether the neighbours of this node have all the entries that they may have.
    fn is_crowded(&self, new: &Entry) -> bool {
        count_neighbours(&self.entries, new) >= NETWORK_MAX
    }
}

/// How many of these are neighbours of a node; local addresses have none.
fn count_neighbours<'a>(entries: impl IntoIterator<Item = &'a Entry>, of: &Entry) -> usize {
    let network = of.network();
    entries.into_iter().filter(|entry| network.is_some() && entry.network() == network).count()
}
