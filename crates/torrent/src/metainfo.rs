//! Deterministic metainfo of one file (design section 7, BEP 3).
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use seedbank_types::{CommunityId, Height, InfoHash};
use sha1::{Digest, Sha1};

mod hasher;

pub use hasher::MetainfoHasher;

/// Smallest length of a piece in bytes.
const PIECE_BYTES_MIN: u32 = 16 * 1024;
/// Largest length of a piece in bytes.
const PIECE_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Pieces are doubled in length until there are at most this many, or they are as long as may be.
const PIECES_MAX: u64 = 1500;
/// A name is a file name on every system.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of a SHA-1 hash.
const HASH_BYTES: usize = 20;

/// What a file with balances holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// All balances at one height.
    Snapshot,
    /// What changed since a snapshot.
    Delta,
}

/// Name of a file with balances: the same on every server, as it is part of the infohash.
#[must_use]
pub fn file_name(community: &CommunityId, height: Height, kind: FileKind) -> String {
    let extension = match kind {
        FileKind::Snapshot => "snapshot",
        FileKind::Delta => "delta",
    };
    format!("seedbank-{}-{height}.{extension}", hex::encode(&community.0[..4]))
}

/// Length of the pieces of a file of `length` bytes: the smallest power of two >= 16 KiB that
/// gives at most 1500 pieces, but at most 4 MiB.
#[must_use]
pub const fn piece_length(length: u64) -> u32 {
    let mut piece = PIECE_BYTES_MIN;
    while piece < PIECE_BYTES_MAX && length.div_ceil(piece as u64) > PIECES_MAX {
        piece *= 2;
    }
    piece
}

/// Why there is no metainfo.
#[derive(Debug, thiserror::Error)]
pub enum MetainfoError {
    /// Empty, too long, or not a plain file name.
    #[error("{0:?} cannot be the name of a torrent: it must be a plain file name of 1 to 255 bytes")]
    Name(String),
    /// A torrent of nothing.
    #[error("the file is empty: there is nothing to seed")]
    Empty,
    /// The hashed bytes are not as many as promised.
    #[error("{expected} bytes were promised and {got} came: the file changed while it was hashed")]
    Length {
        /// Bytes promised.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// The hashes of the pieces are not as many as the pieces.
    #[error("{got} bytes of piece hashes for a file that needs {expected}")]
    Pieces {
        /// Bytes needed: 20 for each piece.
        expected: u64,
        /// Bytes there are.
        got: usize,
    },
    /// The length of a piece is not what design section 7 says.
    #[error("pieces of {got} bytes where the rule says {expected}")]
    PieceLength {
        /// Length by the rule.
        expected: u32,
        /// Length as given.
        got: u32,
    },
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file, empty if bytes came from elsewhere.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Metainfo of one file: `length`, `name`, `piece length` and `pieces`, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    name: String,
    length: u64,
    pieces: Vec<u8>,
}

impl Metainfo {
    /// Hashes the file at `path`; the torrent's name is `name`, whatever the file is called.
    pub fn of_file(name: &str, path: &Path) -> Result<Self, MetainfoError> {
        let failed = |source| MetainfoError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Self::of_reader(name, length, file).map_err(|error| match error {
            MetainfoError::Read { source, .. } => failed(source),
            other => other,
        })
    }

    /// Hashes everything `reader` gives, which must be exactly `length` bytes.
    pub fn of_reader(name: &str, length: u64, reader: impl Read) -> Result<Self, MetainfoError> {
        let mut hasher = MetainfoHasher::new(name, length)?;
        // One byte more than promised is enough to see that the promise is broken.
        match io::copy(&mut reader.take(length.saturating_add(1)), &mut hasher) {
            Err(source) if source.kind() != io::ErrorKind::InvalidInput => {
                Err(MetainfoError::Read { path: PathBuf::new(), source })
            }
            _ => hasher.finish(),
        }
    }

    /// From the fields of somebody's metainfo, if they follow the rules of this one.
    pub(crate) fn from_fields(name: &str, length: u64, piece_bytes: u32, pieces: &[u8]) -> Result<Self, MetainfoError> {
        check_name(name)?;
        let rule = piece_length(length);
        let expected = length.div_ceil(u64::from(rule)).saturating_mul(HASH_BYTES as u64);
        if length == 0 {
            return Err(MetainfoError::Empty);
        }
        if piece_bytes != rule {
            return Err(MetainfoError::PieceLength { expected: rule, got: piece_bytes });
        }
        if pieces.len() as u64 != expected {
            return Err(MetainfoError::Pieces { expected, got: pieces.len() });
        }
        Ok(Self { name: name.to_owned(), length, pieces: pieces.to_owned() })
    }

    /// The torrent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Length of the file in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Length of all pieces but the last in bytes.
    #[must_use]
    pub const fn piece_length(&self) -> u32 {
        piece_length(self.length)
    }

    /// SHA-1 of the info dictionary.
    #[must_use]
    pub fn info_hash(&self) -> InfoHash {
        InfoHash(Sha1::digest(self.info_bytes()).into())
    }

    /// The info dictionary, bencoded, keys ascending.
    fn info_bytes(&self) -> Vec<u8> {
        let mut info = format!(
            "d6:lengthi{}e4:name{}:{}12:piece lengthi{}e6:pieces{}:",
            self.length,
            self.name.len(),
            self.name,
            self.piece_length(),
            self.pieces.len()
        )
        .into_bytes();
        info.extend_from_slice(&self.pieces);
        info.push(b'e');
        info
    }

    /// Bytes of a `.torrent` file. It names no tracker.
    #[must_use]
    pub fn to_torrent_bytes(&self) -> Vec<u8> {
        [&b"d4:info"[..], &self.info_bytes(), b"e"].concat()
    }

    /// Magnet link with the peers as `x.pe` hints (BEP 9).
    #[must_use]
    pub fn magnet(&self, peers: &[SocketAddr]) -> String {
        let mut link =
            format!("magnet:?xt=urn:btih:{}&dn={}&xl={}", self.info_hash(), escaped(&self.name), self.length);
        for peer in peers {
            write!(link, "&x.pe={peer}").expect("writing to a String cannot fail");
        }
        link
    }
}

fn check_name(name: &str) -> Result<(), MetainfoError> {
    let plain = !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
    match name.len() {
        1..=NAME_BYTES_MAX if plain => Ok(()),
        _ => Err(MetainfoError::Name(name.to_owned())),
    }
}

/// Percent-encodes everything but what RFC 3986 calls unreserved.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut link, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            write!(link, "%{byte:02X}").expect("writing to a String cannot fail");
        }
        link
    })
}

#[cfg(test)]
mod tests;
