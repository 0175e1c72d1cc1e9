//! Snapshot files: header, group lines, bucket lines, records.
//!
//! Group and bucket lines let a reader check one bucket's records against the state root without
//! the rest of the file.
mod base;
mod delta;
mod error;
mod header;
mod layout;
mod open;
mod overlay;
mod stream;
mod verify;
mod write;

use seedbank_types::{Amount, Checkpoint, CommunityId, Genesis, Hash, Height};

pub use base::BaseFile;
pub use delta::{DeltaFile, is_full_due, verify_delta};
pub use error::{FileError, Part};
pub use header::{FileHeader, FileKind, HEADER_BYTES};
pub use layout::{BUCKET_LINE_BYTES, GROUP_LINE_BYTES, delta_length, full_length, group_bits};
pub use open::FullFile;
pub use stream::RecordStream;
pub use verify::{Verified, verify_full};
pub use write::{FullWriter, WriteError, write_delta, write_full};

/// What a signed statement says about a full file: the only thing a file is measured by.
///
/// The height in a file is the last one that changed any record, which no root confirms: it must
/// only not be above `height_max`. Who needs the very bytes also compares the infohash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Whose balances.
    pub community: CommunityId,
    /// State root.
    pub root: Hash,
    /// Accounts.
    pub count: u64,
    /// Sum of all balances.
    pub supply: Amount,
    /// Height of the statement.
    pub height_max: Height,
}

impl Expected {
    /// What a certified checkpoint says of its state, and so of its full file where it has no
    /// delta.
    #[must_use]
    pub const fn of_checkpoint(checkpoint: &Checkpoint) -> Self {
        let Checkpoint { community, root, count, supply, height, .. } = *checkpoint;
        Self { community, root, count, supply, height_max: height }
    }

    /// What a genesis says of the file with the first balances.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        Self {
            community: genesis.community(),
            root: genesis.root,
            count: genesis.count,
            supply: genesis.supply,
            height_max: Height(0),
        }
    }
}
