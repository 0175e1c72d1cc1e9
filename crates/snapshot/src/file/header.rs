//! The 84 bytes at the start of every snapshot file.
use std::fmt;

use seedbank_types::{Amount, CommunityId, DecodeError, Height, Reader, Writer};

use super::{Expected, FileError};
use crate::{COUNT_MAX, bucket_bits};

/// Length of the header.
pub const HEADER_BYTES: usize = 84;

const MAGIC: &[u8; 8] = b"SEEDBANK";
const VERSION: u16 = 1;

/// What a snapshot file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// All records.
    Full,
    /// The records that differ from those of a full file.
    Delta,
}

impl FileKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::Delta => 1,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Full),
            1 => Some(Self::Delta),
            _ => None,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Delta => "delta",
        })
    }
}

/// What a snapshot file says about itself. None of it is believed before [`FileHeader::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// All records or only some.
    pub kind: FileKind,
    /// Bits of a bucket number; follows from `count`.
    pub bits: u8,
    /// Whose balances.
    pub community: CommunityId,
    /// The last height that changed any record.
    pub height: Height,
    /// Height of the full file that a delta builds on; 0 in a full file.
    pub base_height: Height,
    /// Accounts of the state.
    pub count: u64,
    /// Sum of all their balances.
    pub supply: Amount,
    /// Records in this file.
    pub records: u64,
}

impl FileHeader {
    /// The header of a full file.
    #[must_use]
    pub const fn full(community: CommunityId, height: Height, count: u64, supply: Amount) -> Self {
        let (kind, bits, base_height) = (FileKind::Full, bucket_bits(count), Height(0));
        Self { kind, bits, community, height, base_height, count, supply, records: count }
    }

    /// `magic "SEEDBANK" 8 ‖ version u16 ‖ kind u8 ‖ b u8 ‖ community 32 ‖ height u64 ‖ base height
    /// u64 ‖ count u64 ‖ supply u64 ‖ records in this file u64`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::with_capacity(HEADER_BYTES)
            .bytes(MAGIC)
            .u16(VERSION)
            .u8(self.kind.byte())
            .u8(self.bits)
            .bytes(&self.community.0)
            .u64(self.height.0)
            .u64(self.base_height.0)
            .u64(self.count)
            .u64(self.supply.0)
            .u64(self.records)
            .finish()
    }

    /// Reads what [`FileHeader::encode`] wrote and checks that the fields fit each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("snapshot file header", bytes);
        if reader.array::<8>("magic")? != *MAGIC {
            return Err(reader.error("magic", "the file does not begin with `SEEDBANK`"));
        }
        match reader.u16("version")? {
            VERSION => (),
            other => return Err(reader.error("version", format!("is {other}, this program knows {VERSION}"))),
        }
        let kind = reader.u8("kind")?;
        let kind = FileKind::from_byte(kind).ok_or_else(|| reader.error("kind", format!("no kind is {kind}")))?;
        let header = Self {
            kind,
            bits: reader.u8("b")?,
            community: CommunityId(reader.array("community")?),
            height: Height(reader.u64("height")?),
            base_height: Height(reader.u64("base height")?),
            count: reader.u64("count")?,
            supply: Amount(reader.u64("supply")?),
            records: reader.u64("records in this file")?,
        };
        header.check_fields(&reader)?;
        reader.finish()?;
        Ok(header)
    }

    fn check_fields(&self, reader: &Reader<'_>) -> Result<(), DecodeError> {
        if self.count > COUNT_MAX {
            return Err(reader.error("count", format!("{} accounts are more than {COUNT_MAX}", self.count)));
        }
        if self.bits != bucket_bits(self.count) {
            let (bits, needed) = (self.bits, bucket_bits(self.count));
            return Err(reader.error("b", format!("is {bits}, {} accounts need {needed}", self.count)));
        }
        let fits = match self.kind {
            FileKind::Full => self.base_height == Height(0),
            FileKind::Delta => self.base_height < self.height,
        };
        if !fits {
            return Err(reader.error("base height", format!("{} does not fit such a file", self.base_height)));
        }
        let fits = match self.kind {
            FileKind::Full => self.records == self.count,
            FileKind::Delta => self.records <= self.count,
        };
        if fits {
            return Ok(());
        }
        Err(reader.error("records in this file", format!("{} of {} do not fit such a file", self.records, self.count)))
    }

    /// The header of a delta against the full file of `base_height`.
    #[must_use]
    pub const fn delta(full: &Self, base_height: Height, records: u64) -> Self {
        Self { kind: FileKind::Delta, base_height, records, ..*full }
    }

    /// Checks that this is the header of the file of that kind that was signed for.
    pub fn check(&self, kind: FileKind, expected: &Expected) -> Result<(), FileError> {
        let differs = |field, got: String, expected: String| Err(FileError::HeaderField { field, got, expected });
        if self.kind != kind {
            return differs("kind", self.kind.to_string(), kind.to_string());
        }
        if self.community != expected.community {
            return differs("community", self.community.to_string(), expected.community.to_string());
        }
        if self.height > expected.height_max {
            return differs("height", self.height.to_string(), format!("at most {}", expected.height_max));
        }
        if self.count != expected.count {
            return differs("count", self.count.to_string(), expected.count.to_string());
        }
        if self.supply != expected.supply {
            return differs("supply", self.supply.to_string(), expected.supply.to_string());
        }
        Ok(())
    }
}
