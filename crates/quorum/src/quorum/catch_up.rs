//! Fetching and applying decided batches that this server missed; far behind, a certified state instead.
use std::cell::Cell;

use seedbank_ledger::View;
use seedbank_types::{Epoch, Height, SignedPayment};

use super::joining::silent_until;
use super::{CheckedBatch, DecidedBatch, Effect, Quorum};
use crate::certified::CertifiedState;
use crate::chain::HeaderFault;
use crate::guard::Guard;

/// A server that is one height behind for this long was not just slower by a message.
const BEHIND_MS: u64 = 150;
/// How often a certified state is asked for while this server is far behind.
const STATE_MS: u64 = 5_000;
/// If there is none, batches are fetched for so long before it is asked for again.
const NO_STATE_MS: u64 = 30_000;
/// So far behind, snapshots are not cut: the others certify without this server, or it is cut later.
const CUT_BEHIND_MAX: u64 = 16;

impl Quorum {
    /// Asks servers that are ahead for what is missing.
    pub(super) fn fetch_if_behind(&mut self) {
        let (height, now) = (self.chain.state.height, self.now.steady_ms);
        if self.diverged || self.heights.values().all(|theirs| *theirs <= height) {
            if self.committing.is_none() && !self.fetching.holds(self.chain.next_height()) {
                self.fetching.start_over();
            }
            self.behind_since = None;
            return;
        }
        let is_waiting = match self.behind_since {
            _ if self.fetching.is_active() => false,
            Some((at, since)) if at == height => now < since.saturating_add(BEHIND_MS),
            _ => {
                self.behind_since = Some((height, now));
                true
            }
        };
        if is_waiting {
            return;
        }
        if self.is_far_behind() { self.fetch_state() } else { self.fetch_batches() }
    }

    fn fetch_batches(&mut self) {
        let (next, now) = (self.chain.next_height(), self.now.steady_ms);
        // What nobody vouches for is asked for one answer at a time.
        let top = self.believed_height().max(next);
        self.fetching.give_up_overdue(now);
        while let Some((first, count)) = self.fetching.next_range(next, top) {
            let Some(from) = self.fetching.whom_to_ask(first, now, &self.heights) else { return };
            self.fetching.asked(first, count, from, now);
            self.say(Effect::FetchBatches { first, count, from });
        }
    }

    fn fetch_state(&mut self) {
        if self.now.steady_ms >= self.next_state_ms {
            self.next_state_ms = self.now.steady_ms.saturating_add(STATE_MS);
            self.say(Effect::FetchState);
        }
    }

    /// Whether batches would take too long, or nobody has them any more.
    fn is_far_behind(&self) -> bool {
        if self.now.steady_ms < self.no_state_until_ms {
            return false;
        }
        let next = self.chain.next_height();
        let gap = self.believed_height().0.saturating_sub(self.chain.state.height.0);
        gap > self.settings.batches_behind_max || self.fetching.is_nowhere(next, &self.heights)
    }

    /// When this part wants to be called at the latest.
    pub(super) fn fetching_wake_ms(&self) -> u64 {
        let Some((_, since)) = self.behind_since else { return u64::MAX };
        let times = [since.saturating_add(BEHIND_MS), self.next_state_ms, self.no_state_until_ms];
        let times = times.into_iter().chain(self.fetching.wake_times_ms());
        times.filter(|time| *time > self.now.steady_ms).min().unwrap_or(u64::MAX)
    }

    pub(super) fn on_batches(&mut self, batches: Vec<CheckedBatch>) {
        if !self.diverged {
            self.fetching.answered(batches, self.chain.next_height());
        }
    }

    /// There is no certified state to be had: batches are fetched meanwhile, if anybody has them.
    pub(super) const fn on_no_state(&mut self) {
        self.no_state_until_ms = self.now.steady_ms.saturating_add(NO_STATE_MS);
    }

    /// Applies the next fetched batch; the one after it waits until this one is stored.
    pub(super) fn apply_incoming<V: View>(&mut self, accounts: &V) {
        if self.committing.is_some() || self.diverged {
            return;
        }
        let Some(CheckedBatch { batch, payments, proven_by }) = self.fetching.take(self.chain.next_height()) else {
            return;
        };
        let is_proven = proven_by.is_some_and(|set| set == self.chain.state.servers.hash());
        if !is_proven && !self.is_decided(&batch) {
            return self.fetching.start_over();
        }
        self.note_own_signature(&batch);
        // They stand in the order of the body, in which they are asked for.
        let next = Cell::new(0);
        let is_checked = |payment: &SignedPayment| {
            let is_next = payments.get(next.get()).is_some_and(|one| one.signed() == payment);
            next.set(next.get() + usize::from(is_next));
            is_next
        };
        match self.chain.accept(accounts, &batch.header, &batch.body, is_checked) {
            Ok(accepted) => self.commit(batch.header, batch.body, batch.decision, accepted, true),
            Err(fault) => self.cannot_follow(batch.header.height, &fault),
        }
    }

    fn is_decided(&self, batch: &DecidedBatch) -> bool {
        #[cfg(feature = "mutations")]
        if self.settings.mutation == Some(crate::Mutation::OffByOne) {
            return true;
        }
        batch.decision.proves(&batch.header, &self.chain.state.servers, self.settings.rule)
    }

    /// A quorum decided what this server finds invalid. A wrong body is the messenger's fault;
    /// everything else means that the databases differ.
    fn cannot_follow(&mut self, height: Height, fault: &HeaderFault) {
        self.fetching.start_over();
        // A header names the state that the batch before it left.
        let first = if matches!(fault, HeaderFault::PreviousState) { height.0.saturating_sub(1) } else { height.0 };
        if !matches!(fault, HeaderFault::OtherBody) {
            let why = format!("the servers decided header {height}, which is invalid here: {fault}");
            self.diverge(Height(first), why, None);
        }
    }

    /// The own key in a decision that this disk knows nothing of: it was restored from a backup.
    fn note_own_signature(&mut self, batch: &DecidedBatch) {
        let height = batch.header.height;
        let known = self.own_voted().height >= height;
        if !known && batch.decision.signers(&self.chain.state.servers).any(|key| key == self.key) {
            self.observe_beyond(height, height, batch.header.epoch.next(), Epoch(0));
        }
    }

    /// Whether this server is so far behind that the others certify without it.
    pub(super) fn is_late(&self) -> bool {
        self.believed_height().0 > self.chain.state.height.0.saturating_add(CUT_BEHIND_MAX)
    }

    /// The height that the others have reached, if this server is well behind.
    #[must_use]
    pub fn behind(&self) -> Option<Height> {
        self.is_late().then(|| self.believed_height())
    }

    /// The limits under which this server goes on from a certified state: those it has, and more if the
    /// state shows words of its key that its disk does not know. The caller stores them together with the
    /// state and begins again with [`Quorum::new`]; the log, the intents and the evidence stay as they are.
    ///
    /// What is certified needs no signature of this server any more, so it never signs that epoch again.
    #[must_use]
    pub fn guard_after(&self, state: &CertifiedState) -> Guard {
        let checkpoint = &state.epoch.certificate.checkpoint;
        let (height, epoch) = (checkpoint.height, checkpoint.epoch);
        let guard = self.guard.raised(Guard { sign_from: epoch.next(), signed_to: epoch, ..Guard::default() });
        let has_voted = state.was_voted_for_by(&self.key) && self.own_voted().height < height;
        let has_signed = state.was_signed_by(&self.key) && !self.knows_signed(epoch);
        if !has_voted && !has_signed {
            return guard;
        }
        let vote_from = self.believed_height().max(height).next().next().next();
        let sign_from = silent_until(Epoch(epoch.0.saturating_add(1)));
        guard.raised(Guard { vote_from, sign_from, ..Guard::default() })
    }
}
