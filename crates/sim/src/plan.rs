//! What a simulation does, beside the faults that are injected while it runs.
use std::collections::BTreeMap;

use seedbank_types::Rule;

use crate::Mutation;
use crate::liar::Habit;

/// What a simulation does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Determines everything that is random.
    pub seed: u64,
    /// How many servers.
    pub servers: u8,
    /// Powers of the servers by key; 1 for those not named.
    pub powers: Vec<u64>,
    /// Whose agreement is enough.
    pub rule: Rule,
    /// Length of an epoch.
    pub epoch_ms: u64,
    /// Shortest and longest delay of a message, in milliseconds.
    pub delay_ms: (u64, u64),
    /// Messages that take much longer than that, of 100.
    pub late_percent: u64,
    /// Messages lost, of 100.
    pub loss_percent: u64,
    /// Messages that arrive twice, of 100.
    pub duplicate_percent: u64,
    /// Payments made each second.
    pub payments_per_second: u64,
    /// Payments, of 100, whose payer signs another one with the same sequence for other servers.
    pub double_spend_percent: u64,
    /// By how much each server's wall clock is wrong, in milliseconds; 0 for those not named.
    pub clocks_off_ms: Vec<i64>,
    /// How many servers, the last by key, do not start at first.
    pub late: usize,
    /// Servers that lie, by number, and how.
    pub liars: BTreeMap<usize, Vec<Habit>>,
    /// Of a million inputs so many end with a crash in the middle of what they cause.
    pub crashes_per_million: u64,
    /// What all servers do wrong.
    pub mutation: Option<Mutation>,
    /// Whether to write down what happens.
    pub is_traced: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 0,
            servers: 3,
            powers: Vec::new(),
            rule: Rule::Majority,
            epoch_ms: 1_000,
            delay_ms: (1, 20),
            late_percent: 0,
            loss_percent: 0,
            duplicate_percent: 0,
            payments_per_second: 50,
            double_spend_percent: 0,
            clocks_off_ms: Vec::new(),
            late: 0,
            liars: BTreeMap::new(),
            crashes_per_million: 0,
            mutation: None,
            is_traced: false,
        }
    }
}

impl Plan {
    /// The power of a server.
    #[must_use]
    pub fn power(&self, server: usize) -> u64 {
        self.powers.get(server).copied().unwrap_or(1)
    }

    /// Power of all servers together.
    #[must_use]
    pub fn total(&self) -> u64 {
        (0..usize::from(self.servers)).map(|server| self.power(server)).sum()
    }

    /// Whether the liars have power enough to break the promise of the rule: lying power < 2q - n
    /// is harmless, where q is the least power of a quorum.
    #[must_use]
    pub fn may_fork(&self) -> bool {
        let lying: u64 = self.liars.keys().map(|server| self.power(*server)).sum();
        lying > 0 && lying >= (2 * self.quorum()).saturating_sub(self.total())
    }

    /// The least power that is a quorum.
    #[must_use]
    pub fn quorum(&self) -> u64 {
        let total = self.total();
        (1..=total).find(|power| self.rule.is_quorum(*power, total)).unwrap_or(total)
    }

    /// The power that may fail in any way with the rest still a quorum.
    #[must_use]
    pub fn spare(&self) -> u64 {
        self.total() - self.quorum()
    }
}
