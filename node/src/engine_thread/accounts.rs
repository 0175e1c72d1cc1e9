//! The accounts as the quorum reads them: again and again the same few, so they are kept at hand.
use std::cell::RefCell;
use std::collections::HashMap;

use seedbank_ledger::View;
use seedbank_quorum::Write;
use seedbank_store::Store;
use seedbank_types::{AccountId, AccountRecord};

/// Records at hand; when there are more, all are read anew.
const RECORDS_MAX: usize = 1 << 16;

/// The store's accounts behind a memory of records. Only the thread of the quorum changes accounts, and
/// it says so here.
#[derive(Debug)]
pub(super) struct Accounts {
    store: Store,
    at_hand: RefCell<HashMap<AccountId, Option<AccountRecord>>>,
}

impl Accounts {
    pub(super) fn new(store: Store) -> Self {
        Self { store, at_hand: RefCell::default() }
    }

    /// These writes are on the disk.
    pub(super) fn written(&self, writes: &[Write]) {
        let at_hand = &mut *self.at_hand.borrow_mut();
        let commits = writes.iter().filter_map(|write| match write {
            Write::Commit(commit) => Some(commit),
            _ => None,
        });
        for record in commits.flat_map(|commit| &commit.changes.records) {
            at_hand.insert(record.id, Some(*record));
        }
        if at_hand.len() > RECORDS_MAX {
            at_hand.clear();
        }
    }
}

impl View for Accounts {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        if let Some(record) = self.at_hand.borrow().get(id) {
            return *record;
        }
        let record = self.store.account(id);
        let at_hand = &mut *self.at_hand.borrow_mut();
        if at_hand.len() >= RECORDS_MAX {
            at_hand.clear();
        }
        at_hand.insert(*id, record);
        record
    }
}
