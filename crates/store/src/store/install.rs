//! A certified state in the place of the one that is there, without the batches between the two.
//!
//! The new accounts are laid beside those in use, which takes a while and can be interrupted at any moment;
//! then one synced write makes them the ones in use, together with everything that belongs to them. Log,
//! intents, evidence and whatever was kept under a name stay as they are.
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rocksdb::{ColumnFamily, WriteBatch};
use seedbank_ledger::LedgerState;
use seedbank_types::{AccountRecord, Body, Certificate, Header, Height, RESERVED_ORDERS_ACCOUNT};

use super::checkpoints::certificate_key;
use super::open::{self, Totals};
use super::{Inner, Store, Tip, chain, create, lock, meta};
use crate::StoreError;
use crate::columns::{ACCOUNTS, ACCOUNTS_TOO, BODIES, CHECKPOINTS, CLOSED, HEADERS};

/// Accounts that lie beside those in use.
#[derive(Debug)]
pub struct Staged {
    column: &'static str,
    totals: Totals,
    number: u64,
}

/// What takes the place of the present state, beside the accounts.
#[derive(Debug, Clone, Copy)]
pub struct Install<'a> {
    /// The state after a closing header.
    pub state: &'a LedgerState,
    /// That header.
    pub header: &'a Header,
    /// Its body.
    pub body: &'a [u8],
    /// Proof that it was decided.
    pub decision: &'a [u8],
    /// Certificates to keep, that of the closed epoch among them. They must have been verified.
    pub certificates: &'a [Certificate],
    /// Small values to keep under names, as [`Store::meta_put`] does.
    pub values: &'a [(String, Vec<u8>)],
}

impl Store {
    /// Lays accounts beside those in use, in bounded memory. What was laid there before is gone.
    pub fn stage(&self, records: impl IntoIterator<Item = AccountRecord>) -> Result<Staged, StoreError> {
        let inner = &*self.inner;
        let mut number = lock(&inner.staged);
        let column = inner.spare();
        inner.clear(column)?;
        let totals = create::load(&inner.db, column, records)?;
        // Counted again from the database: an account that was given twice is there once.
        if open::totals(&inner.db, column)? != totals {
            return Err(StoreError::NotTheState("an account is there twice".to_owned()));
        }
        *number += 1;
        Ok(Staged { column, totals, number: *number })
    }

    /// Makes accounts that were laid aside the ones in use, together with the state that they belong to: all or
    /// nothing. It is on the disk when this returns.
    pub fn install(&self, staged: &Staged, install: &Install<'_>) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let _only_writer = lock(&inner.batches);
        let number = lock(&inner.staged);
        install.check(inner, staged, *number)?;
        let _only_signer = lock(&inner.checkpoints);
        inner.write(self.installation(staged, install)?, true)?;
        let header = install.header;
        let closing = Some((header.epoch, header.height, header.time));
        let tip = Tip { state: install.state.clone(), header: header.hash(), closing };
        let mut current = inner.tip.write().unwrap_or_else(PoisonError::into_inner);
        inner.uses_second.store(staged.column == ACCOUNTS_TOO, Ordering::Release);
        inner.lowest.store(header.height.0, Ordering::Release);
        *current = tip;
        Ok(())
    }

    fn installation(&self, staged: &Staged, install: &Install<'_>) -> Result<WriteBatch, StoreError> {
        let (inner, header) = (&*self.inner, install.header);
        let (height, headers) = (header.height.0.to_be_bytes(), inner.column(HEADERS));
        let mut batch = WriteBatch::default();
        meta::put_accounts(inner, &mut batch, staged.column);
        batch.put_cf(headers, chain::header_key(header.height), [&header.encode(), install.decision].concat());
        batch.put_cf(headers, chain::digest_key(&header.body_digest), height);
        batch.put_cf(headers, chain::closing_key(header.epoch), height);
        batch.put_cf(inner.column(BODIES), height, install.body);
        batch.delete_range_cf(inner.column(CLOSED), &[0_u8; 20][..], &[0xff_u8; 21][..]);
        meta::put_state(inner, &mut batch, install.state);
        meta::put_closed_state(inner, &mut batch, install.state);
        meta::put_lowest(inner, &mut batch, header.height);
        for certificate in install.certificates {
            let epoch = certificate.checkpoint.epoch;
            match self.certificate(epoch)? {
                Some(before) if before.checkpoint != certificate.checkpoint => {
                    return Err(StoreError::OtherCertificate(epoch));
                }
                Some(_) => {}
                None => batch.put_cf(inner.column(CHECKPOINTS), certificate_key(epoch), certificate.encode()),
            }
        }
        install.values.iter().for_each(|(name, bytes)| meta::put_other(inner, &mut batch, name, bytes));
        Ok(batch)
    }

    /// Frees the room of accounts that are not in use any more.
    pub fn forget_replaced(&self) -> Result<(), StoreError> {
        let mut number = lock(&self.inner.staged);
        *number += 1;
        self.inner.clear(self.inner.spare())
    }
}

impl Install<'_> {
    fn check(&self, inner: &Inner, staged: &Staged, number: u64) -> Result<(), StoreError> {
        let (state, header, tip) = (self.state, self.header, inner.tip());
        let totals = Totals { count: state.count, sum: u128::from(state.supply.0) };
        let reserved = open::account(&inner.db, staged.column, &RESERVED_ORDERS_ACCOUNT)?;
        let rules = [
            (staged.number == number, "the accounts were replaced meanwhile"),
            (staged.totals == totals, "the accounts do not add up to it"),
            (reserved.is_some(), "the reserved account of the orders is missing"),
            (header.community == inner.community, "the header is of another community"),
            (header.height == state.height, "the header is of another height"),
            (header.body_digest == Body::digest(self.body), "the body is not the one that the header names"),
            (tip.state.height < state.height, "this database has got that far itself"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(StoreError::NotTheState(format!("height {}: {why}", state.height))),
            None => Ok(()),
        }
    }
}

impl Inner {
    /// The column of accounts that is not in use.
    fn spare(&self) -> &'static str {
        if self.uses_second.load(Ordering::Acquire) { ACCOUNTS } else { ACCOUNTS_TOO }
    }

    /// Empties a column of accounts. Whoever still reads it through a snapshot goes on undisturbed.
    fn clear(&self, name: &str) -> Result<(), StoreError> {
        let failed = |error: rocksdb::Error| StoreError::Write(error.into_string());
        let column: &ColumnFamily = self.column(name);
        let (first, end): (&[u8], &[u8]) = (&[0; 20], &[0xff; 21]);
        self.db.delete_file_in_range_cf(column, first, end).map_err(failed)?;
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(column, first, end);
        self.write(batch, true)?;
        self.db.compact_range_cf(column, None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    /// Height of the lowest batch whose body is here.
    pub(super) fn lowest(&self) -> Height {
        Height(self.lowest.load(Ordering::Acquire))
    }
}
