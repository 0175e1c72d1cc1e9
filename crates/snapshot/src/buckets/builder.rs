//! Building of the bucket table, record by record.
use seedbank_types::AccountRecord;

use super::{BucketHasher, BucketLine, BucketTable, COUNT_MAX, TableError, Tally, bucket_bits, bucket_of};

/// Takes all records, ascending, and becomes a [`BucketTable`]; for sources that can fail between
/// two records. Otherwise [`BucketTable::from_records`] is shorter.
#[derive(Debug, Clone)]
pub struct TableBuilder {
    bits: u8,
    count: u64,
    tally: Tally,
    hasher: BucketHasher,
    lines: Vec<BucketLine>,
}

impl TableBuilder {
    /// Starts a table for exactly `count` records.
    pub fn new(count: u64) -> Result<Self, TableError> {
        if count > COUNT_MAX {
            return Err(TableError::TooMany(count));
        }
        let (tally, hasher) = (Tally::default(), BucketHasher::default());
        Ok(Self { bits: bucket_bits(count), count, tally, hasher, lines: Vec::new() })
    }

    /// Takes the next record.
    pub fn push(&mut self, record: &AccountRecord) -> Result<(), TableError> {
        self.tally.add(record)?;
        let bucket = bucket_of(&record.id, self.bits);
        self.close_below(u64::from(bucket));
        self.hasher.push(&record.encode()).ok_or(TableError::BucketFull(bucket))
    }

    /// The table, if as many records came as were announced.
    pub fn finish(mut self) -> Result<BucketTable, TableError> {
        if self.tally.records != self.count {
            return Err(TableError::CountDiffers { expected: self.count, got: self.tally.records });
        }
        self.close_below(1 << self.bits);
        Ok(BucketTable::from_lines(self.bits, self.count, self.tally.supply, &self.lines))
    }

    /// Records come in order, so a record of a bucket closes all buckets before it.
    fn close_below(&mut self, bucket: u64) {
        while (self.lines.len() as u64) < bucket {
            self.lines.push(self.hasher.finish());
        }
    }
}
