//! Hashing of a file while it is being written.
use std::io::{self, Write};

use sha1::{Digest, Sha1};

use super::{Metainfo, MetainfoError, check_name, piece_length};

/// Hashes a file piece by piece as its bytes come by.
///
/// The length must be known before the first byte, since the length of a piece follows from it.
#[derive(Debug, Clone)]
pub struct MetainfoHasher {
    name: String,
    length: u64,
    hashed: u64,
    /// Bytes that are missing to complete the piece in hand.
    wanted: u64,
    piece: Sha1,
    pieces: Vec<u8>,
    /// Bytes that came beyond the promise and were refused.
    refused: u64,
}

impl MetainfoHasher {
    /// Starts a file of exactly `length` bytes whose torrent is called `name`.
    pub fn new(name: &str, length: u64) -> Result<Self, MetainfoError> {
        check_name(name)?;
        if length == 0 {
            return Err(MetainfoError::Empty);
        }
        Ok(Self {
            name: name.to_owned(),
            length,
            hashed: 0,
            wanted: u64::from(piece_length(length)).min(length),
            piece: Sha1::new(),
            pieces: Vec::new(),
            refused: 0,
        })
    }

    /// The metainfo, once all bytes were written.
    pub fn finish(self) -> Result<Metainfo, MetainfoError> {
        let got = self.hashed.saturating_add(self.refused);
        if got != self.length {
            return Err(MetainfoError::Length { expected: self.length, got });
        }
        Ok(Metainfo { name: self.name, length: self.length, pieces: self.pieces })
    }

    /// Hashes bytes that are all of the piece in hand.
    fn hash(&mut self, bytes: &[u8]) {
        self.piece.update(bytes);
        self.hashed += bytes.len() as u64;
        self.wanted -= bytes.len() as u64;
        if self.wanted == 0 {
            self.pieces.extend_from_slice(&self.piece.finalize_reset());
            self.wanted = u64::from(piece_length(self.length)).min(self.length - self.hashed);
        }
    }
}

impl Write for MetainfoHasher {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len();
        if count as u64 > self.length - self.hashed {
            self.refused = count as u64;
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more bytes than were promised"));
        }
        while !bytes.is_empty() {
            let part = usize::try_from(self.wanted).map_or(bytes.len(), |wanted| wanted.min(bytes.len()));
            let (now, later) = bytes.split_at(part);
            self.hash(now);
            bytes = later;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
