//! Why a snapshot file is refused, and which part of it is to blame.
use std::fmt;
use std::io;

use seedbank_types::{AccountId, DecodeError, Height};

use crate::TableError;

/// A part of a snapshot file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The 84 bytes at the start.
    Header,
    /// The line of a group.
    GroupLine(u32),
    /// The line of a bucket.
    BucketLine(u32),
    /// The records of a bucket.
    Records(u32),
    /// Some record.
    AnyRecords,
    /// What must not be there: bytes after the last record.
    End,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::GroupLine(number) => write!(f, "the line of group {number}"),
            Self::BucketLine(number) => write!(f, "the line of bucket {number}"),
            Self::Records(number) => write!(f, "the records of bucket {number}"),
            Self::AnyRecords => f.write_str("the records"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Why a snapshot file is not believed or not readable.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The bytes could not be read.
    #[error("the snapshot file cannot be read at {part}: {source}")]
    Read {
        /// Where.
        part: Part,
        /// What the reader said.
        source: io::Error,
    },
    /// The bytes end too early.
    #[error("the snapshot file ends within {0}: it was cut off; fetch it again")]
    EndsEarly(Part),
    /// The file is longer or shorter than so many accounts need.
    #[error("the snapshot file has {got} bytes, {expected} are needed for its accounts: it is not the one signed for")]
    Length {
        /// What the signed number of accounts needs.
        expected: u64,
        /// What is there.
        got: u64,
    },
    /// Bytes after the last record.
    #[error("the snapshot file goes on after its last record: it is not the one signed for")]
    TrailingBytes,
    /// Not a header of this format.
    #[error("the snapshot file has a {0}")]
    Header(#[from] DecodeError),
    /// A header that tells another story than the signed statement.
    #[error("the snapshot file's header says {field} {got}, the servers signed {expected}")]
    HeaderField {
        /// Which field.
        field: &'static str,
        /// What the file says.
        got: String,
        /// What the signed statement says.
        expected: String,
    },
    /// The group lines do not give the signed root.
    #[error("the snapshot file's group lines do not give the state root that the servers signed")]
    Root,
    /// The bucket lines of a group do not give its node, or do not sum up.
    #[error("the bucket lines of group {0} are not those that the state root confirms: the file was changed")]
    Group(u32),
    /// The line of a bucket contradicts itself.
    #[error(
        "the line of bucket {number} says {count} records and {in_file} in the file: a full file holds all, a delta \
         not more"
    )]
    BucketLine {
        /// Which bucket.
        number: u32,
        /// Records in the bucket.
        count: u32,
        /// Records of it in this file.
        in_file: u32,
    },
    /// A record out of place.
    #[error("the snapshot file's records of bucket {number} are wrong: {source}")]
    Records {
        /// The bucket that was read.
        number: u32,
        /// What was wrong.
        source: TableError,
    },
    /// A record that belongs into another bucket.
    #[error("account {id} stands among the records of bucket {number}, where it does not belong")]
    OtherBucket {
        /// The bucket that was read.
        number: u32,
        /// The stranger.
        id: AccountId,
    },
    /// The records of a bucket are not those that were signed for.
    #[error("the records of bucket {0} do not give the hash that the state root confirms: the file was changed")]
    Bucket(u32),
    /// The records of a delta and its base are not those that were signed for.
    #[error(
        "the delta and the full file that it builds on do not give the hash of bucket {0} that the state root \
         confirms: one of the two was changed; fetch both again"
    )]
    OverlaidBucket(u32),
    /// A delta that repeats a record of its base.
    #[error("the delta holds account {0} although nothing changed: it is not the one signed for")]
    Unchanged(AccountId),
    /// The state that a delta and its base give has another number of accounts than was signed.
    #[error("the delta and the full file that it builds on hold {got} accounts, the servers signed {expected}")]
    Count {
        /// As signed.
        expected: u64,
        /// As counted.
        got: u64,
    },
    /// Not the full file that the delta builds on.
    #[error("the delta builds on the full file of height {expected}, this one is of height {got}: fetch the right one")]
    OtherBase {
        /// As the delta says.
        expected: Height,
        /// Of the file given.
        got: Height,
    },
    /// What is wrong is the full file that a delta builds on.
    #[error("in the full file that the delta builds on: {0}")]
    Base(Box<FileError>),
    /// The balances do not add up to what was signed.
    #[error("the balances in the snapshot file add up to {got}, the servers signed {expected}")]
    Supply {
        /// As signed.
        expected: u64,
        /// As summed.
        got: u64,
    },
}

impl FileError {
    pub(crate) fn in_base(self) -> Self {
        match self {
            Self::Base(_) => self,
            other => Self::Base(Box::new(other)),
        }
    }

    /// An error of the reader, told apart from a file that is simply too short.
    pub(crate) fn read(part: Part, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::EndsEarly(part),
            _ => Self::Read { part, source },
        }
    }
}
