//! A batch in one write.
use std::sync::PoisonError;

use rocksdb::WriteBatch;
use seedbank_ledger::Changes;
use seedbank_types::{AccountId, AccountRecord, Body, Entry, Header, Height, OrderKind, PaymentId};

use super::chain::{self, Role};
use super::{Inner, Store, Tip, lock, meta, put_account};
use crate::StoreError;
use crate::columns::{BODIES, CLOSED, HEADERS, HISTORY, PAYMENTS};

const DECISION_BYTES_MAX: usize = 64 << 10;

/// Everything about one decided batch.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// What was agreed on.
    pub header: &'a Header,
    /// Payments and orders; the certificate of the epoch before, if the header is closing.
    pub body: &'a [u8],
    /// Names of the body's entries, in its order; none if the header is closing.
    pub ids: &'a [PaymentId],
    /// Proof that the header was decided; opaque here, at most 64 KiB.
    pub decision: &'a [u8],
    /// Whether the header closes its epoch.
    pub closing: bool,
    /// What the batch changes.
    pub changes: &'a Changes,
}

impl Store {
    /// Stores a batch, all or nothing; it is on the disk when this returns.
    pub fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.commit_with_log(commit, &[])
    }

    /// The same in one write with entries of the quorum's log, of which those up to the batch's height
    /// are worthless from then on: they are not written, and those that were are forgotten.
    pub fn commit_with_log(&self, commit: &Commit<'_>, log: &[(Height, &[u8])]) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let _only_writer = lock(&inner.batches);
        let tip = inner.tip();
        commit.check(inner, &tip)?;
        let mut batch = inner.batch(commit)?;
        let mut place = lock(&inner.log);
        let next = commit.header.height.next();
        let after = inner.clear_log(&mut batch, *place, next)?;
        let after = inner.append_log(&mut batch, after, log, next)?;
        inner.write(batch, true)?;
        *place = after;
        let closing = if commit.closing { Some(commit.closes()) } else { tip.closing };
        let tip = Tip { state: commit.changes.state.clone(), header: commit.header.hash(), closing };
        *inner.tip.write().unwrap_or_else(PoisonError::into_inner) = tip;
        Ok(())
    }
}

impl Commit<'_> {
    fn check(&self, inner: &Inner, tip: &Tip) -> Result<(), StoreError> {
        let (header, expected) = (self.header, tip.state.height.next());
        if header.height != expected {
            return Err(StoreError::NotNext { expected, found: header.height });
        }
        if self.decision.len() > DECISION_BYTES_MAX {
            let bytes = self.decision.len();
            return Err(StoreError::TooLong { what: "decision", bytes, most: DECISION_BYTES_MAX });
        }
        let rules = [
            (header.community == inner.community, "the header is of another community"),
            (header.previous == tip.header, "the header does not follow the last one"),
            (header.body_digest == Body::digest(self.body), "the body is not the one that the header names"),
            (self.changes.state.height == header.height, "the changes are of another height"),
            (!self.closing || self.changes.records.is_empty(), "a closing header changes no account"),
            (!self.closing || self.ids.is_empty(), "a closing header orders nothing"),
            (!self.closing || tip.closing.is_none_or(|(last, ..)| last < header.epoch), "the epoch was closed before"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(StoreError::NotTheBatch(format!("height {expected}: {why}"))),
            None => Ok(()),
        }
    }

    fn closes(&self) -> (seedbank_types::Epoch, Height, seedbank_types::TimeMs) {
        (self.header.epoch, self.header.height, self.header.time)
    }
}

impl Inner {
    fn batch(&self, commit: &Commit<'_>) -> Result<WriteBatch, StoreError> {
        let (header, height) = (commit.header, commit.header.height.0.to_be_bytes());
        let (headers, accounts) = (self.column(HEADERS), self.accounts());
        let mut batch = WriteBatch::default();
        batch.put_cf(headers, chain::header_key(header.height), [&header.encode(), commit.decision].concat());
        batch.put_cf(headers, chain::digest_key(&header.body_digest), height);
        batch.put_cf(self.column(BODIES), height, commit.body);
        if commit.closing {
            batch.put_cf(headers, chain::closing_key(header.epoch), height);
            batch.delete_range_cf(self.column(CLOSED), &[0_u8; 20][..], &[0xff_u8; 21][..]);
            meta::put_closed_state(self, &mut batch, &commit.changes.state);
        } else {
            self.index_body(&mut batch, commit)?;
        }
        self.keep_closed(&mut batch, &commit.changes.records)?;
        commit.changes.records.iter().for_each(|record| put_account(&mut batch, accounts, record));
        meta::put_state(self, &mut batch, &commit.changes.state);
        Ok(batch)
    }

    /// Keeps how these accounts were at the last closing header, for those that change the first time
    /// since: its root must be computable even if the server stops before it was.
    fn keep_closed(&self, batch: &mut WriteBatch, records: &[AccountRecord]) -> Result<(), StoreError> {
        if self.tip().closing.is_none() {
            return Ok(());
        }
        let (closed, accounts) = (self.column(CLOSED), self.accounts());
        for AccountRecord { id, .. } in records {
            if self.db.get_pinned_cf(closed, id.0).map_err(StoreError::read)?.is_none() {
                let before = self.db.get_pinned_cf(accounts, id.0).map_err(StoreError::read)?;
                batch.put_cf(closed, id.0, before.as_deref().unwrap_or_default());
            }
        }
        Ok(())
    }

    fn index_body(&self, batch: &mut WriteBatch, commit: &Commit<'_>) -> Result<(), StoreError> {
        let body = Body::decode(commit.body).map_err(|error| StoreError::NotTheBatch(error.to_string()))?;
        if body.entries.len() != commit.ids.len() {
            return Err(StoreError::NotTheBatch("there are not as many names as entries".to_owned()));
        }
        let mut index = Index { inner: self, height: commit.header.height, payments: Vec::new(), history: Vec::new() };
        (0_u32..)
            .zip(body.entries.iter().zip(commit.ids))
            .for_each(|(place, (entry, id))| index.entry(place, entry, id));
        index.put(batch);
        Ok(())
    }
}

/// Where each entry is found again, by id and by account.
struct Index<'a> {
    inner: &'a Inner,
    height: Height,
    payments: Vec<([u8; 32], [u8; 12])>,
    history: Vec<([u8; 32], [u8; 33])>,
}

impl Index<'_> {
    /// Adds everything in the order of the keys: RocksDB looks for the place of each near that of the last.
    fn put(mut self, batch: &mut WriteBatch) {
        let (payments, history) = (self.inner.column(PAYMENTS), self.inner.column(HISTORY));
        self.payments.sort_unstable();
        self.payments.iter().for_each(|(key, value)| batch.put_cf(payments, key, value));
        self.history.sort_unstable();
        self.history.iter().for_each(|(key, value)| batch.put_cf(history, key, value));
    }

    fn entry(&mut self, place: u32, entry: &Entry, id: &PaymentId) {
        self.payments.push((id.0, chain::place_value(self.height, place)));
        match entry {
            Entry::Payment(signed) => {
                self.history(place, id, &signed.payment.payer(), Role::Payer);
                self.history(place, id, &signed.payment.payee, Role::Payee);
            }
            Entry::Order(signed) => match &signed.order.kind {
                OrderKind::Issue { account, .. } => self.history(place, id, account, Role::Issued),
                OrderKind::Retire { .. } => {
                    self.history(place, id, &self.inner.genesis.fee_account, Role::Retired);
                }
                OrderKind::Servers(_) => {}
            },
        }
    }

    fn history(&mut self, place: u32, id: &PaymentId, account: &AccountId, role: Role) {
        let key = chain::history_key(account, self.height, place);
        self.history.push((key, chain::history_value(id, role)));
    }
}
