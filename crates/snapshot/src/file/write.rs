//! Writing of files.
use std::io::{self, BufWriter, Write};

use seedbank_types::{AccountRecord, Amount, CommunityId, Height};

use super::layout::{BUCKET_LINE_BYTES, FileLine, GROUP_LINE_BYTES};
use super::{FileHeader, group_bits};
use crate::buckets::Tally;
use crate::{BucketTable, TableError, bucket_of};

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
        let header = FileHeader::full(community, height, table.count(), table.supply());
        let lines = table.lines().map(|bucket| FileLine { bucket, in_file: bucket.count });
        full.bytes = write_head(&mut full.writer, &header, table, lines)?;
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

/// Writes the delta that leads from the full file of `base_height` to the state in `table`:
/// `changed` are the records that differ from the base's or are not in it, ascending. Their order
/// is checked, not that they differ. Returns the bytes written, which are
/// [`delta_length`](super::delta_length).
pub fn write_delta(
    community: CommunityId,
    height: Height,
    base_height: Height,
    table: &BucketTable,
    changed: &[AccountRecord],
    writer: impl Write,
) -> Result<u64, WriteError> {
    let mut writer = BufWriter::with_capacity(WRITE_BYTES, writer);
    let mut tally = Tally::default();
    changed.iter().try_for_each(|record| tally.add(record))?;
    let full = FileHeader::full(community, height, table.count(), table.supply());
    let mut rest = changed;
    let lines = table.lines().zip(0_u32..).map(|(bucket, number)| {
        let in_file = rest.partition_point(|record| bucket_of(&record.id, table.bits()) == number);
        rest = &rest[in_file..];
        FileLine { bucket, in_file: u32::try_from(in_file).unwrap_or(u32::MAX) }
    });
    let lines: Vec<FileLine> = lines.collect();
    let over = lines.iter().position(|line| line.in_file > line.bucket.count);
    if let Some(number) = over {
        return Err(WriteError::OtherBucketCount(u32::try_from(number).unwrap_or(u32::MAX)));
    }
    let header = FileHeader::delta(&full, base_height, changed.len() as u64);
    let mut bytes = write_head(&mut writer, &header, table, lines.iter().copied())?;
    for record in changed {
        let record = record.encode();
        writer.write_all(&record)?;
        bytes += record.len() as u64;
    }
    writer.flush()?;
    Ok(bytes)
}

/// Writes header, group lines and bucket lines.
fn write_head(
    writer: &mut impl Write,
    header: &FileHeader,
    table: &BucketTable,
    lines: impl Iterator<Item = FileLine> + Clone,
) -> io::Result<u64> {
    let header = header.encode();
    writer.write_all(&header)?;
    let mut bytes = header.len() as u64;
    let per_group = 1 << (table.bits() - group_bits(table.bits()));
    let (mut before, mut of_groups) = (0_u64, lines.clone());
    for node in table.nodes(group_bits(table.bits())) {
        writer.write_all(&before.to_be_bytes())?;
        writer.write_all(&node.0)?;
        bytes += GROUP_LINE_BYTES;
        before += of_groups.by_ref().take(per_group).map(|line| u64::from(line.in_file)).sum::<u64>();
    }
    for line in lines {
        writer.write_all(&line.encode())?;
        bytes += BUCKET_LINE_BYTES;
    }
    Ok(bytes)
}
