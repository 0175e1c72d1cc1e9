//! Opening a database, and the checks without which it is not used.
use std::path::Path;
use std::sync::Arc;

use rocksdb::{DB, ReadOptions};
use seedbank_ledger::LedgerState;
use seedbank_types::{AccountId, AccountRecord, Epoch, Genesis, Hash, Height, TimeMs};

use super::{Inner, Store, Tip, account_record, chain, column, create, decode_u64, last_numbered, meta, quorum_log};
use crate::StoreError;
use crate::columns::{self, HEADERS};

const SCAN_READ_AHEAD_BYTES: usize = 2 << 20;

impl Store {
    /// Opens a database. Format and genesis are checked, and all accounts are counted: their balances
    /// must be the supply.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        if create::marker(dir).exists() {
            return Err(StoreError::Unfinished(dir.to_owned()));
        }
        if !dir.join("CURRENT").exists() {
            return Err(StoreError::Missing(dir.to_owned()));
        }
        let db = columns::open(dir, false)?;
        let (genesis, state) = meta::read_first(&db)?;
        let accounts = meta::accounts(&db)?;
        check_totals(totals(&db, accounts)?, &state)?;
        let tip = tip(&db, &genesis, state)?;
        let log = quorum_log::place(&db)?;
        Ok(Self { inner: Arc::new(Inner::new(db, genesis, tip, log)?) })
    }
}

/// How many accounts there are and what they hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(super) count: u64,
    pub(super) sum: u128,
}

impl Totals {
    pub(super) fn add(&mut self, record: &AccountRecord) {
        self.count += 1;
        self.sum += u128::from(record.balance.0);
    }
}

/// Reads every account, past the cache.
pub(super) fn totals(db: &DB, accounts: &str) -> Result<Totals, StoreError> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(SCAN_READ_AHEAD_BYTES);
    let mut accounts = db.raw_iterator_cf_opt(column(db, accounts), options);
    let mut totals = Totals::default();
    accounts.seek_to_first();
    while let Some((key, value)) = accounts.item() {
        totals.add(&account_record(key, value)?);
        accounts.next();
    }
    accounts.status().map_err(StoreError::read)?;
    Ok(totals)
}

pub(super) fn account(db: &DB, accounts: &str, id: &AccountId) -> Result<Option<AccountRecord>, StoreError> {
    let value = db.get_cf(column(db, accounts), id.0).map_err(StoreError::read)?;
    value.map(|value| account_record(&id.0, &value)).transpose()
}

fn check_totals(found: Totals, state: &LedgerState) -> Result<(), StoreError> {
    if found == (Totals { count: state.count, sum: u128::from(state.supply.0) }) {
        return Ok(());
    }
    Err(StoreError::SupplyBroken {
        count: found.count,
        sum: found.sum,
        expected_count: state.count,
        expected_sum: state.supply.0,
    })
}

fn tip(db: &DB, genesis: &Genesis, state: LedgerState) -> Result<Tip, StoreError> {
    let header = match state.height {
        Height(0) => Hash::from(genesis.community()),
        height => header_at(db, height)?.hash(),
    };
    Ok(Tip { state, header, closing: last_closing(db)? })
}

fn last_closing(db: &DB) -> Result<Option<(Epoch, Height, TimeMs)>, StoreError> {
    let Some((epoch, height)) = last_numbered(db, HEADERS, chain::CLOSING)? else { return Ok(None) };
    let height = Height(decode_u64("height of a closing header", &height)?);
    Ok(Some((Epoch(epoch), height, header_at(db, height)?.time)))
}

fn header_at(db: &DB, height: Height) -> Result<seedbank_types::Header, StoreError> {
    let value = db.get_cf(column(db, HEADERS), chain::header_key(height)).map_err(StoreError::read)?;
    let value = value.ok_or_else(|| StoreError::Damaged(format!("header {height} is missing")))?;
    Ok(chain::split_header(&value)?.0)
}
