//! What the node does unasked: finding its way in, keeping its table fresh, forgetting what is old.
use std::net::SocketAddr;
use std::time::Duration;

use super::tasks::TaskKey;
use super::{Family, Node, bytes};
use crate::{Id, Job, NodeInfo, Time};

const TICK: Duration = Duration::from_secs(10);
/// Known nodes that are asked in one tick whether they are still there.
const CHECKS_PER_TICK: usize = 8;
/// While fewer nodes are known than one answer names, the way in is sought again, more and more rarely.
pub(super) const LONELY: usize = 8;
/// With so many questions lost in a row the nodes that are known are of no use.
pub(super) const LOST_IN_A_ROW_MAX: u32 = 16;
/// How often the node looks itself up, so that its neighbours and it go on knowing each other.
const ITSELF_EVERY: Duration = Duration::from_secs(15 * 60);
const BOOTSTRAP_AGAIN_FIRST: Duration = Duration::from_secs(1);
const BOOTSTRAP_AGAIN_LAST: Duration = Duration::from_secs(300);
/// Strangers who asked something and are asked back: at most so many at once, and so many a second.
const MEETINGS_AT_ONCE: u32 = 100;
const MEETING_EVERY: Duration = Duration::from_millis(50);

/// The timetable of a node.
#[derive(Debug)]
pub(super) struct Upkeep {
    tick: Time,
    bootstrap: Time,
    bootstrap_again: Duration,
    itself: Time,
    /// Nodes of an earlier life: a way in for as long as too few others are known.
    saved: Vec<NodeInfo>,
    /// So many of them have not been asked yet whether they are still there.
    unchecked: usize,
    number: u64,
    meetings: u32,
    meetings_from: Time,
}

impl Upkeep {
    pub(super) fn new(saved: Vec<NodeInfo>, now: Time) -> Self {
        Self {
            tick: now,
            bootstrap: now,
            bootstrap_again: BOOTSTRAP_AGAIN_FIRST,
            itself: now + ITSELF_EVERY,
            unchecked: saved.len(),
            saved,
            number: 0,
            meetings: MEETINGS_AT_ONCE,
            meetings_from: now,
        }
    }

    pub(super) fn due(&self) -> Time {
        self.tick.min(self.bootstrap)
    }

    pub(super) fn saved(&self) -> &[NodeInfo] {
        &self.saved
    }

    /// The way in is to be sought now, as if for the first time.
    pub(super) const fn seek_way_in(&mut self, now: Time) {
        self.bootstrap = now;
        self.bootstrap_again = BOOTSTRAP_AGAIN_FIRST;
    }

    pub(super) const fn look_itself_up_soon(&mut self, now: Time) {
        self.itself = now;
    }

    /// Whether one more stranger can be asked back.
    pub(super) fn may_meet(&mut self, now: Time) -> bool {
        let earned = now.since(self.meetings_from).as_millis() / MEETING_EVERY.as_millis();
        if earned > 0 {
            self.meetings =
                u32::try_from(earned).unwrap_or(u32::MAX).saturating_add(self.meetings).min(MEETINGS_AT_ONCE);
            self.meetings_from = now;
        }
        let may = self.meetings > 0;
        self.meetings -= u32::from(may);
        may
    }
}

impl Node {
    /// Does what is due.
    pub(super) fn keep_up(&mut self, now: Time) {
        if self.upkeep.bootstrap <= now {
            self.find_way_in(now);
        }
        if self.upkeep.tick <= now {
            self.upkeep.tick = now + TICK;
            self.check_nodes(now);
            self.refresh_buckets(now);
            self.look_itself_up(now);
            self.forget_what_is_old(now);
        }
    }

    /// Takes other hosts for its way in.
    pub(super) fn bootstrap_at(&mut self, now: Time, hosts: Vec<SocketAddr>) {
        self.config.bootstrap = hosts;
        self.upkeep.seek_way_in(now);
    }

    /// Looks itself up: so the neighbours learn of it, and it of them.
    fn find_way_in(&mut self, now: Time) {
        let lonely = Family::BOTH.into_iter().filter(|family| self.has(*family) && self.is_lonely(now, *family));
        let lonely: Vec<Family> = lonely.collect();
        for family in &lonely {
            self.start_upkeep(now, self.own(*family));
        }
        let pause = self.upkeep.bootstrap_again;
        self.upkeep.bootstrap = now + pause;
        self.upkeep.bootstrap_again =
            if lonely.is_empty() { BOOTSTRAP_AGAIN_LAST } else { (2 * pause).min(BOOTSTRAP_AGAIN_LAST) };
    }

    fn is_lonely(&self, now: Time, family: Family) -> bool {
        let counts = self.tables[family.index()].counts(now);
        counts.good + counts.questionable < LONELY || self.is_cut_off()
    }

    /// Whether those who are known are all gone, or the network is.
    pub(super) const fn is_cut_off(&self) -> bool {
        self.lost_in_a_row >= LOST_IN_A_ROW_MAX
    }

    fn check_nodes(&mut self, now: Time) {
        for family in Family::BOTH {
            for _ in 0..CHECKS_PER_TICK {
                let Some(node) = self.tables[family.index()].check_next(now) else { break };
                self.check(now, node.address);
            }
        }
        for _ in 0..CHECKS_PER_TICK {
            let Some(next) = self.upkeep.unchecked.checked_sub(1) else { break };
            self.upkeep.unchecked = next;
            let node = self.upkeep.saved[next];
            if self.may_reach(&node.address) {
                self.check(now, node.address);
            }
        }
    }

    fn refresh_buckets(&mut self, now: Time) {
        for family in Family::BOTH {
            if let Some(bucket) = self.tables[family.index()].stale_bucket(now) {
                let target = Id(bytes(&mut self.random)).with_prefix_of(&self.own(family), bucket);
                self.start_upkeep(now, target);
            }
        }
    }

    fn look_itself_up(&mut self, now: Time) {
        if self.upkeep.itself <= now {
            self.upkeep.itself = now + ITSELF_EVERY;
            for family in Family::BOTH {
                if self.has(family) {
                    self.start_upkeep(now, self.own(family));
                }
            }
        }
    }

    fn forget_what_is_old(&mut self, now: Time) {
        self.peers.expire(now);
        self.items.expire(now);
        if self.tokens.due(now) {
            let secret = bytes(&mut self.random);
            self.tokens.rotate(secret, now);
        }
    }

    fn start_upkeep(&mut self, now: Time, target: Id) {
        self.upkeep.number += 1;
        self.start(now, TaskKey::Upkeep(self.upkeep.number), Job::FindNode(target));
    }
}
