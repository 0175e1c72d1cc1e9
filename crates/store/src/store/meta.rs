//! Single values: format, genesis, ledger state, and small ones of the other parts of a server.
use rocksdb::{DB, ReadOptions, WriteBatch, WriteOptions};
use seedbank_ledger::LedgerState;
use seedbank_types::{Genesis, Height};

use super::{Inner, Store, column, decode_u64};
use crate::StoreError;
use crate::columns::{ACCOUNTS, ACCOUNTS_TOO, META};

/// Longest value under a name of its own.
pub const META_BYTES_MAX: usize = 64 << 10;

const FORMAT_VERSION: u8 = 1;
const FORMAT: &[u8] = b"format";
const GENESIS: &[u8] = b"genesis";
const STATE: &[u8] = b"state";
const CLOSED_STATE: &[u8] = b"closed state";
pub(super) const LOG_STARTED: &[u8] = b"log started";
/// Name of the column with the accounts in use; the first, if there is none.
const ACCOUNTS_IN_USE: &[u8] = b"accounts";
/// Height of the lowest batch whose body is here; 1, if there is none.
const LOWEST: &[u8] = b"lowest body";
/// Before the names that others choose, so that they never meet ours.
const OTHERS: &str = "other/";

impl Store {
    /// Keeps a small value under a name; it is on the disk when this returns.
    pub fn meta_put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() > META_BYTES_MAX {
            return Err(StoreError::TooLong { what: "value", bytes: bytes.len(), most: META_BYTES_MAX });
        }
        self.inner.put_synced(META, format!("{OTHERS}{name}").as_bytes(), bytes)
    }

    /// The value that was kept under a name.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(META, format!("{OTHERS}{name}").as_bytes())
    }
}

pub(super) fn put_state(inner: &Inner, batch: &mut WriteBatch, state: &LedgerState) {
    batch.put_cf(inner.column(META), STATE, state.encode());
}

/// A value under a name that others chose.
pub(super) fn put_other(inner: &Inner, batch: &mut WriteBatch, name: &str, bytes: &[u8]) {
    batch.put_cf(inner.column(META), format!("{OTHERS}{name}").as_bytes(), bytes);
}

pub(super) fn put_accounts(inner: &Inner, batch: &mut WriteBatch, name: &str) {
    batch.put_cf(inner.column(META), ACCOUNTS_IN_USE, name.as_bytes());
}

/// Name of the column with the accounts in use.
pub(super) fn accounts(db: &DB) -> Result<&'static str, StoreError> {
    accounts_named(db.get_cf(column(db, META), ACCOUNTS_IN_USE).map_err(StoreError::read)?)
}

/// The same as a consistent view of the database sees it.
pub(crate) fn accounts_in(snapshot: &rocksdb::Snapshot<'_>, db: &DB) -> Result<&'static str, StoreError> {
    let value = snapshot.get_cf_opt(column(db, META), ACCOUNTS_IN_USE, ReadOptions::default());
    accounts_named(value.map_err(StoreError::read)?)
}

fn accounts_named(value: Option<Vec<u8>>) -> Result<&'static str, StoreError> {
    let name = value.as_deref().unwrap_or(ACCOUNTS.as_bytes());
    let mut known = [ACCOUNTS, ACCOUNTS_TOO].into_iter();
    let missing = || StoreError::Damaged("the accounts in use have an unknown name".to_owned());
    known.find(|known| known.as_bytes() == name).ok_or_else(missing)
}

pub(super) fn put_lowest(inner: &Inner, batch: &mut WriteBatch, lowest: Height) {
    batch.put_cf(inner.column(META), LOWEST, lowest.0.to_be_bytes());
}

pub(super) fn lowest(db: &DB) -> Result<Height, StoreError> {
    let value = db.get_cf(column(db, META), LOWEST).map_err(StoreError::read)?;
    value.map_or(Ok(Height(1)), |value| decode_u64("height of the lowest body", &value).map(Height))
}

/// The ledger state after the newest closing header.
pub(super) fn put_closed_state(inner: &Inner, batch: &mut WriteBatch, state: &LedgerState) {
    batch.put_cf(inner.column(META), CLOSED_STATE, state.encode());
}

pub(super) fn closed_state(inner: &Inner) -> Result<Option<LedgerState>, StoreError> {
    let value = inner.get(META, CLOSED_STATE)?;
    Ok(value.map(|value| LedgerState::decode(&value)).transpose()?)
}

/// Ends the making of a database.
pub(super) fn write_first(db: &DB, genesis: &Genesis, state: &LedgerState) -> Result<(), StoreError> {
    let meta = column(db, META);
    let mut batch = WriteBatch::default();
    batch.put_cf(meta, FORMAT, [FORMAT_VERSION]);
    batch.put_cf(meta, GENESIS, genesis.encode());
    batch.put_cf(meta, STATE, state.encode());
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.write_opt(batch, &options).map_err(|error| StoreError::Write(error.into_string()))
}

/// Checks the format and reads genesis and state.
pub(super) fn read_first(db: &DB) -> Result<(Genesis, LedgerState), StoreError> {
    let read = |key: &[u8]| db.get_cf(column(db, META), key).map_err(StoreError::read);
    let missing = |what: &str| StoreError::Damaged(format!("the {what} is missing"));
    let format = read(FORMAT)?.ok_or_else(|| missing("format version"))?;
    if format != [FORMAT_VERSION] {
        return Err(StoreError::Format { found: format!("{format:?}"), known: FORMAT_VERSION });
    }
    let genesis = Genesis::decode(&read(GENESIS)?.ok_or_else(|| missing("genesis"))?)?;
    let state = LedgerState::decode(&read(STATE)?.ok_or_else(|| missing("ledger state"))?)?;
    Ok((genesis, state))
}

/// The ledger state, now or after the newest closing header, as a consistent view of the database sees it.
pub(crate) fn state_in(snapshot: &rocksdb::Snapshot<'_>, db: &DB, is_closed: bool) -> Result<LedgerState, StoreError> {
    let key = if is_closed { CLOSED_STATE } else { STATE };
    let value = snapshot.get_cf(column(db, META), key).map_err(StoreError::read)?;
    let value = value.ok_or_else(|| StoreError::Damaged("the ledger state is missing".to_owned()))?;
    Ok(LedgerState::decode(&value)?)
}
