//! Writing of a full file.
use std::io::{self, BufWriter, Write};

use seedbank_types::{AccountRecord, Amount, CommunityId, Height};

use super::{FileHeader, group_bits};
use crate::buckets::Tally;
use crate::{BucketLine, BucketTable, TableError, bucket_of};

const WRITE_BYTES: usize = 1 << 16;

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The writer failed.
    #[error("the snapshot file cannot be written: {0}")]
    Write(#[from] io::Error),
    /// Records that are none.
    #[error("the records for the snapshot file are wrong: {0}")]
    Records(#[from] TableError),
    /// Records of another state than the table.
    #[error("the records for the snapshot file are not those of the bucket table: bucket {0} has another number")]
    OtherBucketCount(u32),
    /// Balances that do not sum up: money was made or lost.
    #[error("the balances add up to {got}, the bucket table says {expected}: the database is inconsistent")]
    Supply {
        /// As the table says.
        expected: Amount,
        /// As summed.
        got: Amount,
    },
}

/// Writes a full file of the state in `table`. `height` is the last one that changed any record;
/// `records` are all of them, ascending. Their order, number in each bucket and sum are checked,
/// not their hashes. Returns the bytes written, which are [`full_length`](super::full_length).
pub fn write_full(
    community: CommunityId,
    height: Height,
    table: &BucketTable,
    records: impl IntoIterator<Item = AccountRecord>,
    writer: impl Write,
) -> Result<u64, WriteError> {
    let mut full = FullWriter::new(community, height, table, writer)?;
    for record in records {
        full.push(&record)?;
    }
    full.finish()
}

/// Writes a full file record by record; for sources that can fail between two records. Otherwise
/// [`write_full`] is shorter.
#[derive(Debug)]
pub struct FullWriter<'a, W: Write> {
    table: &'a BucketTable,
    writer: BufWriter<W>,
    tally: Tally,
    /// The bucket being filled and the records in it so far.
    bucket: u32,
    in_bucket: u32,
    bytes: u64,
}

impl<'a, W: Write> FullWriter<'a, W> {
    /// Writes header, group lines and bucket lines.
    pub fn new(community: CommunityId, height: Height, table: &'a BucketTable, writer: W) -> Result<Self, WriteError> {
        let writer = BufWriter::with_capacity(WRITE_BYTES, writer);
        let mut full = Self { table, writer, tally: Tally::default(), bucket: 0, in_bucket: 0, bytes: 0 };
        full.write(&FileHeader::full(community, height, table.count(), table.supply()).encode())?;
        full.write_group_lines()?;
        for BucketLine { count, hash } in table.lines() {
            full.write(&count.to_be_bytes())?;
            full.write(&count.to_be_bytes())?;
            full.write(&hash.0)?;
        }
        Ok(full)
    }

    /// Writes the next record.
    pub fn push(&mut self, record: &AccountRecord) -> Result<(), WriteError> {
        self.tally.add(record)?;
        let bucket = bucket_of(&record.id, self.table.bits());
        while self.bucket < bucket {
            self.next_bucket()?;
        }
        self.in_bucket = self.in_bucket.saturating_add(1);
        self.write(&record.encode())?;
        Ok(())
    }

    /// Checks that all records came, flushes, and says how many bytes were written.
    pub fn finish(mut self) -> Result<u64, WriteError> {
        while u64::from(self.bucket) < 1 << self.table.bits() {
            self.next_bucket()?;
        }
        let (expected, got) = (self.table.supply(), self.tally.supply);
        if expected != got {
            return Err(WriteError::Supply { expected, got });
        }
        self.writer.flush()?;
        Ok(self.bytes)
    }

    fn write_group_lines(&mut self) -> io::Result<()> {
        let table = self.table;
        let per_group = 1 << (table.bits() - group_bits(table.bits()));
        let (mut before, mut lines) = (0_u64, table.lines());
        for node in table.nodes(group_bits(table.bits())) {
            self.write(&before.to_be_bytes())?;
            self.write(&node.0)?;
            before += lines.by_ref().take(per_group).map(|line| u64::from(line.count)).sum::<u64>();
        }
        Ok(())
    }

    fn next_bucket(&mut self) -> Result<(), WriteError> {
        if self.table.line(self.bucket).map(|line| line.count) != Some(self.in_bucket) {
            return Err(WriteError::OtherBucketCount(self.bucket));
        }
        self.bucket += 1;
        self.in_bucket = 0;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.writer.write_all(bytes)
    }
}
