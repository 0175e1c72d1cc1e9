//! Snapshot files by BitTorrent: their metainfo, seeding them in place, fetching them by infohash.
//!
//! [`Metainfo`] is written by us, byte for byte the same on every server, so that all of them have
//! the same infohash. The wire is `librqbit` over TCP, alone: its DHT, trackers, local discovery,
//! UPnP and uTP are off, and nothing is contacted but the peers that the caller gives and the peers
//! that those name (BEP 11). Where peers come from is the business of `seedbank-dht`.
//!
//! It is *not* a verification: an infohash finds a file and proves nothing about it. Who fetches a
//! snapshot checks it against the signed root before using it.
//!
//! Start at [`spawn`], which gives a [`TorrentHandle`].
//!
//! Invariants: a seeded file is opened read-only and never written; a file of another length than
//! expected, or of more than one file, is refused before a byte of it is asked for; names inside
//! the metainfo never become paths; whatever is stopped leaves no task and no open file behind.
//!
//! ```
//! use seedbank_torrent::{FileKind, Metainfo, file_name};
//! use seedbank_types::{CommunityId, Height};
//!
//! let name = file_name(&CommunityId([0xa1; 32]), Height(7), FileKind::Snapshot);
//! assert_eq!(name, "seedbank-a1a1a1a1-7.snapshot");
//! let metainfo = Metainfo::of_reader(&name, 5, &b"hello"[..]).expect("five bytes were promised");
//! assert_eq!(metainfo.piece_length(), 16 * 1024);
//! assert!(metainfo.magnet(&[]).starts_with("magnet:?xt=urn:btih:"));
//! ```
mod engine;
mod error;
mod introduce;
mod metainfo;
mod service;
mod storage;

pub use error::{FetchError, TorrentError};
pub use metainfo::{FileKind, Metainfo, MetainfoError, MetainfoHasher, file_name, piece_length};
pub use service::{
    Fetch, FetchRequest, Fetched, PEERS_PER_FETCH_MAX, Progress, TORRENTS_MAX, TorrentEvent, TorrentHandle,
    TorrentSettings, TorrentStats, spawn,
};
