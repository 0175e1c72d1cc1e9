//! SHA-256 and the identities made of it.
use sha2::{Digest, Sha256};

use crate::bytes::byte_string;

byte_string!(
    /// A SHA-256 hash.
    Hash, 32, "a hash"
);
byte_string!(
    /// Identity of a community: the hash of its genesis.
    CommunityId, 32, "a community"
);
byte_string!(
    /// Identity of a payment; also what its account's key signs.
    PaymentId, 32, "a payment"
);
byte_string!(
    /// SHA-1 of a torrent's info dictionary. It finds a file and proves nothing about it.
    InfoHash, 20, "an infohash"
);

impl Hash {
    /// 32 zero bytes: "none" in fields that may be empty.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of the parts joined.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

impl InfoHash {
    /// 20 zero bytes: "no such file".
    pub const ZERO: Self = Self([0; 20]);
}

impl From<CommunityId> for Hash {
    fn from(id: CommunityId) -> Self {
        Self(id.0)
    }
}

impl From<PaymentId> for Hash {
    fn from(id: PaymentId) -> Self {
        Self(id.0)
    }
}
