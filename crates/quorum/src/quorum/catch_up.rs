//! Fetching and applying decided batches that this server missed.
use seedbank_ledger::View;
use seedbank_types::{Height, ServerKey};

use super::{DecidedBatch, Effect, INCOMING_BYTES_MAX, INCOMING_MAX, Quorum};
use crate::chain::HeaderFault;

/// A server that is one height behind for this long was not just slower by a message.
const BEHIND_MS: u64 = 150;
/// After so long another server is asked.
const FETCH_MS: u64 = 1_000;

impl Quorum {
    /// Asks a server that is ahead for what is missing.
    pub(super) fn fetch_if_behind(&mut self) {
        let height = self.chain.state.height;
        let ahead: Vec<ServerKey> =
            self.heights.iter().filter(|(_, theirs)| **theirs > height).map(|(key, _)| *key).collect();
        if ahead.is_empty() || !self.incoming.is_empty() || self.committing.is_some() || self.diverged {
            self.fetch_after_ms = None;
            return;
        }
        let now = self.now.steady_ms;
        match self.fetch_after_ms {
            None => self.fetch_after_ms = Some(now + BEHIND_MS),
            Some(after) if now < after => {}
            Some(_) => {
                self.fetch_after_ms = Some(now + FETCH_MS);
                self.fetches += 1;
                let from = ahead[self.fetches % ahead.len()];
                self.say(Effect::FetchBatches { first: height.next(), from });
            }
        }
    }

    pub(super) fn on_batches(&mut self, batches: Vec<DecidedBatch>) {
        if self.diverged {
            return;
        }
        let mut bytes: usize = self.incoming.iter().map(|batch| batch.body.len()).sum();
        for batch in batches {
            let next = self.incoming.back().map_or(self.chain.next_height(), |last| last.header.height.next());
            let fits = self.incoming.len() < INCOMING_MAX && bytes < INCOMING_BYTES_MAX;
            if batch.header.height == next && fits {
                bytes = bytes.saturating_add(batch.body.len());
                self.incoming.push_back(batch);
            }
        }
    }

    /// Applies the next fetched batch; the one after it waits until this one is on disk.
    pub(super) fn apply_incoming<V: View>(&mut self, accounts: &V) {
        while self.committing.is_none() && !self.diverged {
            let Some(batch) = self.incoming.pop_front() else { return };
            if batch.header.height < self.chain.next_height() {
                continue;
            }
            if batch.header.height > self.chain.next_height() || !self.is_decided(&batch) {
                self.incoming.clear();
                return;
            }
            self.note_own_signature(&batch);
            match self.chain.accept(accounts, &batch.header, &batch.body, |_| false) {
                Ok(accepted) => self.commit(batch.header, batch.body, batch.decision, accepted),
                Err(fault) => self.cannot_follow(batch.header.height, &fault),
            }
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
        self.incoming.clear();
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
            self.observe_beyond(height, height, batch.header.epoch.next());
        }
    }
}
