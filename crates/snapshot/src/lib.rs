//! State root, snapshot files and proofs: what the servers' signature says about every balance.
//!
//! Accounts, sorted by id, fall into buckets; a tree over the buckets ends in the **state root**
//! that a checkpoint carries. A **full file** holds all records in that order, with the hashes
//! that let a reader check one bucket alone; a **proof** shows one record, or that there is none.
//! The formats are described in `docs/protocol.md` and pinned by golden bytes in `tests/golden/`.
//!
//! This crate is pure: it reads and writes through [`std::io::Read`] and [`std::io::Write`], and
//! knows no files, clock, entropy or threads. It is *not* the torrent that carries a file
//! (`seedbank-torrent`) nor the checkpoint that is signed (`seedbank-types`).
//!
//! Start at [`BucketTable`]: it is built from the records and gives the root, files and proofs.
//!
//! Invariants: nothing in a file or proof is believed but what a state root confirms; reading a
//! file takes memory for its bucket table and no more, whatever the file claims; all errors say
//! which part was wrong.
//!
//! ```
//! use std::io::Cursor;
//!
//! use seedbank_snapshot::{BucketTable, Expected, FullFile, full_length, verify_full, write_full};
//! use seedbank_types::{AccountId, AccountRecord, Amount, CommunityId, Height};
//!
//! // Ten accounts, ascending by id, each with 5 minor units.
//! let records: Vec<_> = (0..10)
//!     .map(|n| AccountRecord { id: AccountId([n; 20]), balance: Amount(5), sequence: 0 })
//!     .collect();
//! let table = BucketTable::from_records(10, records.iter().copied()).expect("ascending, and ten");
//!
//! let community = CommunityId([1; 32]);
//! let mut file = Vec::new();
//! write_full(community, Height(7), &table, records.iter().copied(), &mut file).expect("the same records");
//! let length = full_length(10).expect("few enough");
//! assert_eq!(file.len() as u64, length);
//!
//! // What a certified checkpoint says; usually `Expected::of_checkpoint`.
//! let expected =
//!     Expected { community, root: table.root(), count: 10, supply: Amount(50), height_max: Height(8) };
//! let verified = verify_full(&file[..], length, &expected, |_record| ()).expect("nothing was changed");
//! assert_eq!(verified.header.height, Height(7));
//!
//! let mut file = FullFile::open(Cursor::new(file), &expected).expect("nothing was changed");
//! assert_eq!(file.account(&AccountId([3; 20])).expect("readable"), Some(records[3]));
//! assert_eq!(file.account(&AccountId([30; 20])).expect("readable"), None);
//! ```
#![forbid(unsafe_code)]
mod buckets;
mod file;
mod proof;

pub use buckets::{
    BUCKET_BITS_MAX, BucketLine, BucketTable, COUNT_MAX, TableBuilder, TableError, bucket_bits, bucket_hash, bucket_of,
    state_root,
};
pub use file::{
    BUCKET_LINE_BYTES, BaseFile, DeltaFile, Expected, FileError, FileHeader, FileKind, FullFile, FullWriter,
    GROUP_LINE_BYTES, HEADER_BYTES, Part, RecordStream, Verified, WriteError, delta_length, full_length, group_bits,
    is_full_due, verify_delta, verify_full, write_delta, write_full,
};
pub use proof::{BuildError, Proof, ProofError, ProofKind, Proven};
