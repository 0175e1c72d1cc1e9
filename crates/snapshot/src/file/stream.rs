//! Records read in order, each bucket checked against its line.
use std::io::Read;

use seedbank_types::{AccountRecord, Amount};

use super::layout::{FileLine, expect_end, read_array};
use super::{FileError, Part};
use crate::buckets::{BucketHasher, Tally};
use crate::{BucketLine, bucket_of};

/// Reads the records of consecutive buckets whose lines are confirmed, in fixed memory.
///
/// A record is handed out before its bucket is complete: it is confirmed only when the stream has
/// gone past the bucket without an error.
#[derive(Debug)]
pub struct RecordStream<R> {
    reader: R,
    bits: u8,
    lines: Vec<BucketLine>,
    /// Number of the bucket of the first line.
    first: u32,
    /// Index of the line whose bucket is being read.
    at: usize,
    hasher: BucketHasher,
    tally: Tally,
    failed: bool,
}

impl<R: Read> RecordStream<R> {
    /// `reader` stands at the first record of bucket `first`, `lines` are confirmed.
    pub(crate) fn new(reader: R, bits: u8, first: u32, lines: &[FileLine]) -> Self {
        let lines = lines.iter().map(|line| line.bucket).collect();
        let (hasher, tally) = (BucketHasher::default(), Tally::default());
        Self { reader, bits, lines, first, at: 0, hasher, tally, failed: false }
    }

    /// The next record; `None` after the last one, when all buckets were right. Not to be called
    /// again after an error.
    pub(crate) fn next_record(&mut self) -> Result<Option<AccountRecord>, FileError> {
        while let Some(line) = self.lines.get(self.at) {
            if self.hasher.count() < line.count {
                return self.read_record().map(Some);
            }
            if self.hasher.finish() != *line {
                return Err(FileError::Bucket(self.bucket()));
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn read_record(&mut self) -> Result<AccountRecord, FileError> {
        let number = self.bucket();
        let bytes = read_array(&mut self.reader, Part::Records(number))?;
        let record = AccountRecord::decode(&bytes)?;
        self.tally.add(&record).map_err(|source| FileError::Records { number, source })?;
        if bucket_of(&record.id, self.bits) != number {
            return Err(FileError::OtherBucket { number, id: record.id });
        }
        self.hasher.push(&bytes).expect("the count is below that of the line, which fits");
        Ok(record)
    }

    /// Number of the bucket being read.
    fn bucket(&self) -> u32 {
        self.first + u32::try_from(self.at).expect("there are at most 2^31 buckets")
    }

    /// Sum of the balances so far.
    pub(crate) const fn supply(&self) -> Amount {
        self.tally.supply
    }

    /// Checks that the file ends here and gives the lines back.
    pub(crate) fn end(mut self) -> Result<Vec<BucketLine>, FileError> {
        expect_end(&mut self.reader)?;
        Ok(self.lines)
    }
}

/// Ends after the last record or after the first error; only in the first case are its records
/// believed.
impl<R: Read> Iterator for RecordStream<R> {
    type Item = Result<AccountRecord, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_record();
        self.failed = next.is_err();
        next.transpose()
    }
}
