//! The servers' database on disk: accounts, headers, bodies, checkpoints, the quorum's log.
//!
//! An adapter over RocksDB and the only crate that names it. It is *not* the rules (it stores the
//! changes that `seedbank-ledger` computed), it does not judge headers, certificates or evidence, and
//! it computes no state root.
//!
//! Start at [`Store`]: [`Store::create`] once, from a genesis and its accounts; [`Store::open`] at
//! every start; [`Store::commit`] for every batch.
//!
//! Invariants: a batch is on disk as a whole or not at all, and synced when [`Store::commit`]
//! returns; heights have no gaps and every header names the one before; the sum of all balances is
//! the supply, counted at every start; an intent is never replaced by another one; after a failed
//! write nothing is written any more.
//!
//! ```
//! use seedbank_ledger::View;
//! use seedbank_store::Store;
//! use seedbank_types::*;
//!
//! let accounts = [
//!     AccountRecord { id: AccountId([7; 20]), balance: Amount(100), sequence: 0 },
//!     AccountRecord::empty(RESERVED_ORDERS_ACCOUNT),
//! ];
//! let genesis = Genesis {
//!     created: TimeMs(1),
//!     epoch_ms: 60_000,
//!     full_interval: 1,
//!     quorum: Rule::Majority,
//!     decimals: 2,
//!     name: "Example".into(),
//!     symbol: "EX".into(),
//!     fee_account: AccountId([7; 20]),
//!     minimum_fee: Amount(1),
//!     opening_minimum: Amount(1),
//!     root: Hash::ZERO,
//!     count: 2,
//!     supply: Amount(100),
//!     servers: ServerSet::new([(ServerSecret::from_bytes(&[9; 32]).public(), 1)]).expect("a set"),
//! };
//! let dir = tempfile::tempdir().expect("a directory");
//! let dir = dir.path().join("store");
//! drop(Store::create(&dir, &genesis, accounts).expect("count and supply fit the genesis"));
//!
//! let store = Store::open(&dir).expect("nobody else has it open");
//! assert_eq!(store.account(&AccountId([7; 20])).expect("in genesis").balance, Amount(100));
//! assert_eq!(store.ledger_state().height, Height(0));
//! ```
mod columns;
mod error;
mod records;
mod store;

pub use error::StoreError;
pub use records::Records;
pub use store::{
    Commit, HistoryEntry, Install, LOG_ENTRY_BYTES_MAX, META_BYTES_MAX, PaymentPlace, Role, Staged, Store,
};
