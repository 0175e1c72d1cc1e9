//! Forgetting what nobody needs any more: bodies of old batches, and which payments were in them.
//!
//! Headers with their decisions, certificates, handovers, evidence and histories stay.
use std::sync::atomic::Ordering;

use rocksdb::{ReadOptions, WriteBatch};
use seedbank_types::{Height, Reader};

use super::{Inner, Store, chain, meta};
use crate::StoreError;
use crate::columns::{BODIES, HEADERS, PAYMENTS};

/// Keys deleted in one write: small writes let batches in between.
const KEYS_A_WRITE: usize = 2_000;

impl Store {
    /// Height of the lowest batch whose body is still here, if all went on from there.
    #[must_use]
    pub fn lowest_body(&self) -> Height {
        self.inner.lowest()
    }

    /// Deletes the bodies below a height. A crash in the middle leaves some that nobody is told of.
    pub fn prune_bodies(&self, below: Height) -> Result<(), StoreError> {
        let (inner, lowest) = (&*self.inner, self.inner.lowest());
        if below <= lowest {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        meta::put_lowest(inner, &mut batch, below);
        inner.write(batch, true)?;
        inner.lowest.store(below.0, Ordering::Release);
        inner.forget_digests(below)?;
        let (first, end) = (0_u64.to_be_bytes(), below.0.to_be_bytes());
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(inner.column(BODIES), first, end);
        inner.write(batch, false)?;
        let failed = |error: rocksdb::Error| StoreError::Write(error.into_string());
        inner.db.delete_file_in_range_cf(inner.column(BODIES), first, end).map_err(failed)
    }

    /// Forgets where payments and orders below a height stand; says how many. They must be too old to be
    /// ordered again. All that is remembered is read for it, so it is not for every epoch.
    pub fn forget_payments(&self, below: Height) -> Result<u64, StoreError> {
        let inner = &*self.inner;
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut places = inner.db.raw_iterator_cf_opt(inner.column(PAYMENTS), options);
        let (mut batch, mut forgotten) = (WriteBatch::default(), 0);
        places.seek_to_first();
        while let Some((id, place)) = places.item() {
            if Height(Reader::new("place of a payment", place).u64("height")?) < below {
                batch.delete_cf(inner.column(PAYMENTS), id);
                forgotten += 1;
            }
            if batch.len() >= KEYS_A_WRITE {
                inner.write(std::mem::take(&mut batch), false)?;
            }
            places.next();
        }
        places.status().map_err(StoreError::read)?;
        inner.write(batch, false)?;
        Ok(forgotten)
    }
}

impl Inner {
    /// Bodies that are gone are not looked for by their digests any more.
    fn forget_digests(&self, below: Height) -> Result<(), StoreError> {
        let headers = self.column(HEADERS);
        let mut bodies = self.db.raw_iterator_cf(self.column(BODIES));
        let mut batch = WriteBatch::default();
        bodies.seek_to_first();
        while let Some(key) = bodies.key().filter(|key| **key < below.0.to_be_bytes()[..]) {
            let height = Height(super::decode_u64("height of a body", key)?);
            if let Some(value) = self.get(HEADERS, &chain::header_key(height))? {
                let digest = chain::digest_key(&chain::split_header(&value)?.0.body_digest);
                // The same bytes may stand at a later height, too.
                if self.get(HEADERS, &digest)?.as_deref() == Some(key) {
                    batch.delete_cf(headers, digest);
                }
            }
            if batch.len() >= KEYS_A_WRITE {
                self.write(std::mem::take(&mut batch), false)?;
            }
            bodies.next();
        }
        bodies.status().map_err(StoreError::read)?;
        self.write(batch, false)
    }
}
