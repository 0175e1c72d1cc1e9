//! The store itself: one open database, shared by all its clones.
mod chain;
mod checkpoints;
mod commit;
mod create;
#[cfg(feature = "faults")]
mod faults;
mod install;
mod meta;
mod open;
mod prune;
mod quorum_log;

pub use chain::{HistoryEntry, PaymentPlace, Role};
pub use commit::Commit;
pub use install::{Install, Staged};
pub use meta::META_BYTES_MAX;
pub(crate) use meta::{accounts_in, state_in};
pub use quorum_log::LOG_ENTRY_BYTES_MAX;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rocksdb::{ColumnFamily, DB, WriteBatch, WriteOptions};
use seedbank_ledger::{LedgerState, View};
use seedbank_types::{AccountId, AccountRecord, CommunityId, Epoch, Genesis, Hash, Height, TimeMs};

use crate::columns::{ACCOUNTS, ACCOUNTS_TOO};
use crate::{Records, StoreError};

/// A server's database. Clones share it; it is closed with the last of them.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: DB,
    genesis: Genesis,
    community: CommunityId,
    tip: RwLock<Tip>,
    /// Whether the accounts in use are those of the second column.
    uses_second: AtomicBool,
    /// Height of the lowest batch whose body is here.
    lowest: AtomicU64,
    /// Counts how often accounts were laid beside those in use.
    staged: Mutex<u64>,
    /// Held by the writer of batches; each kind of write has a lock of its own, so that RocksDB can
    /// sync several of them at once.
    batches: Mutex<()>,
    checkpoints: Mutex<()>,
    log: Mutex<quorum_log::Place>,
    /// Set by the first write that fails, never unset.
    is_poisoned: AtomicBool,
}

/// What the last batch left.
#[derive(Debug, Clone)]
struct Tip {
    state: LedgerState,
    header: Hash,
    closing: Option<(Epoch, Height, TimeMs)>,
}

impl Store {
    /// The genesis that the database was made from.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.inner.genesis
    }

    /// Whose accounts these are.
    #[must_use]
    pub fn community(&self) -> CommunityId {
        self.inner.community
    }

    /// The state after the last batch.
    #[must_use]
    pub fn ledger_state(&self) -> LedgerState {
        self.inner.tip().state
    }

    /// The state after the newest closing header, if there was one.
    pub fn closed_state(&self) -> Result<Option<LedgerState>, StoreError> {
        meta::closed_state(&self.inner)
    }

    /// Hash of the last header; of the genesis, if there was none.
    #[must_use]
    pub fn last_header(&self) -> Hash {
        self.inner.tip().header
    }

    /// Epoch, height and time of the newest closing header.
    #[must_use]
    pub fn last_closing(&self) -> Option<(Epoch, Height, TimeMs)> {
        self.inner.tip().closing
    }

    /// An account with the height at which it is so: both of one moment, however fast batches follow.
    pub fn account_now(&self, id: &AccountId) -> Result<(Option<AccountRecord>, Height), StoreError> {
        let inner = &*self.inner;
        let snapshot = inner.db.snapshot();
        let accounts = inner.column(accounts_in(&snapshot, &inner.db)?);
        let value = snapshot.get_cf(accounts, id.0).map_err(StoreError::read)?;
        let record = value.map(|value| account_record(&id.0, &value)).transpose()?;
        Ok((record, state_in(&snapshot, &inner.db, false)?.height))
    }

    /// All records as they are now, ascending by id; later batches do not show in them.
    pub fn records(&self) -> Result<Records, StoreError> {
        Records::start(Arc::clone(&self.inner), false)
    }

    /// All records as they were after the newest closing header, ascending by id.
    pub fn closed_records(&self) -> Result<Records, StoreError> {
        Records::start(Arc::clone(&self.inner), true)
    }
}

impl Inner {
    fn new(db: DB, genesis: Genesis, tip: Tip, log: quorum_log::Place) -> Result<Self, StoreError> {
        Ok(Self {
            uses_second: AtomicBool::new(meta::accounts(&db)? == ACCOUNTS_TOO),
            lowest: AtomicU64::new(meta::lowest(&db)?.0),
            staged: Mutex::new(0),
            db,
            community: genesis.community(),
            genesis,
            tip: RwLock::new(tip),
            batches: Mutex::new(()),
            checkpoints: Mutex::new(()),
            log: Mutex::new(log),
            is_poisoned: AtomicBool::new(false),
        })
    }

    /// The accounts in use.
    pub(crate) fn accounts(&self) -> &ColumnFamily {
        self.column(if self.uses_second.load(Ordering::Acquire) { ACCOUNTS_TOO } else { ACCOUNTS })
    }

    pub(crate) fn column(&self, name: &str) -> &ColumnFamily {
        column(&self.db, name)
    }

    pub(crate) fn get(&self, column: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.column(column), key).map_err(StoreError::read)
    }

    fn account(&self, id: &AccountId) -> Result<Option<AccountRecord>, StoreError> {
        let value = self.db.get_pinned_cf(self.accounts(), id.0).map_err(StoreError::read)?;
        value.map(|value| account_record(&id.0, &value)).transpose()
    }

    fn tip(&self) -> Tip {
        self.tip.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes all or nothing and, if `is_synced`, returns when it is on the disk.
    fn write(&self, batch: WriteBatch, is_synced: bool) -> Result<(), StoreError> {
        if self.is_poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned);
        }
        let mut options = WriteOptions::default();
        options.set_sync(is_synced);
        self.db.write_opt(batch, &options).map_err(|error| {
            self.is_poisoned.store(true, Ordering::Release);
            StoreError::Write(error.into_string())
        })
    }

    fn put_synced(&self, column: &str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.column(column), key, value);
        self.write(batch, true)
    }
}

/// There is no safe answer if the database cannot be read, so that stops the process.
impl View for Store {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        self.inner.account(id).unwrap_or_else(|error| panic!("account {id} cannot be read: {error}"))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.inner.db.path())
            .field("community", &self.inner.community)
            .field("height", &self.inner.tip().state.height)
            .finish()
    }
}

fn column<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("the database was opened with all column families")
}

/// Nothing panics while it holds one of these locks; were it to, their values would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn account_record(key: &[u8], value: &[u8]) -> Result<AccountRecord, StoreError> {
    let mut bytes = [0; AccountRecord::BYTES];
    if key.len() != 20 || value.len() != 16 {
        return Err(StoreError::Damaged(format!(
            "an account has {} and {} bytes, not 20 and 16",
            key.len(),
            value.len()
        )));
    }
    bytes[..20].copy_from_slice(key);
    bytes[20..].copy_from_slice(value);
    Ok(AccountRecord::decode(&bytes)?)
}

fn put_account(batch: &mut WriteBatch, accounts: &ColumnFamily, record: &AccountRecord) {
    let bytes = record.encode();
    batch.put_cf(accounts, &bytes[..20], &bytes[20..]);
}

fn decode_u64(what: &str, bytes: &[u8]) -> Result<u64, StoreError> {
    let array = <[u8; 8]>::try_from(bytes);
    array.map(u64::from_be_bytes).map_err(|error| StoreError::Damaged(format!("{what}: {error}")))
}

/// `prefix u8 ‖ number u64`: ascending numbers have ascending keys.
fn numbered(prefix: u8, number: u64) -> [u8; 9] {
    let mut key = [prefix; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The entry with the highest number under a prefix.
fn last_numbered(db: &DB, name: &str, prefix: u8) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let mut entries = db.raw_iterator_cf(column(db, name));
    entries.seek_for_prev(numbered(prefix, u64::MAX));
    entries.status().map_err(StoreError::read)?;
    match entries.item() {
        Some((key, value)) if key.first() == Some(&prefix) => Ok(Some((decode_u64(name, &key[1..])?, value.to_vec()))),
        _ => Ok(None),
    }
}
