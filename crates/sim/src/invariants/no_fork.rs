//! No two honest servers decide different headers at one height. Only where liars have more power
//! than the rule stands (a majority with any liar) it may happen, and is then remembered.
use std::collections::BTreeMap;

use seedbank_types::{Hash, Header, Height, ServerKey};

/// What was decided first at each height, and by whom.
#[derive(Debug)]
pub struct NoFork {
    decided: BTreeMap<Height, (Hash, ServerKey)>,
    may_fork: bool,
    forked_at: Option<Height>,
}

impl NoFork {
    pub(super) const fn new(may_fork: bool) -> Self {
        Self { decided: BTreeMap::new(), may_fork, forked_at: None }
    }

    /// Panics if another server decided differently.
    pub(super) fn decides(&mut self, key: ServerKey, header: &Header) {
        let (height, hash) = (header.height, header.hash());
        let (first, by) = *self.decided.entry(height).or_insert((hash, key));
        if first == hash {
            return;
        }
        assert!(
            self.may_fork,
            "fork: servers {} and {} decided differently at height {height}",
            by.short(),
            key.short()
        );
        self.forked_at.get_or_insert(height);
    }

    /// Where honest servers parted, if liars had the power for it.
    #[must_use]
    pub const fn forked_at(&self) -> Option<Height> {
        self.forked_at
    }
}
