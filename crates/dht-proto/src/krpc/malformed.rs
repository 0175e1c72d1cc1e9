//! What can be wrong with a packet.
use super::{KrpcError, PACKET_BYTES_MAX, TransactionId};
use crate::bencode::BencodeError;
use crate::item::{SALT_BYTES_MAX, ValueError};

/// A packet that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a packet makes no sense: {kind}")]
pub struct DecodeError {
    /// What is wrong.
    #[source]
    pub kind: Malformed,
    /// Set if it was a query, which can be answered.
    pub transaction: Option<TransactionId>,
    /// What to answer then.
    pub error: KrpcError,
}

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nobody has to read so much.
    #[error("it has {bytes} bytes, more than {PACKET_BYTES_MAX}")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Not bencoded.
    #[error("it is not bencoded: {0}")]
    Bencode(#[from] BencodeError),
    /// Bencoded, but no dictionary.
    #[error("it is not a dictionary")]
    NotDictionary,
    /// Nothing there.
    #[error("`{key}` is missing")]
    Missing {
        /// Where.
        key: &'static str,
    },
    /// Something else is there than should be.
    #[error("`{key}` should be {expected}")]
    Wrong {
        /// Where.
        key: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// The value of an item cannot be kept.
    #[error("`v` cannot be kept: {0}")]
    Value(#[from] ValueError),
    /// The salt of an item is too long.
    #[error("`salt` is longer than {SALT_BYTES_MAX} bytes")]
    Salt,
}

impl Malformed {
    const fn code(&self) -> i64 {
        match self {
            Self::Value(ValueError::TooLong { .. }) => KrpcError::TOO_BIG,
            Self::Salt => KrpcError::SALT_TOO_BIG,
            _ => KrpcError::PROTOCOL,
        }
    }

    /// The error of a packet, with the transaction of the query that it was.
    pub(super) fn in_query(self, transaction: Option<TransactionId>) -> DecodeError {
        let error = KrpcError::new(self.code(), self.to_string());
        DecodeError { kind: self, transaction, error }
    }
}
