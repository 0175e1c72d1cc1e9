//! Verification of a full file from its first byte to its last.
use std::io::{BufReader, Read};

use seedbank_types::{AccountRecord, tree};

use super::layout::{FileLine, GroupLine, Layout, read_array};
use super::{Expected, FileError, FileHeader, FileKind, HEADER_BYTES, Part, RecordStream};
use crate::{BucketTable, state_root};

/// Bytes read at once: large enough that the calls do not count.
pub(crate) const READ_BYTES: usize = 1 << 16;

/// A state that was read to its end and is the one that was signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the file said about itself.
    pub header: FileHeader,
    /// The table of its buckets, for proofs and for what changes next.
    pub table: BucketTable,
}

/// Checks a full file of `length` bytes in one pass: header, root, groups, order of the records,
/// every bucket, supply, end.
///
/// `each` sees every record **before** it is confirmed: whatever it makes of them counts only if
/// this function returns `Ok`. The file's height is confirmed to be at most that of the statement,
/// see [`Expected`].
pub fn verify_full(
    reader: impl Read,
    length: u64,
    expected: &Expected,
    mut each: impl FnMut(&AccountRecord),
) -> Result<Verified, FileError> {
    let mut reader = BufReader::with_capacity(READ_BYTES, reader);
    let (header, groups) = read_head(&mut reader, FileKind::Full, length, expected)?;
    let lines = read_lines(&mut reader, &header, &groups)?;
    let mut stream = RecordStream::new(reader, header.bits, 0, &lines);
    while let Some(record) = stream.next_record()? {
        each(&record);
    }
    let (got, expected) = (stream.supply().0, header.supply.0);
    if got != expected {
        return Err(FileError::Supply { expected, got });
    }
    let lines = stream.end()?;
    let table = BucketTable::from_lines(header.bits, header.count, header.supply, &lines);
    Ok(Verified { header, table })
}

/// Reads header and group lines, which give the state root.
pub(crate) fn read_head(
    reader: &mut impl Read,
    kind: FileKind,
    length: u64,
    expected: &Expected,
) -> Result<(FileHeader, Vec<GroupLine>), FileError> {
    let header = FileHeader::decode(&read_array::<HEADER_BYTES>(reader, Part::Header)?)?;
    header.check(kind, expected)?;
    let needed = Layout::new(header.count).record_offset(header.records);
    if length != needed {
        return Err(FileError::Length { expected: needed, got: length });
    }
    let groups = 0..Layout::new(header.count).groups();
    let groups = groups.map(|number| GroupLine::read(reader, number)).collect::<Result<Vec<_>, _>>()?;
    let top = tree::root(groups.iter().map(|group| group.node).collect());
    if state_root(header.bits, header.count, header.supply, &top) != expected.root {
        return Err(FileError::Root);
    }
    Ok((header, groups))
}

/// Reads all bucket lines.
pub(crate) fn read_lines(
    reader: &mut impl Read,
    header: &FileHeader,
    groups: &[GroupLine],
) -> Result<Vec<FileLine>, FileError> {
    let mut lines = Vec::new();
    for number in 0..Layout::new(header.count).groups() {
        lines.extend(read_group(reader, header, groups, number)?);
    }
    Ok(lines)
}

/// Reads the bucket lines of one group and checks that they give its node and that its records
/// fill the place up to the next group.
pub(crate) fn read_group(
    reader: &mut impl Read,
    header: &FileHeader,
    groups: &[GroupLine],
    number: u32,
) -> Result<Vec<FileLine>, FileError> {
    let group = groups[number as usize];
    let end = groups.get(number as usize + 1).map_or(header.records, |next| next.before);
    let per_group = Layout::new(header.count).buckets_per_group();
    let first = number * per_group;
    let numbers = (0..per_group).map(|bucket| first + bucket);
    let lines = numbers.map(|bucket| FileLine::read(reader, header.kind, bucket)).collect::<Result<Vec<_>, _>>()?;
    let records: u64 = lines.iter().map(|line| u64::from(line.in_file)).sum();
    // No root confirms where a group starts: look-ups that start wrong end with a wrong bucket hash.
    let starts_right = number > 0 || group.before == 0;
    let node = tree::root(lines.iter().map(|line| line.bucket.hash).collect());
    if starts_right && group.before.checked_add(records) == Some(end) && end <= header.records && node == group.node {
        Ok(lines)
    } else {
        Err(FileError::Group(number))
    }
}
