//! Where the parts of a file begin, and how its lines look.
use std::io::{self, Read};

use seedbank_types::{AccountRecord, Hash};

use super::{FileError, FileKind, HEADER_BYTES, Part};
use crate::{BucketLine, COUNT_MAX, bucket_bits};

/// Length of a group line: `records in this file before the group u64 ‖ node 32`.
pub const GROUP_LINE_BYTES: u64 = 40;

/// Length of a bucket line: `count u32 ‖ records in this file u32 ‖ bucket hash 32`.
pub const BUCKET_LINE_BYTES: u64 = 40;

/// `g`: bits of a group number, ceil(b / 2), so that there are about as many groups as buckets in
/// a group.
#[must_use]
pub const fn group_bits(bits: u8) -> u8 {
    bits.div_ceil(2)
}

/// Length in bytes of a full file with so many accounts; `None` if they are more than
/// [`COUNT_MAX`].
#[must_use]
pub const fn full_length(count: u64) -> Option<u64> {
    if count > COUNT_MAX {
        return None;
    }
    let layout = Layout::new(count);
    Some(layout.record_offset(count))
}

/// `D`: length in bytes of a delta with so many records towards a state with `count` accounts;
/// `None` if the accounts are more than [`COUNT_MAX`] or fewer than the records.
#[must_use]
pub const fn delta_length(count: u64, records: u64) -> Option<u64> {
    if count > COUNT_MAX || records > count {
        return None;
    }
    Some(Layout::new(count).record_offset(records))
}

/// The places in a file: all but its end follow from the number of accounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    bits: u8,
}

impl Layout {
    pub(crate) const fn new(count: u64) -> Self {
        Self { bits: bucket_bits(count) }
    }

    pub(crate) const fn bits(self) -> u8 {
        self.bits
    }

    pub(crate) const fn groups(self) -> u32 {
        1 << group_bits(self.bits)
    }

    pub(crate) const fn buckets_per_group(self) -> u32 {
        1 << (self.bits - group_bits(self.bits))
    }

    pub(crate) const fn group_line_offset(self, group: u32) -> u64 {
        HEADER_BYTES as u64 + GROUP_LINE_BYTES * group as u64
    }

    pub(crate) const fn bucket_line_offset(self, bucket: u32) -> u64 {
        self.group_line_offset(self.groups()) + BUCKET_LINE_BYTES * bucket as u64
    }

    pub(crate) const fn record_offset(self, record: u64) -> u64 {
        self.group_line_offset(self.groups()) + (BUCKET_LINE_BYTES << self.bits) + AccountRecord::BYTES as u64 * record
    }
}

/// A group of buckets: how many records stand before it, and the node over its bucket hashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLine {
    pub(crate) before: u64,
    pub(crate) node: Hash,
}

impl GroupLine {
    pub(crate) fn read(reader: &mut impl Read, number: u32) -> Result<Self, FileError> {
        let part = Part::GroupLine(number);
        Ok(Self { before: u64::from_be_bytes(read_array(reader, part)?), node: Hash(read_array(reader, part)?) })
    }
}

/// What a file says of one bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileLine {
    /// The bucket of the state.
    pub(crate) bucket: BucketLine,
    /// Records of it in this file: all, or in a delta those that changed.
    pub(crate) in_file: u32,
}

impl FileLine {
    pub(crate) fn read(reader: &mut impl Read, kind: FileKind, number: u32) -> Result<Self, FileError> {
        let part = Part::BucketLine(number);
        let count = u32::from_be_bytes(read_array(reader, part)?);
        let in_file = u32::from_be_bytes(read_array(reader, part)?);
        let fits = match kind {
            FileKind::Full => in_file == count,
            FileKind::Delta => in_file <= count,
        };
        if !fits {
            return Err(FileError::BucketLine { number, count, in_file });
        }
        Ok(Self { bucket: BucketLine { count, hash: Hash(read_array(reader, part)?) }, in_file })
    }

    pub(crate) fn encode(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..4].copy_from_slice(&self.bucket.count.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.in_file.to_be_bytes());
        bytes[8..].copy_from_slice(&self.bucket.hash.0);
        bytes
    }
}

/// Reads exactly `N` bytes of a part.
pub(crate) fn read_array<const N: usize>(reader: &mut impl Read, part: Part) -> Result<[u8; N], FileError> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(|source| FileError::read(part, source))?;
    Ok(bytes)
}

/// Checks that nothing follows the last record.
pub(crate) fn expect_end(reader: &mut impl Read) -> Result<(), FileError> {
    match reader.read_exact(&mut [0]) {
        Ok(()) => Err(FileError::TrailingBytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(source) => Err(FileError::Read { part: Part::End, source }),
    }
}
