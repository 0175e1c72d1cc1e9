//! The waiting payments of one account.
use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::iter::Take;

use seedbank_types::{AccountId, Epoch};

use super::checked::CheckedPayment;

/// Payments of one account by sequence, each sequence once; some may be missing in between.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<Box<CheckedPayment>>,
    /// The payments that the account has made, which is the sequence of the next one to be ordered.
    made: u64,
    /// So many at the front follow `made` without a gap.
    ready: usize,
    /// What all of them move together.
    moves: u128,
    /// When the last one came in.
    pub(super) arrival: u64,
    /// Its place among the accounts: who was served goes to the end.
    pub(super) turn: u64,
}

/// How much an account asks of a full pool. The greatest gives a place back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    /// What cannot be ordered for want of one before it goes before anything else.
    has_gap: bool,
    places: usize,
    /// Of as many places, the one that pays least for its last.
    thrift: u64,
    arrival: u64,
    account: AccountId,
}

impl Claim {
    pub(super) const fn account(&self) -> AccountId {
        self.account
    }
}

impl Line {
    pub(super) fn new(made: u64, turn: u64) -> Self {
        Self { made, turn, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) const fn ready(&self) -> usize {
        self.ready
    }

    /// Its place among the accounts that have something to be ordered.
    pub(super) fn turn_if_ready(&self) -> Option<u64> {
        (self.ready > 0).then_some(self.turn)
    }

    pub(super) const fn made(&self) -> u64 {
        self.made
    }

    pub(super) const fn moves(&self) -> u128 {
        self.moves
    }

    /// What can be ordered now, in order.
    pub(super) fn ready_payments(&self) -> Take<Iter<'_, Box<CheckedPayment>>> {
        self.waiting.iter().take(self.ready)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &CheckedPayment> {
        self.waiting.iter().map(|payment| &**payment)
    }

    pub(super) fn at(&self, sequence: u64) -> Option<&CheckedPayment> {
        self.place(sequence).ok().and_then(|place| self.waiting.get(place)).map(|payment| &**payment)
    }

    fn place(&self, sequence: u64) -> Result<usize, usize> {
        // Most come in order.
        if self.waiting.back().is_none_or(|last| last.payment().sequence < sequence) {
            return Err(self.waiting.len());
        }
        self.waiting.binary_search_by_key(&sequence, |payment| payment.payment().sequence)
    }

    /// The sequence after those that follow `made` without a gap.
    pub(super) fn next_after(&self, made: u64) -> u64 {
        let from = self.waiting.partition_point(|payment| payment.payment().sequence < made);
        let mut next = made;
        for payment in self.waiting.range(from..) {
            if payment.payment().sequence != next {
                break;
            }
            next = next.saturating_add(1);
        }
        next
    }

    /// Puts one in whose sequence is free.
    pub(super) fn put(&mut self, payment: Box<CheckedPayment>, arrival: u64) {
        self.moves += payment.moves();
        self.arrival = arrival;
        match self.place(payment.payment().sequence) {
            Ok(place) => self.waiting[place] = payment,
            Err(place) => self.waiting.insert(place, payment),
        }
        self.recount(self.ready);
    }

    /// Takes the last one out: no other waits for it.
    pub(super) fn take_last(&mut self) -> Option<Box<CheckedPayment>> {
        let last = self.waiting.pop_back()?;
        self.moves -= last.moves();
        self.ready = self.ready.min(self.waiting.len());
        Some(last)
    }

    /// The account has made so many payments: those that are passed come out.
    pub(super) fn pass(&mut self, made: u64) -> Vec<CheckedPayment> {
        let count = self.waiting.partition_point(|payment| payment.payment().sequence < made);
        let passed: Vec<_> = self.waiting.drain(..count).map(|payment| *payment).collect();
        self.moves -= passed.iter().map(CheckedPayment::moves).sum::<u128>();
        self.made = made;
        self.recount(self.ready.saturating_sub(count));
        passed
    }

    /// Takes the first one out, which cannot be ordered.
    pub(super) fn take_first(&mut self) -> Option<Box<CheckedPayment>> {
        let first = self.waiting.pop_front()?;
        self.moves -= first.moves();
        self.recount(0);
        Some(first)
    }

    /// Takes out what could be ordered before `epoch` only.
    pub(super) fn take_expired(&mut self, epoch: Epoch) -> Vec<CheckedPayment> {
        let mut expired = Vec::new();
        for payment in std::mem::take(&mut self.waiting) {
            match payment.payment().expires < epoch {
                true => expired.push(*payment),
                false => self.waiting.push_back(payment),
            }
        }
        self.moves -= expired.iter().map(CheckedPayment::moves).sum::<u128>();
        self.recount(0);
        expired
    }

    /// Counts what is ready; `at_least` of those at the front are known to be, if the first is.
    fn recount(&mut self, at_least: usize) {
        let is_begun = self.waiting.front().is_some_and(|first| first.payment().sequence == self.made);
        self.ready = if is_begun { at_least } else { 0 };
        let next = |line: &Self| u64::try_from(line.ready).ok().and_then(|ready| line.made.checked_add(ready));
        while self.waiting.get(self.ready).is_some_and(|payment| Some(payment.payment().sequence) == next(self)) {
            self.ready += 1;
        }
    }

    pub(super) fn claim(&self, account: AccountId) -> Option<Claim> {
        let last = self.waiting.back()?;
        let places = self.len();
        // An only payment is not outbid: of those the newest goes.
        let thrift = if places == 1 { 0 } else { u64::MAX - rate(last) };
        Some(Claim { has_gap: self.ready < places, places, thrift, arrival: self.arrival, account })
    }
}

/// Minor units for 1024 bytes.
fn rate(payment: &CheckedPayment) -> u64 {
    payment.payment().fee.0.saturating_mul(1024) / payment.signed().size_bytes() as u64
}
