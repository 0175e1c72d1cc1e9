//! Damage on purpose, for tests of what notices it.
use rocksdb::WriteBatch;
use seedbank_types::AccountRecord;

use super::{Store, put_account};
use crate::StoreError;

impl Store {
    /// Puts a record in the place of the one that is there, as no batch ever does.
    pub fn damage_account(&self, record: &AccountRecord) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        put_account(&mut batch, self.inner.accounts(), record);
        self.inner.write(batch, true)
    }
}
