//! What is true of records in a row whoever reads them: they ascend and their sum fits.
use seedbank_types::{AccountId, AccountRecord, Amount};

use super::TableError;

/// Counts and sums records and refuses those that do not ascend.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) supply: Amount,
    last: Option<AccountId>,
}

impl Tally {
    pub(crate) fn add(&mut self, record: &AccountRecord) -> Result<(), TableError> {
        if let Some(before) = self.last.filter(|last| *last >= record.id) {
            return Err(TableError::NotAscending { before, id: record.id });
        }
        let overflow = TableError::SupplyOverflow(record.id);
        self.supply = self.supply.checked_add(record.balance).ok_or(overflow)?;
        self.last = Some(record.id);
        self.records += 1;
        Ok(())
    }
}
