//! The full file that a delta builds on.
use std::io::{BufReader, Read, Seek, SeekFrom};

use seedbank_types::{AccountRecord, CommunityId};

use super::layout::{FileLine, GroupLine, Layout, read_array};
use super::open::seek;
use super::verify::READ_BYTES;
use super::{FileError, FileHeader, FileKind, HEADER_BYTES, Part};
use crate::buckets::Tally;

/// A full file as the base of a delta. Nothing in it is believed: the root that was signed together
/// with the delta confirms what both give together.
#[derive(Debug)]
pub struct BaseFile<R> {
    reader: BufReader<R>,
    header: FileHeader,
}

impl<R: Read + Seek> BaseFile<R> {
    /// Reads the header and checks that it is that of a full file of this community.
    pub fn open(reader: R, community: CommunityId) -> Result<Self, FileError> {
        Self::read_header(BufReader::with_capacity(READ_BYTES, reader), community).map_err(FileError::in_base)
    }

    /// What the file says about itself.
    #[must_use]
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    fn read_header(mut reader: BufReader<R>, community: CommunityId) -> Result<Self, FileError> {
        let length = seek(&mut reader, SeekFrom::End(0), Part::End)?;
        seek(&mut reader, SeekFrom::Start(0), Part::Header)?;
        let header = FileHeader::decode(&read_array::<HEADER_BYTES>(&mut reader, Part::Header)?)?;
        let differs = |field, got: String, expected: String| Err(FileError::HeaderField { field, got, expected });
        if header.kind != FileKind::Full {
            return differs("kind", header.kind.to_string(), FileKind::Full.to_string());
        }
        if header.community != community {
            return differs("community", header.community.to_string(), community.to_string());
        }
        let expected = Layout::new(header.count).record_offset(header.records);
        if length != expected {
            return Err(FileError::Length { expected, got: length });
        }
        Ok(Self { reader, header })
    }

    /// All records.
    pub(crate) fn records(&mut self) -> Result<BaseRecords<&mut BufReader<R>>, FileError> {
        let start = Layout::new(self.header.count).record_offset(0);
        self.records_at(start, self.header.records)
    }

    /// The records of one bucket.
    pub(crate) fn bucket(&mut self, number: u32) -> Result<BaseRecords<&mut BufReader<R>>, FileError> {
        let (start, records) = self.find(number).map_err(FileError::in_base)?;
        self.records_at(start, records)
    }

    /// Where a bucket's records begin, and how many they are.
    fn find(&mut self, number: u32) -> Result<(u64, u64), FileError> {
        let layout = Layout::new(self.header.count);
        let group = number / layout.buckets_per_group();
        seek(&mut self.reader, SeekFrom::Start(layout.group_line_offset(group)), Part::GroupLine(group))?;
        let mut before = GroupLine::read(&mut self.reader, group)?.before;
        let first = group * layout.buckets_per_group();
        seek(&mut self.reader, SeekFrom::Start(layout.bucket_line_offset(first)), Part::BucketLine(first))?;
        for bucket in first..number {
            let line = FileLine::read(&mut self.reader, FileKind::Full, bucket)?;
            before = before.saturating_add(u64::from(line.in_file));
        }
        let records = u64::from(FileLine::read(&mut self.reader, FileKind::Full, number)?.in_file);
        if before.checked_add(records).is_none_or(|end| end > self.header.records) {
            return Err(FileError::Group(group));
        }
        Ok((layout.record_offset(before), records))
    }

    fn records_at(&mut self, start: u64, left: u64) -> Result<BaseRecords<&mut BufReader<R>>, FileError> {
        seek(&mut self.reader, SeekFrom::Start(start), Part::Records(0)).map_err(FileError::in_base)?;
        Ok(BaseRecords { reader: &mut self.reader, bits: self.header.bits, left, tally: Tally::default() })
    }
}

/// Records of the base, ascending.
#[derive(Debug)]
pub(crate) struct BaseRecords<R> {
    reader: R,
    bits: u8,
    left: u64,
    tally: Tally,
}

impl<R: Read> BaseRecords<R> {
    fn read(&mut self) -> Result<AccountRecord, FileError> {
        let bytes = read_array::<{ AccountRecord::BYTES }>(&mut self.reader, Part::AnyRecords)?;
        let record = AccountRecord::decode(&bytes)?;
        let number = crate::bucket_of(&record.id, self.bits);
        self.tally.add(&record).map_err(|source| FileError::Records { number, source })?;
        Ok(record)
    }
}

impl<R: Read> Iterator for BaseRecords<R> {
    type Item = Result<AccountRecord, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read().map_err(FileError::in_base))
    }
}
