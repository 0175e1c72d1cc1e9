//! No payment is applied twice, and none is lost once a server has called it final.
use std::collections::BTreeMap;

use seedbank_types::{Hash, Height, PaymentId, ServerKey};

use crate::disk::Content;

/// Payments that some honest server called final, with their place.
#[derive(Debug, Default)]
pub struct Finals {
    payments: BTreeMap<PaymentId, Height>,
    headers: BTreeMap<Height, Hash>,
}

impl Finals {
    /// Panics if the payment was final at another height before.
    pub(super) fn called_final(&mut self, id: PaymentId, height: Height, header: Hash, is_forked: bool) {
        let before = *self.payments.entry(id).or_insert(height);
        assert!(before == height || is_forked, "payment {id} was applied twice: at heights {before} and {height}");
        self.headers.insert(height, header);
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.payments.len()
    }

    /// Panics if a final payment's height is on no disk.
    pub fn check_kept<'a>(&self, disks: impl Iterator<Item = &'a Content>) {
        let Some(last) = self.headers.keys().next_back() else { return };
        let highest = disks.map(|content| content.state().height).max().unwrap_or_default();
        assert!(*last <= highest, "a payment was final at height {last}, and the highest disk ends at {highest}");
    }

    /// Panics if a disk lacks a final payment of a height that it has.
    pub fn check_held(&self, key: ServerKey, content: &Content) {
        for (height, header) in self.headers.range(..=content.state().height) {
            let index = usize::try_from(height.0 - 1).expect("few batches");
            let held = content.batches().get(index).map(|batch| batch.header.hash());
            assert_eq!(held, Some(*header), "server {} lacks final payments of height {height}", key.short());
        }
    }
}
