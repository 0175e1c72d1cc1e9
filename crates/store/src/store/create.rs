//! Making a database from a genesis and its accounts.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use seedbank_ledger::LedgerState;
use seedbank_types::{AccountRecord, Amount, Genesis, RESERVED_ORDERS_ACCOUNT};

use super::open::{self, Totals};
use super::{Inner, Store, Tip, column, meta, put_account, quorum_log};
use crate::StoreError;
use crate::columns::{self, ACCOUNTS};

/// Records in one write while the database is made.
const RECORDS_A_WRITE: usize = 10_000;

impl Store {
    /// Makes a database in a directory that is empty or does not exist. After a crash in the middle,
    /// [`Store::open`] refuses what is there and `create` begins anew.
    ///
    /// Number, sum and reserved account are compared with the genesis; that the records have the
    /// genesis' root is for the caller, who read them from a snapshot file.
    pub fn create(
        dir: &Path,
        genesis: &Genesis,
        records: impl IntoIterator<Item = AccountRecord>,
    ) -> Result<Self, StoreError> {
        genesis.check().map_err(|error| StoreError::NotTheGenesis(error.to_string()))?;
        begin(dir)?;
        let db = columns::open(dir, true)?;
        let counted = load(&db, ACCOUNTS, records)?;
        // Counted again from the database: an account that was given twice is there once.
        compare(counted, genesis)?;
        compare(open::totals(&db, ACCOUNTS)?, genesis)?;
        check_reserved_account(&db)?;
        let state = first_state(genesis);
        meta::write_first(&db, genesis, &state)?;
        finish(dir)?;
        let tip = Tip { state, header: genesis.community().into(), closing: None };
        Ok(Self { inner: Arc::new(Inner::new(db, genesis.clone(), tip, quorum_log::Place::default())?) })
    }
}

/// Stands in the directory while the database in it is not whole.
pub(super) fn marker(dir: &Path) -> PathBuf {
    dir.join("UNFINISHED")
}

fn begin(dir: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(|error| StoreError::io(dir, error))?;
    let marker = marker(dir);
    if marker.exists() {
        clear(dir)?;
    } else if fs::read_dir(dir).map_err(|error| StoreError::io(dir, error))?.next().is_some() {
        return Err(StoreError::Exists(dir.to_owned()));
    }
    let file = File::create(&marker).map_err(|error| StoreError::io(&marker, error))?;
    file.sync_all().map_err(|error| StoreError::io(&marker, error))?;
    sync_dir(dir)?;
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

/// Takes away what an interrupted creation left; refused while somebody else is at it.
fn clear(dir: &Path) -> Result<(), StoreError> {
    if dir.join("CURRENT").exists() {
        drop(columns::open(dir, true)?);
    }
    DB::destroy(&Options::default(), dir).map_err(|error| StoreError::Write(error.into_string()))
}

fn finish(dir: &Path) -> Result<(), StoreError> {
    let marker = marker(dir);
    fs::remove_file(&marker).map_err(|error| StoreError::io(&marker, error))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| StoreError::io(dir, error))
}

/// Writes the records past RocksDB's log (a crash voids them anyhow), then flushes them.
pub(super) fn load(
    db: &DB,
    name: &str,
    records: impl IntoIterator<Item = AccountRecord>,
) -> Result<Totals, StoreError> {
    let failed = |error: rocksdb::Error| StoreError::Write(error.into_string());
    let accounts = column(db, name);
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    let (mut totals, mut batch) = (Totals::default(), WriteBatch::default());
    for record in records {
        totals.add(&record);
        put_account(&mut batch, accounts, &record);
        if batch.len() >= RECORDS_A_WRITE {
            db.write_opt(std::mem::take(&mut batch), &options).map_err(failed)?;
        }
    }
    db.write_opt(batch, &options).map_err(failed)?;
    db.flush_cf(accounts).map_err(failed)?;
    Ok(totals)
}

fn compare(found: Totals, genesis: &Genesis) -> Result<(), StoreError> {
    if found == (Totals { count: genesis.count, sum: u128::from(genesis.supply.0) }) {
        return Ok(());
    }
    let (Totals { count, sum }, expected, supply) = (found, genesis.count, genesis.supply);
    let why = format!("{count} different accounts with {sum} minor units instead of {expected} with {supply}");
    Err(StoreError::NotTheGenesis(why))
}

fn check_reserved_account(db: &DB) -> Result<(), StoreError> {
    match open::account(db, ACCOUNTS, &RESERVED_ORDERS_ACCOUNT)? {
        Some(AccountRecord { balance: Amount::ZERO, sequence: 0, .. }) => Ok(()),
        Some(_) => Err(StoreError::NotTheGenesis("the reserved account of the orders is not empty".to_owned())),
        None => Err(StoreError::NotTheGenesis("the reserved account of the orders is missing".to_owned())),
    }
}

fn first_state(genesis: &Genesis) -> LedgerState {
    let community = genesis.community();
    LedgerState::genesis(&community, genesis.root, genesis.count, genesis.supply, genesis.servers.clone())
}
