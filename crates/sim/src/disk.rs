//! A server's disk: what was synced, and nothing else, is sure to outlive a crash.
mod content;

use std::collections::VecDeque;

use seedbank_ledger::View;
use seedbank_quorum::{Commit, Recovered, Write};
use seedbank_types::{AccountId, AccountRecord};

use crate::{Mutation, Random};
pub use content::Content;

/// A disk and what is on its way to it.
#[derive(Debug)]
pub struct Disk {
    /// What is there after a crash.
    kept: Content,
    /// What the server believes to be there, if the disk lies about it.
    believed: Option<Content>,
    /// Stores that were ordered and not synced yet.
    under_way: VecDeque<(u64, Vec<Write>)>,
    mutation: Option<Mutation>,
    /// Whether every write fails.
    pub is_full: bool,
}

impl Disk {
    /// A disk with this on it.
    #[must_use]
    pub fn new(kept: Content, mutation: Option<Mutation>) -> Self {
        let believed = (mutation == Some(Mutation::SkipFsync)).then(|| kept.clone());
        Self { kept, believed, under_way: VecDeque::new(), mutation, is_full: false }
    }

    /// What the server sees.
    #[must_use]
    pub const fn content(&self) -> &Content {
        match &self.believed {
            Some(believed) => believed,
            None => &self.kept,
        }
    }

    /// What is there after a crash.
    #[must_use]
    pub const fn kept(&self) -> &Content {
        &self.kept
    }

    pub(crate) const fn kept_mut(&mut self) -> &mut Content {
        &mut self.kept
    }

    /// A store is ordered.
    pub(crate) fn begin(&mut self, token: u64, writes: Vec<Write>) {
        self.under_way.push_back((token, writes));
    }

    /// The writes that are synced now, up to a token; each is to be given to [`Disk::apply`].
    pub(crate) fn take_until(&mut self, token: u64) -> Vec<Write> {
        let mut taken = Vec::new();
        while self.under_way.front().is_some_and(|(ordered, _)| *ordered <= token) {
            taken.extend(self.under_way.pop_front().map(|(_, writes)| writes).unwrap_or_default());
        }
        taken
    }

    /// The writes under way that happen to get to the disk in a crash. Batches are written whole or
    /// not at all, as their checksum shows; the last of other stores may be torn between two writes.
    pub(crate) fn crash(&mut self, random: &mut Random) -> Vec<Write> {
        if self.believed.is_some() {
            self.under_way.clear();
            self.believed = Some(self.kept.clone());
            return Vec::new();
        }
        let mut survived = Vec::new();
        for (_, mut writes) in std::mem::take(&mut self.under_way) {
            if random.chance(60) {
                survived.extend(writes);
                continue;
            }
            if !writes.iter().any(|write| matches!(write, Write::Commit(_))) {
                writes.truncate(random.index(writes.len() + 1));
                survived.extend(writes);
            }
            break;
        }
        survived
    }

    /// Carries out one write.
    pub(crate) fn apply(&mut self, write: Write) {
        if self.mutation == Some(Mutation::SkipLog) && matches!(write, Write::Log { .. }) {
            self.kept.start_log();
            return;
        }
        match &mut self.believed {
            Some(believed) => believed.apply(write),
            None => self.kept.apply(write),
        }
    }

    /// What a disk that lies about it has to do some time.
    pub(crate) fn sync_at_last(&mut self) {
        if let Some(believed) = &self.believed {
            self.kept = believed.clone();
        }
    }

    /// Whether a batch is really there.
    #[must_use]
    pub fn holds(&self, commit: &Commit) -> bool {
        self.kept.state().height >= commit.header.height
    }

    /// What the server finds when it starts again.
    #[must_use]
    pub fn recover(&self) -> Recovered {
        self.content().recover()
    }
}

impl View for Disk {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        self.content().account(id)
    }
}
