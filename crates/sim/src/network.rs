//! Links between machines: how long a message takes, and whether it arrives at all.
use std::collections::BTreeSet;

use crate::{Plan, Random};

/// A message that is late takes up to so much longer.
const LATE_MS: u64 = 1_500;

/// The links. Machines are numbered: the servers by key, then the second machines of liars.
#[derive(Debug, Clone)]
pub struct Network {
    delay_ms: (u64, u64),
    loss_percent: u64,
    duplicate_percent: u64,
    late_percent: u64,
    /// From whom to whom nothing gets through now.
    cut: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(crate) const fn new(plan: &Plan) -> Self {
        Self {
            delay_ms: plan.delay_ms,
            loss_percent: plan.loss_percent,
            duplicate_percent: plan.duplicate_percent,
            late_percent: plan.late_percent,
            cut: BTreeSet::new(),
        }
    }

    /// Nothing gets from one machine to another any more; the way back may be open.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Nothing gets from one group to the other or back.
    pub fn part(&mut self, group: &BTreeSet<usize>, machines: usize) {
        for one in group {
            for other in (0..machines).filter(|other| !group.contains(other)) {
                self.cut.extend([(*one, other), (other, *one)]);
            }
        }
    }

    /// All links are open.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// All links are good from now on.
    pub fn become_good(&mut self) {
        self.heal();
        (self.delay_ms, self.loss_percent, self.duplicate_percent, self.late_percent) = ((1, 20), 0, 0, 0);
    }

    /// When each copy of a message arrives, in microseconds from now: none if it is lost.
    pub(crate) fn route(&self, from: Option<usize>, to: usize, random: &mut Random) -> Vec<u64> {
        if from.is_some_and(|from| self.cut.contains(&(from, to))) || random.chance(self.loss_percent) {
            return Vec::new();
        }
        let copies = if random.chance(self.duplicate_percent) { 2 } else { 1 };
        (0..copies).map(|_| self.delay_us(random)).collect()
    }

    fn delay_us(&self, random: &mut Random) -> u64 {
        let (least, most) = self.delay_ms;
        let delay_us = least * 1_000 + random.below((most - least).max(1) * 1_000);
        if random.chance(self.late_percent) { delay_us + random.below(LATE_MS * 1_000) } else { delay_us }
    }
}
