//! Buckets: how the accounts are cut into small trees, and the root over them.
mod batch;
mod builder;
mod hasher;
mod tally;
mod top;

use seedbank_types::{AccountId, AccountRecord, Amount, Hash, tree};

pub use builder::TableBuilder;
pub(crate) use hasher::BucketHasher;
pub(crate) use tally::Tally;
use top::TopTree;

/// Most bits of a bucket number that this program handles, so that the number of buckets fits 32
/// bits.
pub const BUCKET_BITS_MAX: u8 = 31;

/// Most accounts that so many buckets are made for: 2^39.
pub const COUNT_MAX: u64 = 256 << BUCKET_BITS_MAX;

const ROOT_PREFIX: &[u8] = b"seedbank/root/1";

/// Why records make no bucket table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// More accounts than the formats are made for.
    #[error("{0} accounts are too many: at most {COUNT_MAX}")]
    TooMany(u64),
    /// Two records in the wrong order, or one account twice.
    #[error("account {id} follows {before}: records must ascend by id, each account once")]
    NotAscending {
        /// The record before.
        before: AccountId,
        /// The record that should be larger.
        id: AccountId,
    },
    /// The balances do not fit 64 bits.
    #[error("the balances up to account {0} together do not fit 64 bits")]
    SupplyOverflow(AccountId),
    /// More records in one bucket than its line can say.
    #[error("bucket {0} has more than {max} records", max = u32::MAX)]
    BucketFull(u32),
    /// Another number of records than was said before.
    #[error("there are {got} records, {expected} were announced")]
    CountDiffers {
        /// Announced, and what the number of buckets was chosen for.
        expected: u64,
        /// Records that came.
        got: u64,
    },
    /// No such bucket.
    #[error("there is no bucket {number}: there are {count}")]
    NoSuchBucket {
        /// The number asked for.
        number: u32,
        /// How many there are.
        count: u64,
    },
    /// A record whose id belongs elsewhere.
    #[error("account {id} does not belong into bucket {number}")]
    OtherBucket {
        /// The bucket.
        number: u32,
        /// The stranger.
        id: AccountId,
    },
    /// The table has the wrong number of buckets for the new count.
    #[error("{count} accounts need {needed} bucket bits and the table has {bits}: build it from all records")]
    BitsChange {
        /// Accounts there would be.
        count: u64,
        /// Bits of the table.
        bits: u8,
        /// Bits that so many accounts need.
        needed: u8,
    },
}

/// `b`: the smallest >= 0 with count <= 256 * 2^b.
#[must_use]
pub const fn bucket_bits(count: u64) -> u8 {
    let mut bits = 0;
    while count.div_ceil(256) > 1 << bits {
        bits += 1;
    }
    bits
}

/// Number of the bucket that holds an account: the first `bits` bits of its id.
///
/// # Panics
/// If `bits` is larger than [`BUCKET_BITS_MAX`].
#[must_use]
pub const fn bucket_of(id: &AccountId, bits: u8) -> u32 {
    assert!(bits <= BUCKET_BITS_MAX, "more bucket bits than this program handles");
    let [first, second, third, fourth, ..] = id.0;
    let start = u32::from_be_bytes([first, second, third, fourth]);
    if bits == 0 { 0 } else { start >> (u32::BITS - bits as u32) }
}

/// Hash of a bucket with these records, which the caller has in order: H(0x02 ‖ count u32 ‖ root
/// of the leaves).
///
/// # Panics
/// If there are more than 2^32 - 1 records.
#[must_use]
pub fn bucket_hash(records: &[AccountRecord]) -> Hash {
    let mut hasher = BucketHasher::default();
    for record in records {
        hasher.push(&record.encode()).expect("a slice of so many records is no bucket");
    }
    hasher.finish().hash
}

/// Hash of a bucket with so many records and this root of their leaves.
pub(crate) fn bucket_hash_of_root(count: u32, root: &Hash) -> Hash {
    Hash::of(&[&[2], &count.to_be_bytes(), &root.0])
}

/// H(`"seedbank/root/1"` ‖ b u8 ‖ count u64 ‖ supply u64 ‖ top).
#[must_use]
pub fn state_root(bits: u8, count: u64, supply: Amount, top: &Hash) -> Hash {
    Hash::of(&[ROOT_PREFIX, &[bits], &count.to_be_bytes(), &supply.0.to_be_bytes(), &top.0])
}

/// The leaves of these records.
pub(crate) fn leaves(records: &[AccountRecord]) -> Vec<Hash> {
    records.iter().map(|record| tree::leaf(&record.encode())).collect()
}

/// What is known of one bucket without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLine {
    /// Records in it.
    pub count: u32,
    /// Its hash.
    pub hash: Hash,
}

/// Counts and hashes of all buckets with the tree above them: all of the state but the records.
///
/// Takes about 70 bytes a bucket, which is about half a byte an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketTable {
    bits: u8,
    count: u64,
    supply: Amount,
    counts: Vec<u32>,
    top: TopTree,
}

impl BucketTable {
    /// Builds the table in one pass over all records, ascending by id. `count` must be known
    /// before, because it decides how many buckets there are.
    pub fn from_records(count: u64, records: impl IntoIterator<Item = AccountRecord>) -> Result<Self, TableError> {
        let mut builder = TableBuilder::new(count)?;
        for record in records {
            builder.push(&record)?;
        }
        builder.finish()
    }

    /// A table of lines whose sums were checked: 2^bits of them, `count` records, `supply` money.
    pub(crate) fn from_lines(bits: u8, count: u64, supply: Amount, lines: &[BucketLine]) -> Self {
        let counts = lines.iter().map(|line| line.count).collect();
        Self { bits, count, supply, counts, top: TopTree::new(lines.iter().map(|line| line.hash).collect()) }
    }

    /// `b`: there are 2^b buckets.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Accounts in all buckets.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all balances.
    #[must_use]
    pub const fn supply(&self) -> Amount {
        self.supply
    }

    /// The state root, as a checkpoint carries it.
    #[must_use]
    pub fn root(&self) -> Hash {
        state_root(self.bits, self.count, self.supply, &self.top.root())
    }

    /// The line of one bucket.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<BucketLine> {
        let at = number as usize;
        Some(BucketLine { count: *self.counts.get(at)?, hash: self.top.hashes()[at] })
    }

    /// The lines of all buckets in order.
    pub fn lines(&self) -> impl Iterator<Item = BucketLine> + Clone + '_ {
        self.counts.iter().zip(self.top.hashes()).map(|(&count, &hash)| BucketLine { count, hash })
    }

    /// The `b` siblings from a bucket's hash up to the top.
    pub(crate) fn path(&self, number: u32) -> Vec<Hash> {
        self.top.path(number as usize)
    }

    /// The 2^bits nodes that stand over equal groups of buckets.
    pub(crate) fn nodes(&self, bits: u8) -> &[Hash] {
        self.top.level(usize::from(self.bits - bits))
    }

    /// Puts the line of one bucket anew, given all its records; the count follows, the supply is
    /// said by [`BucketTable::set_supply`]. On an error nothing is changed; on
    /// [`TableError::BitsChange`] the table must be built from all records.
    pub fn replace_bucket(&mut self, number: u32, records: &[AccountRecord]) -> Result<(), TableError> {
        let no_such = TableError::NoSuchBucket { number, count: self.counts.len() as u64 };
        let before = self.line(number).ok_or(no_such)?;
        let line = self.line_of(number, records)?;
        let count = self.count - u64::from(before.count) + u64::from(line.count);
        let needed = bucket_bits(count);
        if needed != self.bits {
            return Err(TableError::BitsChange { count, bits: self.bits, needed });
        }
        self.count = count;
        self.counts[number as usize] = line.count;
        self.top.set(number as usize, line.hash);
        Ok(())
    }

    /// Says the sum of all balances after buckets were replaced.
    pub const fn set_supply(&mut self, supply: Amount) {
        self.supply = supply;
    }

    fn line_of(&self, number: u32, records: &[AccountRecord]) -> Result<BucketLine, TableError> {
        let (mut tally, mut hasher) = (Tally::default(), BucketHasher::default());
        for record in records {
            tally.add(record)?;
            if bucket_of(&record.id, self.bits) != number {
                return Err(TableError::OtherBucket { number, id: record.id });
            }
            hasher.push(&record.encode()).ok_or(TableError::BucketFull(number))?;
        }
        Ok(hasher.finish())
    }
}

#[cfg(test)]
mod tests;
