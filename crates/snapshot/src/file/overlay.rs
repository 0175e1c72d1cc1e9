//! A base's records with those of a delta in their places, each bucket checked against its line.
use std::cmp::Ordering;
use std::io::Read;
use std::iter::Peekable;

use seedbank_types::{AccountRecord, Amount};

use super::layout::{FileLine, expect_end, read_array};
use super::{FileError, Part};
use crate::bucket_of;
use crate::buckets::{BucketHasher, Tally};

/// Merges records in fixed memory; see [`RecordStream`](super::RecordStream) on when a record is
/// confirmed.
pub(crate) struct Overlay<D, B: Iterator> {
    delta: D,
    base: Peekable<B>,
    bits: u8,
    lines: Vec<FileLine>,
    /// Number of the bucket of the first line.
    first: u32,
    /// Index of the line whose bucket is being read.
    at: usize,
    /// Records of this bucket read from the delta.
    read: u32,
    /// The record of the delta that comes next.
    changed: Option<AccountRecord>,
    order: Tally,
    hasher: BucketHasher,
    tally: Tally,
}

impl<D: Read, B: Iterator<Item = Result<AccountRecord, FileError>>> Overlay<D, B> {
    /// `delta` stands at the first record of bucket `first`, whose line and those that follow are
    /// confirmed; `base` gives records of these buckets only.
    pub(crate) fn new(delta: D, base: B, bits: u8, first: u32, lines: Vec<FileLine>) -> Self {
        Self {
            delta,
            base: base.peekable(),
            bits,
            lines,
            first,
            at: 0,
            read: 0,
            changed: None,
            order: Tally::default(),
            hasher: BucketHasher::default(),
            tally: Tally::default(),
        }
    }

    /// The next record of the state; `None` after the last one, when all buckets were right. Not to
    /// be called again after an error.
    pub(crate) fn next_record(&mut self) -> Result<Option<AccountRecord>, FileError> {
        while let Some(line) = self.lines.get(self.at).copied() {
            self.read_changed(line)?;
            if let Some(record) = self.pick()? {
                self.count_in(&record, line)?;
                return Ok(Some(record));
            }
            if self.hasher.finish() != line.bucket {
                return Err(FileError::OverlaidBucket(self.bucket()));
            }
            self.at += 1;
            self.read = 0;
        }
        Ok(None)
    }

    /// The lesser of the two records that come next, or the delta's if they are of one account.
    fn pick(&mut self) -> Result<Option<AccountRecord>, FileError> {
        let base = self.base_record()?;
        let order = match (base, self.changed) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(base), Some(changed)) if base == changed => return Err(FileError::Unchanged(base.id)),
            (Some(base), Some(changed)) => base.id.cmp(&changed.id),
        };
        if order.is_le() {
            self.base.next();
        }
        Ok(if order.is_lt() { base } else { self.changed.take() })
    }

    /// The base's next record, if it is of the present bucket.
    fn base_record(&mut self) -> Result<Option<AccountRecord>, FileError> {
        let bucket = self.bucket();
        match self.base.next_if(Result::is_err) {
            Some(Err(error)) => Err(error),
            _ => match self.base.peek() {
                Some(Ok(record)) if bucket_of(&record.id, self.bits) == bucket => Ok(Some(*record)),
                _ => Ok(None),
            },
        }
    }

    fn read_changed(&mut self, line: FileLine) -> Result<(), FileError> {
        if self.changed.is_some() || self.read == line.in_file {
            return Ok(());
        }
        let number = self.bucket();
        let record =
            AccountRecord::decode(&read_array::<{ AccountRecord::BYTES }>(&mut self.delta, Part::Records(number))?)?;
        self.order.add(&record).map_err(|source| FileError::Records { number, source })?;
        if bucket_of(&record.id, self.bits) != number {
            return Err(FileError::OtherBucket { number, id: record.id });
        }
        self.read += 1;
        self.changed = Some(record);
        Ok(())
    }

    fn count_in(&mut self, record: &AccountRecord, line: FileLine) -> Result<(), FileError> {
        let number = self.bucket();
        self.tally.add(record).map_err(|source| FileError::Records { number, source })?;
        if self.hasher.count() == line.bucket.count {
            return Err(FileError::OverlaidBucket(number));
        }
        self.hasher.push(&record.encode()).expect("the count is below that of the line, which fits");
        Ok(())
    }

    fn bucket(&self) -> u32 {
        self.first + u32::try_from(self.at).expect("there are at most 2^31 buckets")
    }

    /// Records so far.
    pub(crate) const fn records(&self) -> u64 {
        self.tally.records
    }

    /// Sum of the balances so far.
    pub(crate) const fn supply(&self) -> Amount {
        self.tally.supply
    }

    /// Checks that the delta ends here and gives the lines back.
    pub(crate) fn end(mut self) -> Result<Vec<FileLine>, FileError> {
        expect_end(&mut self.delta)?;
        Ok(self.lines)
    }
}
