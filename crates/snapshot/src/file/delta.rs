//! Deltas: what changed since a full file, and the whole state read from both.
use std::io::{BufReader, Read, Seek, SeekFrom};

use seedbank_types::{AccountId, AccountRecord, Epoch};

use super::layout::GroupLine;
use super::open::{seek, seek_bucket};
use super::overlay::Overlay;
use super::verify::{READ_BYTES, read_head, read_lines};
use super::{BaseFile, Expected, FileError, FileHeader, FileKind, Part, Verified};
use crate::{BucketLine, BucketTable, bucket_of};

/// Whether the servers cut a full file at the close of an epoch instead of a delta: every
/// `full_interval` epochs, and as soon as the delta is larger than a quarter of the full file that
/// it builds on.
#[must_use]
pub const fn is_full_due(epoch: Epoch, full_interval: u32, delta_length: u64, base_length: u64) -> bool {
    let is_turn = match epoch.0.checked_rem(full_interval as u64) {
        Some(rest) => rest == 0,
        None => true,
    };
    is_turn || delta_length > base_length / 4
}

/// Checks a delta of `length` bytes against what was signed, in one pass over it and its base:
/// header, root, groups, order of the records, every bucket of the state that both give, supply,
/// end.
///
/// The base's own lines are not looked at; if they lie, look-ups in a [`DeltaFile`] fail.
///
/// `each` sees every record of the state **before** it is confirmed, see
/// [`verify_full`](super::verify_full).
pub fn verify_delta(
    reader: impl Read,
    length: u64,
    base: &mut BaseFile<impl Read + Seek>,
    expected: &Expected,
    mut each: impl FnMut(&AccountRecord),
) -> Result<Verified, FileError> {
    let mut reader = BufReader::with_capacity(READ_BYTES, reader);
    let (header, groups) = read_head(&mut reader, FileKind::Delta, length, expected)?;
    check_base(&header, base.header())?;
    let lines = read_lines(&mut reader, &header, &groups)?;
    let mut overlay = Overlay::new(reader, base.records()?, header.bits, 0, lines);
    while let Some(record) = overlay.next_record()? {
        each(&record);
    }
    let (got, expected) = (overlay.records(), header.count);
    if got != expected {
        return Err(FileError::Count { expected, got });
    }
    let (got, expected) = (overlay.supply().0, header.supply.0);
    if got != expected {
        return Err(FileError::Supply { expected, got });
    }
    let lines: Vec<BucketLine> = overlay.end()?.iter().map(|line| line.bucket).collect();
    let table = BucketTable::from_lines(header.bits, header.count, header.supply, &lines);
    Ok(Verified { header, table })
}

/// Accounts are never deleted, so a state has at least those of its base.
fn check_base(delta: &FileHeader, base: &FileHeader) -> Result<(), FileError> {
    if delta.base_height == base.height && base.count <= delta.count {
        return Ok(());
    }
    Err(FileError::OtherBase { expected: delta.base_height, got: base.height })
}

/// A delta open for look-ups, together with its base; see [`FullFile`](super::FullFile).
#[derive(Debug)]
pub struct DeltaFile<R, B> {
    reader: BufReader<R>,
    base: BaseFile<B>,
    header: FileHeader,
    groups: Vec<GroupLine>,
}

impl<R: Read + Seek, B: Read + Seek> DeltaFile<R, B> {
    /// Reads and checks header, length and group lines.
    pub fn open(reader: R, base: BaseFile<B>, expected: &Expected) -> Result<Self, FileError> {
        let mut reader = BufReader::with_capacity(READ_BYTES, reader);
        let length = seek(&mut reader, SeekFrom::End(0), Part::End)?;
        seek(&mut reader, SeekFrom::Start(0), Part::Header)?;
        let (header, groups) = read_head(&mut reader, FileKind::Delta, length, expected)?;
        check_base(&header, base.header())?;
        Ok(Self { reader, base, header, groups })
    }

    /// What the delta says about itself, confirmed.
    #[must_use]
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The record of an account, or `None` if the signed state has none.
    pub fn account(&mut self, id: &AccountId) -> Result<Option<AccountRecord>, FileError> {
        let bucket = self.bucket(bucket_of(id, self.header.bits))?;
        Ok(bucket.into_iter().find(|record| record.id == *id))
    }

    /// All records of one bucket of the state, as a proof needs them.
    ///
    /// # Panics
    /// If there is no such bucket.
    pub fn bucket(&mut self, number: u32) -> Result<Vec<AccountRecord>, FileError> {
        let bits = self.header.bits;
        let line = seek_bucket(&mut self.reader, &self.header, &self.groups, number)?;
        // The state has at least as many buckets, so all of one are in one bucket of the base.
        let of_base = number >> (bits - self.base.header().bits);
        let base = self
            .base
            .bucket(of_base)?
            .filter(|record| record.as_ref().map_or(true, |record| bucket_of(&record.id, bits) == number));
        let mut overlay = Overlay::new(&mut self.reader, base, bits, number, vec![line]);
        let mut records = Vec::new();
        while let Some(record) = overlay.next_record()? {
            records.push(record);
        }
        Ok(records)
    }
}
