//! Items that the DHT keeps for others (BEP44).
use seedbank_types::{ServerKey, ServerSecret, Signature};
use sha1::{Digest, Sha1};

use crate::Id;
use crate::bencode::{self, BencodeError, DEPTH_MAX};

/// Bytes of the longest value, bencoded. Other nodes count the same way.
pub const VALUE_BYTES_MAX: usize = 1000;
/// Bytes of the longest salt.
pub const SALT_BYTES_MAX: usize = 64;
/// A value stands in the arguments of a packet, so two levels are taken.
const VALUE_DEPTH_MAX: usize = DEPTH_MAX - 2;

/// Something that the DHT keeps, whoever may ask for it. Its value is bencoded, byte for byte as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Found by the hash of its value.
    Immutable {
        /// The value, bencoded.
        value: Vec<u8>,
    },
    /// Found by a key, and signed by it.
    Mutable(MutableItem),
}

/// What the owner of a key says under a salt; whatever has the highest number is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutableItem {
    /// Whose it is.
    pub key: ServerKey,
    /// Which of the items of that key; mostly empty. At most [`SALT_BYTES_MAX`] bytes.
    pub salt: Vec<u8>,
    /// The version.
    pub seq: i64,
    /// Signs salt, number and value.
    pub signature: Signature,
    /// The value, bencoded.
    pub value: Vec<u8>,
}

/// Why a value cannot be part of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nodes need not keep it.
    #[error("the value has {bytes} bytes when bencoded; nodes keep at most {VALUE_BYTES_MAX}")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// It makes no sense.
    #[error("the value is not bencoded: {0}")]
    Malformed(#[from] BencodeError),
    /// Nodes that write it down in their own way would give away other bytes than were signed.
    #[error("the value has a dictionary whose keys are not sorted or not different")]
    NotCanonical,
}

impl Item {
    /// Where it is kept: at the hash of its value, or of its key and salt.
    #[must_use]
    pub fn target(&self) -> Id {
        match self {
            Self::Immutable { value } => hash(&[value]),
            Self::Mutable(item) => hash(&[&item.key.0, &item.salt]),
        }
    }

    /// The value, bencoded.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match self {
            Self::Immutable { value } => value,
            Self::Mutable(item) => &item.value,
        }
    }

    /// The version, if there can be several.
    #[must_use]
    pub const fn seq(&self) -> Option<i64> {
        match self {
            Self::Immutable { .. } => None,
            Self::Mutable(item) => Some(item.seq),
        }
    }

    /// Whether its key has signed it; an item without key is always what its target says.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        match self {
            Self::Immutable { .. } => true,
            Self::Mutable(item) => item.is_genuine(),
        }
    }
}

impl MutableItem {
    /// Signs a value, which must be bencoded.
    #[must_use]
    pub fn sign(secret: &ServerSecret, salt: Vec<u8>, seq: i64, value: Vec<u8>) -> Self {
        let mut item = Self { key: secret.public(), salt, seq, signature: Signature([0; 64]), value };
        item.signature = secret.sign(&item.signable());
        item
    }

    /// What is signed: salt (unless it is empty), number and value, as they stand in a message.
    #[must_use]
    pub fn signable(&self) -> Vec<u8> {
        let mut bytes = vec![];
        if !self.salt.is_empty() {
            bytes.extend_from_slice(b"4:salt");
            bytes.extend(bencode::bytes(&self.salt));
        }
        bytes.extend_from_slice(b"3:seq");
        bytes.extend(bencode::integer(self.seq));
        bytes.extend_from_slice(b"1:v");
        bytes.extend_from_slice(&self.value);
        bytes
    }

    /// Whether its key has signed it.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.key.verifies(&self.signable(), &self.signature)
    }
}

/// Whether this can be the value of an item: one bencoded value, written in the only way.
///
/// # Errors
/// [`ValueError`] says what is wrong.
pub fn check_value(raw: &[u8]) -> Result<(), ValueError> {
    if raw.len() > VALUE_BYTES_MAX {
        return Err(ValueError::TooLong { bytes: raw.len() });
    }
    let value = bencode::parse_to_depth(raw, VALUE_BYTES_MAX, VALUE_DEPTH_MAX)?;
    if value.is_canonical() { Ok(()) } else { Err(ValueError::NotCanonical) }
}

fn hash(parts: &[&[u8]]) -> Id {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    Id(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::{Item, MutableItem, ServerSecret, VALUE_BYTES_MAX, VALUE_DEPTH_MAX, ValueError, check_value};
    use crate::bencode::{self, BencodeError};

    fn signed(salt: &[u8], value: &[u8]) -> MutableItem {
        MutableItem::sign(&ServerSecret::from_bytes(&[7; 32]), salt.to_vec(), 3, value.to_vec())
    }

    #[test]
    fn whatever_is_changed_breaks_the_signature() {
        let item = signed(b"salt", b"1:x");
        assert!(item.is_genuine());
        let changes: [fn(&mut MutableItem); 5] = [
            |item| item.seq += 1,
            |item| item.salt.push(0),
            |item| item.value[2] = b'y',
            |item| item.signature.0[0] ^= 1,
            |item| item.key = ServerSecret::from_bytes(&[8; 32]).public(),
        ];
        for change in changes {
            let mut changed = item.clone();
            change(&mut changed);
            assert!(!Item::Mutable(changed).is_genuine());
        }
    }

    #[test]
    fn an_empty_salt_is_no_salt() {
        assert_eq!(signed(b"", b"1:x").signable(), b"3:seqi3e1:v1:x");
        assert_ne!(Item::Mutable(signed(b"", b"1:x")).target(), Item::Mutable(signed(b"a", b"1:x")).target());
    }

    #[test]
    fn the_target_does_not_depend_on_number_and_value() {
        let mut other = signed(b"a", b"1:x");
        let target = Item::Mutable(other.clone()).target();
        (other.seq, other.value) = (9, b"1:y".to_vec());
        assert_eq!(Item::Mutable(other).target(), target);
    }

    #[test]
    fn a_value_is_one_bencoded_value() {
        assert_eq!(check_value(b"12:Hello World!"), Ok(()));
        assert_eq!(check_value(b"d1:ai1e1:bleee"), Err(BencodeError::Trailing { at: 13 }.into()));
        assert_eq!(check_value(b"d1:ai1e1:blee"), Ok(()));
        assert_eq!(check_value(b""), Err(BencodeError::Ends { at: 0 }.into()));
        assert_eq!(check_value(b"5:four"), Err(BencodeError::Ends { at: 6 }.into()));
        assert_eq!(check_value(b"d1:bi1e1:ai1ee"), Err(ValueError::NotCanonical));
    }

    #[test]
    fn a_value_has_at_most_a_thousand_bytes_bencoded() {
        assert_eq!(check_value(&bencode::bytes(&[b'x'; VALUE_BYTES_MAX - 4])), Ok(()));
        let long = bencode::bytes(&[b'x'; VALUE_BYTES_MAX - 3]);
        assert_eq!(check_value(&long), Err(ValueError::TooLong { bytes: VALUE_BYTES_MAX + 1 }));
    }

    #[test]
    fn a_value_is_flat_enough_to_stand_in_a_packet() {
        let nested = |depth: usize| [b"l".repeat(depth), b"e".repeat(depth)].concat();
        assert_eq!(check_value(&nested(VALUE_DEPTH_MAX)), Ok(()));
        assert_eq!(check_value(&nested(VALUE_DEPTH_MAX + 1)), Err(BencodeError::TooDeep.into()));
    }
}
