//! What can go wrong with the database, and what to do then.
use std::path::PathBuf;

use seedbank_types::{DecodeError, Epoch, Height};

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is nothing to open.
    #[error("there is no database in {}: create it from the community's genesis, or name the right directory", .0.display())]
    Missing(PathBuf),
    /// There is something already.
    #[error("there is something in {} already: open it, or name an empty directory for a new database", .0.display())]
    Exists(PathBuf),
    /// A crash interrupted the creation.
    #[error(
        "the making of the database in {} was interrupted, so it is not whole: create it again from the genesis in the same directory",
        .0.display()
    )]
    Unfinished(PathBuf),
    /// Somebody else has it open.
    #[error("the database in {} is in use by another process: stop that one first, or name another directory", .0.display())]
    Locked(PathBuf),
    /// Written by another version.
    #[error("the database has format {found}, this program knows {known}: use the program's version that wrote it")]
    Format {
        /// In the database.
        found: String,
        /// Of this program.
        known: u8,
    },
    /// The first accounts are not those that the genesis speaks of.
    #[error("the accounts do not fit the genesis: {0}; take genesis and first snapshot of the same community")]
    NotTheGenesis(String),
    /// Money came from nowhere or vanished.
    #[error(
        "the database is damaged: {count} accounts hold {sum} minor units together, but there should be {expected_count} \
         with {expected_sum}; do not go on with it: keep it for examination and fetch the state from the other servers"
    )]
    SupplyBroken {
        /// Accounts found.
        count: u64,
        /// Sum of their balances.
        sum: u128,
        /// Accounts that the ledger state says.
        expected_count: u64,
        /// Supply that the ledger state says.
        expected_sum: u64,
    },
    /// Something unreadable where a value should be.
    #[error(
        "the database is damaged: {0}; do not go on with it: keep it for examination and fetch the state from the other servers"
    )]
    Damaged(String),
    /// Heights have no gaps and are never written twice.
    #[error("batch {found} cannot be stored: the next height is {expected}")]
    NotNext {
        /// The height after the last one.
        expected: Height,
        /// The height that was given.
        found: Height,
    },
    /// Header, body and changes do not belong together.
    #[error("the batch cannot be stored: {0}; this is a fault of the program, nothing was written")]
    NotTheBatch(String),
    /// A certified state that cannot take the place of the present one.
    #[error("the certified state cannot be taken over: {0}; nothing was changed")]
    NotTheState(String),
    /// A key that signed both would be a double signer.
    #[error("the checkpoint of epoch {0} was decided on already and is another one: it is never replaced")]
    OtherIntent(Epoch),
    /// Two certificates of one epoch.
    #[error("epoch {0} has a certificate of another checkpoint already: servers have signed twice; stop and compare")]
    OtherCertificate(Epoch),
    /// Beyond a bound.
    #[error("the {what} has {bytes} bytes: at most {most} are stored")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// The disk refused a write.
    #[error(
        "a write to the database failed: {0}; nothing more is written: make room or repair the disk, then start again"
    )]
    Write(String),
    /// An earlier write failed.
    #[error("an earlier write to the database failed, so nothing more is written: repair the disk, then start again")]
    Poisoned,
    /// The disk refused a read.
    #[error("a read from the database failed: {0}; repair the disk, then start again")]
    Read(String),
    /// A file beside the database.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    pub(crate) fn read(error: rocksdb::Error) -> Self {
        Self::Read(error.into_string())
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl From<DecodeError> for StoreError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error.to_string())
    }
}
