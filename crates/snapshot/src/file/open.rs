//! Look-ups in a full file without reading all of it.
use std::io::{BufReader, Read, Seek, SeekFrom};

use seedbank_types::{AccountId, AccountRecord};

use super::layout::{FileLine, GroupLine, Layout};
use super::verify::{READ_BYTES, read_group, read_head, read_lines};
use super::{Expected, FileError, FileHeader, FileKind, Part, RecordStream};
use crate::bucket_of;

/// A full file open for look-ups. Every answer is checked against the state root, so the file need
/// not have been verified, nor all its bytes have come: a look-up reads the lines of one group and the
/// records of one bucket.
#[derive(Debug)]
pub struct FullFile<R> {
    reader: BufReader<R>,
    header: FileHeader,
    groups: Vec<GroupLine>,
}

impl<R: Read + Seek> FullFile<R> {
    /// Reads and checks header, length and group lines.
    pub fn open(reader: R, expected: &Expected) -> Result<Self, FileError> {
        let mut reader = BufReader::with_capacity(READ_BYTES, reader);
        let length = seek(&mut reader, SeekFrom::End(0), Part::End)?;
        seek(&mut reader, SeekFrom::Start(0), Part::Header)?;
        let (header, groups) = read_head(&mut reader, FileKind::Full, length, expected)?;
        Ok(Self { reader, header, groups })
    }

    /// What the file says about itself, confirmed.
    #[must_use]
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The record of an account, or `None` if the signed state has none.
    pub fn account(&mut self, id: &AccountId) -> Result<Option<AccountRecord>, FileError> {
        let mut stream = self.bucket_stream(bucket_of(id, self.header.bits))?;
        let mut found = None;
        // To the bucket's end, because only there its hash tells whether the record is true.
        while let Some(record) = stream.next_record()? {
            if record.id == *id {
                found = Some(record);
            }
        }
        Ok(found)
    }

    /// All records of one bucket, as a proof needs them.
    ///
    /// # Panics
    /// If there is no such bucket.
    pub fn bucket(&mut self, number: u32) -> Result<Vec<AccountRecord>, FileError> {
        self.bucket_stream(number)?.collect()
    }

    /// All records in order; see [`RecordStream`] on when they are confirmed.
    pub fn records(&mut self) -> Result<RecordStream<&mut BufReader<R>>, FileError> {
        let layout = Layout::new(self.header.count);
        seek(&mut self.reader, SeekFrom::Start(layout.bucket_line_offset(0)), Part::BucketLine(0))?;
        let lines = read_lines(&mut self.reader, &self.header, &self.groups)?;
        Ok(RecordStream::new(&mut self.reader, layout.bits(), 0, &lines))
    }

    fn bucket_stream(&mut self, number: u32) -> Result<RecordStream<&mut BufReader<R>>, FileError> {
        let line = seek_bucket(&mut self.reader, &self.header, &self.groups, number)?;
        Ok(RecordStream::new(&mut self.reader, self.header.bits, number, &[line]))
    }
}

/// Goes to the first record of a bucket in the file and gives the bucket's line, confirmed.
pub(crate) fn seek_bucket(
    reader: &mut (impl Read + Seek),
    header: &FileHeader,
    groups: &[GroupLine],
    number: u32,
) -> Result<FileLine, FileError> {
    let layout = Layout::new(header.count);
    let (group, place) = (number / layout.buckets_per_group(), number % layout.buckets_per_group());
    let first = group * layout.buckets_per_group();
    seek(reader, SeekFrom::Start(layout.bucket_line_offset(first)), Part::BucketLine(first))?;
    let lines = read_group(reader, header, groups, group)?;
    let (before, rest) = lines.split_at(place as usize);
    let skipped: u64 = before.iter().map(|line| u64::from(line.in_file)).sum();
    let start = layout.record_offset(groups[group as usize].before + skipped);
    seek(reader, SeekFrom::Start(start), Part::Records(number))?;
    Ok(rest[0])
}

pub(crate) fn seek(reader: &mut impl Seek, to: SeekFrom, part: Part) -> Result<u64, FileError> {
    reader.seek(to).map_err(|source| FileError::Read { part, source })
}
