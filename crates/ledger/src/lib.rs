//! The rules by which balances change. Section "Ledger rules" of `docs/protocol.md`.
//!
//! Pure: same accounts, same batch, same result on every server. It does not store accounts (it
//! reads them through [`View`]), does not agree on anything and does not know files or time: the
//! epoch is told.
//!
//! Start at [`Batch`]: entries are tried one after the other on copies of the records that they
//! touch; [`Batch::finish`] gives the [`Changes`] to be stored in one write.
//!
//! Invariants: the sum of all balances equals the supply; an account is never deleted; a refused
//! entry changes nothing; the reserved account never pays and is never paid.
//!
//! ```
//! use std::collections::BTreeMap;
//! use seedbank_ledger::{Batch, LedgerState, Place, Rules};
//! use seedbank_types::*;
//!
//! let secret = AccountSecret::from_bytes(&[1; 32]).expect("a valid key");
//! let payer = secret.public().id();
//! let servers = ServerSet::new([(ServerSecret::from_bytes(&[9; 32]).public(), 1)]).expect("a set");
//! let rules = Rules {
//!     community: CommunityId([7; 32]),
//!     quorum: Rule::Majority,
//!     fee_account: AccountId([3; 20]),
//!     minimum_fee: Amount(1),
//!     opening_minimum: Amount(10),
//! };
//! let accounts = BTreeMap::from([(payer, AccountRecord { id: payer, balance: Amount(100), sequence: 0 })]);
//! let state = LedgerState::genesis(&rules.community, Hash::ZERO, 1, Amount(100), servers);
//!
//! let payment = Payment {
//!     payer_key: secret.public().to_bytes(),
//!     payee: AccountId([2; 20]),
//!     amount: Amount(40),
//!     fee: Amount(1),
//!     sequence: 0,
//!     expires: Epoch(5),
//!     memo: vec![],
//! };
//! let payment = Entry::Payment(payment.sign(&rules.community, &secret));
//! let mut batch = Batch::new(&rules, &state, &accounts, Place { height: Height(1), epoch: Epoch(1) });
//! batch.push(&payment).expect("the payer has enough");
//! let changes = batch.finish();
//! assert_eq!(changes.records.len(), 3);
//! assert_eq!(changes.state.supply, Amount(100));
//! ```
#![forbid(unsafe_code)]

mod batch;
mod state;

pub use batch::{Batch, Changes, InvalidEntry, Place, Rules, apply, check_terms};
pub use state::LedgerState;

use std::collections::BTreeMap;

use seedbank_types::{AccountId, AccountRecord};

/// Where the ledger reads accounts from.
///
/// There is no error: a view that cannot read its database has no safe answer and must stop the
/// process.
pub trait View {
    /// The record of an account, if it was ever opened.
    fn account(&self, id: &AccountId) -> Option<AccountRecord>;
}

impl View for BTreeMap<AccountId, AccountRecord> {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        self.get(id).copied()
    }
}

impl<V: View + ?Sized> View for &V {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        (**self).account(id)
    }
}
