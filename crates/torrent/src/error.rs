//! What can go wrong, and what to do next.
use std::{io, net::SocketAddr, path::PathBuf};

use seedbank_types::InfoHash;

/// Why the service does not run, or does not seed a file.
#[derive(Debug, thiserror::Error)]
pub enum TorrentError {
    /// The listening address cannot be had.
    #[error("cannot listen for BitTorrent peers on {listen}: {why}; choose another address, or port 0")]
    Listen {
        /// The address as set.
        listen: SocketAddr,
        /// What was wrong with it.
        why: String,
    },
    /// The file to seed cannot be opened.
    #[error("cannot seed {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file to seed is not as long as its metainfo says.
    #[error("cannot seed {path}: it has {got} bytes, its metainfo says {expected}; write the file anew")]
    Length {
        /// The file.
        path: PathBuf,
        /// Length by the metainfo.
        expected: u64,
        /// Length on disk.
        got: u64,
    },
    /// The file to seed holds other bytes than were hashed.
    #[error("cannot seed {path}: only {good} of {expected} bytes are what was hashed; write the file anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Length of the file.
        expected: u64,
        /// Bytes in pieces that are right.
        good: u64,
    },
    /// Too many torrents at once.
    #[error("{max} torrents are carried already; stop one before the next")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The BitTorrent engine refused.
    #[error("the BitTorrent engine refuses {info_hash}: {why}")]
    Engine {
        /// The torrent.
        info_hash: InfoHash,
        /// What it said.
        why: String,
    },
    /// This torrent, or the whole service, was stopped in the meantime.
    #[error("stopped before it was done")]
    Stopped,
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The metainfo speaks of another length than the signed checkpoint.
    #[error("refused {info_hash}: a file of {expected} bytes was certified, this one has {got}; nothing was fetched")]
    Length {
        /// The torrent.
        info_hash: InfoHash,
        /// Length expected.
        expected: u64,
        /// Length in the metainfo.
        got: u64,
    },
    /// The metainfo is not that of one plain file, written by the rules of design section 7.
    #[error("refused {info_hash}: not a torrent of one plain file ({why}); nothing was fetched")]
    NotOneFile {
        /// The torrent.
        info_hash: InfoHash,
        /// What was wrong with it.
        why: String,
    },
    /// The file cannot be written.
    #[error("cannot write the fetched file to {path}: {why}; check space and permissions")]
    Disk {
        /// Where it should go.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Too many torrents at once.
    #[error("{max} torrents are carried already; stop one before the next")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// This torrent, or the whole service, was stopped in the meantime.
    #[error("stopped before it was done")]
    Stopped,
}
