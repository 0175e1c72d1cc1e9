//! Accounts: secp256k1 keys, their short identities, the addresses people read, the records.
use std::fmt;
use std::str::FromStr;

use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use k256::ecdsa::{Signature as EcdsaSignature, SigningKey, VerifyingKey};

use crate::bytes::byte_string;
use crate::codec::{DecodeError, Reader, Writer};
use crate::{Amount, Hash};

byte_string!(
    /// Identity of an account: the first 20 bytes of SHA-256 of its compressed public key.
    AccountId, 20, "an account"
);

/// The account whose sequence counts the orders of the servers: first 20 bytes of
/// H(`"seedbank/orders/1"`). Nobody holds a key to it; it never pays and is never paid.
pub const RESERVED_ORDERS_ACCOUNT: AccountId = AccountId([
    0xbd, 0x0a, 0xc4, 0x9f, 0x42, 0xfb, 0xd1, 0xa5, 0x3f, 0x46, 0xec, 0xac, 0xc7, 0x17, 0x21, 0x58, 0x1f, 0x19, 0xc4,
    0x6f,
]);

/// Balance and sequence of one account: 36 bytes in every file and tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountRecord {
    /// Whose record.
    pub id: AccountId,
    /// What the account holds.
    pub balance: Amount,
    /// Payments made so far; the next payment must carry this number.
    pub sequence: u64,
}

impl AccountRecord {
    /// Length of a record on disk and on the wire.
    pub const BYTES: usize = 36;

    /// A record of an account that was never used.
    #[must_use]
    pub const fn empty(id: AccountId) -> Self {
        Self { id, balance: Amount::ZERO, sequence: 0 }
    }

    /// `AccountId 20 ‖ balance 8 ‖ sequence 8`.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..20].copy_from_slice(&self.id.0);
        bytes[20..28].copy_from_slice(&self.balance.0.to_be_bytes());
        bytes[28..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// Reads what [`AccountRecord::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("account record", bytes);
        let record = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(record)
    }

    /// Reads a record out of a longer format.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: AccountId(reader.array("account")?),
            balance: Amount(reader.u64("balance")?),
            sequence: reader.u64("sequence")?,
        })
    }
}

/// A key that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a compressed secp256k1 point.
    #[error("not a secp256k1 public key: 33 bytes that begin with 02 or 03 and lie on the curve are needed")]
    NotAPoint,
    /// Zero or beyond the group order.
    #[error("not a secp256k1 secret key: it must be between 1 and the group order")]
    NotAScalar,
}

/// Compressed secp256k1 public key of an account, known to lie on the curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccountPublicKey(VerifyingKey);

impl AccountPublicKey {
    /// Length of the compressed form.
    pub const BYTES: usize = 33;

    /// Checks that the bytes are a point of the curve.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, KeyError> {
        if !matches!(bytes[0], 2 | 3) {
            return Err(KeyError::NotAPoint);
        }
        VerifyingKey::from_sec1_bytes(bytes).map(Self).map_err(|_not_a_point| KeyError::NotAPoint)
    }

    /// The compressed form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let point = self.0.to_sec1_point(true);
        point.as_bytes().try_into().expect("a compressed point has 33 bytes")
    }

    /// The account this key owns.
    #[must_use]
    pub fn id(&self) -> AccountId {
        AccountId::of_key_bytes(&self.to_bytes())
    }

    /// Whether `signature` (64 bytes r‖s, s <= n/2) over `prehash` is by this key.
    #[must_use]
    pub fn verifies(&self, prehash: &[u8; 32], signature: &[u8; 64]) -> bool {
        #[cfg(feature = "memoise")]
        return crate::memo::checked(&[&self.to_bytes(), prehash, signature], || self.check(prehash, signature));
        #[cfg(not(feature = "memoise"))]
        self.check(prehash, signature)
    }

    fn check(&self, prehash: &[u8; 32], signature: &[u8; 64]) -> bool {
        let Ok(signature) = EcdsaSignature::from_slice(signature) else { return false };
        signature.normalize_s() == signature && self.0.verify_prehash(prehash, &signature).is_ok()
    }
}

impl AccountId {
    /// The account of a compressed public key, whether or not the key lies on the curve.
    #[must_use]
    pub fn of_key_bytes(key: &[u8; 33]) -> Self {
        let hash = Hash::of(&[key]);
        let mut id = [0; 20];
        id.copy_from_slice(&hash.0[..20]);
        Self(id)
    }
}

impl fmt::Debug for AccountPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountPublicKey({})", hex::encode(self.to_bytes()))
    }
}

/// Secret key of an account. Wiped from memory when dropped.
#[derive(Clone)]
pub struct AccountSecret(SigningKey);

impl AccountSecret {
    /// Checks that the bytes are a valid secret key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        SigningKey::from_slice(bytes).map(Self).map_err(|_not_a_scalar| KeyError::NotAScalar)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> AccountPublicKey {
        AccountPublicKey(*self.0.verifying_key())
    }

    /// Deterministic ECDSA (RFC 6979) over a hash, low s.
    #[must_use]
    pub fn sign(&self, prehash: &[u8; 32]) -> [u8; 64] {
        let signature: EcdsaSignature = self.0.sign_prehash(prehash).expect("a prehash of 32 bytes is long enough");
        let signature: [u8; 64] = signature.normalize_s().to_bytes().into();
        #[cfg(feature = "memoise")]
        crate::memo::signed(&[&self.public().to_bytes(), prehash, &signature]);
        signature
    }
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountSecret(redacted)")
    }
}

/// What people write for an account: base58check with version byte 63, begins with `S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub AccountId);

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A character outside base58.
    #[error("{text:?} is not an address: character {character:?} at position {position} is not used in addresses")]
    Character {
        /// The text as given.
        text: String,
        /// The first wrong character.
        character: char,
        /// Its position, from 1.
        position: usize,
    },
    /// Wrong length or version.
    #[error("{0:?} is not a Seedbank address: those begin with S and have 34 characters or so")]
    NotSeedbank(String),
    /// The last four bytes do not match.
    #[error("{0:?} has a wrong checksum: a character was mistyped or is missing")]
    Checksum(String),
}

const ADDRESS_VERSION: u8 = 63;
const BASE58: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const ADDRESS_TEXT_MAX: usize = 64;

fn address_checksum(payload: &[u8]) -> [u8; 4] {
    let twice = Hash::of(&[&Hash::of(&[payload]).0]);
    [twice.0[0], twice.0[1], twice.0[2], twice.0[3]]
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = Writer::with_capacity(25).u8(ADDRESS_VERSION).bytes(&self.0.0).finish();
        let checksum = address_checksum(&payload);
        f.write_str(&bs58::encode([&payload[..], &checksum].concat()).into_string())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((position, character)) = text.chars().enumerate().find(|(_, c)| !BASE58.contains(*c)) {
            let text = text.chars().take(ADDRESS_TEXT_MAX).collect();
            return Err(AddressError::Character { text, character, position: position + 1 });
        }
        if text.len() > ADDRESS_TEXT_MAX {
            return Err(AddressError::NotSeedbank(text.chars().take(ADDRESS_TEXT_MAX).collect()));
        }
        let bytes = bs58::decode(text).into_vec().unwrap_or_default();
        let Some((payload, checksum)) = bytes.split_last_chunk::<4>() else {
            return Err(AddressError::NotSeedbank(text.to_owned()));
        };
        if address_checksum(payload) != *checksum {
            return Err(AddressError::Checksum(text.to_owned()));
        }
        match payload.split_first() {
            Some((&ADDRESS_VERSION, id)) => <[u8; 20]>::try_from(id)
                .map(|id| Self(AccountId(id)))
                .map_err(|_wrong_length| AddressError::NotSeedbank(text.to_owned())),
            _ => Err(AddressError::NotSeedbank(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_account_is_the_hash_of_its_name() {
        assert_eq!(RESERVED_ORDERS_ACCOUNT.0, Hash::of(&[b"seedbank/orders/1"]).0[..20]);
    }

    #[test]
    fn every_address_begins_with_s() {
        for byte in [0, 1, 127, 255] {
            assert!(Address(AccountId([byte; 20])).to_string().starts_with('S'));
        }
    }

    #[test]
    fn any_mistyped_character_is_noticed() {
        let address = Address(AccountId([9; 20])).to_string();
        for position in 0..address.len() {
            for replacement in "1zS0l".chars() {
                let mut typed: Vec<char> = address.chars().collect();
                if typed[position] == replacement {
                    continue;
                }
                typed[position] = replacement;
                let typed: String = typed.into_iter().collect();
                assert!(typed.parse::<Address>().is_err(), "{typed}");
            }
        }
    }

    #[test]
    fn high_s_signature_is_refused() {
        let secret = AccountSecret::from_bytes(&[1; 32]).expect("1 is below the group order");
        let prehash = [5; 32];
        let signature = secret.sign(&prehash);
        assert!(secret.public().verifies(&prehash, &signature));
        let low = EcdsaSignature::from_slice(&signature).expect("just made");
        let high = EcdsaSignature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).expect("s is not zero");
        let high: [u8; 64] = high.to_bytes().into();
        assert!(!secret.public().verifies(&prehash, &high));
    }
}
