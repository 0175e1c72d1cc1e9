//! The encrypted file of a wallet: 117 bytes, whatever is in it.
//!
//! Header of 64 bytes: `"SEEDBANKWALLET" 14 ‖ version u8 = 1 ‖ memory KiB u32 ‖ passes u32 ‖ lanes u8 ‖
//! salt 16 ‖ nonce 24`, integers big-endian. Then XChaCha20-Poly1305 (16 bytes of tag at the end) with
//! the header as associated data, under the key of 32 bytes that Argon2id (version 0x13) makes of
//! the passphrase (UTF-8, NFKD) and the salt. Inside: `entropy length u8 (16 or 32) ‖ entropy, padded
//! with zeroes to 32 ‖ accounts used u32`.
use std::borrow::Cow;

use argon2::{Algorithm, Argon2, Params, Version};
use bip39::Mnemonic;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use seedbank_types::{DecodeError, Reader, Writer};
use zeroize::Zeroizing;

use crate::Wallet;

/// Length of the salt, which must be new for every sealing.
pub const SALT_BYTES: usize = 16;
/// Length of the nonce, which must be new for every sealing.
pub const NONCE_BYTES: usize = 24;

const MAGIC: &[u8; 14] = b"SEEDBANKWALLET";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 64;
const KEY_BYTES: usize = 32;
const ENTROPY_BYTES_MAX: usize = 32;
const CONTENTS_BYTES: usize = 1 + ENTROPY_BYTES_MAX + 4;
const FILE_BYTES: usize = HEADER_BYTES + CONTENTS_BYTES + 16;
const MEMORY_KIB_PER_LANE_MIN: u32 = 8;

/// Why a wallet file could not be written or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Some other file.
    #[error("this is not a Seedbank wallet file")]
    NotAWallet,
    /// A later format.
    #[error("the wallet file has version {0}, this program knows {VERSION}: use a newer program")]
    Version(u8),
    /// Cut off, or something appended.
    #[error(
        "the wallet file is damaged: it has {0} bytes instead of {FILE_BYTES}; restore it from a copy or the words"
    )]
    Length(usize),
    /// A cost beyond the limits, in a file or asked for.
    #[error(
        "the wallet file asks for {memory_kib} KiB of memory, {passes} passes and {lanes} lanes; at most {}, {} and {} are accepted",
        SealCost::MEMORY_KIB_MAX,
        SealCost::PASSES_MAX,
        SealCost::LANES_MAX
    )]
    Cost {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u8,
    },
    /// Encrypting with nothing protects nothing.
    #[error("the passphrase is empty: choose one")]
    EmptyPassphrase,
    /// The key does not fit.
    #[error("the passphrase is wrong, or the wallet file is damaged")]
    WrongPassphrase,
    /// The memory for the key derivation is not there.
    #[error("the passphrase could not be processed: {0}")]
    Derivation(String),
    /// Genuine, but not what this version writes.
    #[error("the wallet file's contents make no sense: {0}")]
    Contents(String),
}

/// What it costs to try one passphrase, by Argon2id; stored in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealCost {
    memory_kib: u32,
    passes: u32,
    lanes: u8,
}

impl SealCost {
    /// The most memory that is accepted: 256 MiB.
    pub const MEMORY_KIB_MAX: u32 = 256 * 1024;
    /// The most passes that are accepted.
    pub const PASSES_MAX: u32 = 16;
    /// The most lanes that are accepted.
    pub const LANES_MAX: u8 = 4;
    /// 64 MiB, 3 passes, 1 lane: above the recommendation of RFC 9106 for little memory.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// As little as Argon2 allows: for tests, and for play money.
    pub const WEAKEST: Self = Self { memory_kib: MEMORY_KIB_PER_LANE_MIN, passes: 1, lanes: 1 };

    /// Checks the limits.
    pub const fn new(memory_kib: u32, passes: u32, lanes: u8) -> Result<Self, FileError> {
        let enough = lanes >= 1 && passes >= 1 && memory_kib >= MEMORY_KIB_PER_LANE_MIN * lanes as u32;
        if enough && memory_kib <= Self::MEMORY_KIB_MAX && passes <= Self::PASSES_MAX && lanes <= Self::LANES_MAX {
            Ok(Self { memory_kib, passes, lanes })
        } else {
            Err(FileError::Cost { memory_kib, passes, lanes })
        }
    }

    fn key(self, passphrase: &str, salt: &[u8; SALT_BYTES]) -> Result<Zeroizing<[u8; KEY_BYTES]>, FileError> {
        if passphrase.is_empty() {
            return Err(FileError::EmptyPassphrase);
        }
        let mut passphrase = Cow::Borrowed(passphrase);
        Mnemonic::normalize_utf8_cow(&mut passphrase);
        let passphrase = Zeroizing::new(passphrase.into_owned());
        let failed = |error: argon2::Error| FileError::Derivation(error.to_string());
        let lanes = u32::from(self.lanes);
        let params = Params::new(self.memory_kib, self.passes, lanes, Some(KEY_BYTES)).map_err(failed)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
            .map_err(failed)?;
        Ok(key)
    }
}

impl Default for SealCost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Wallet {
    /// The wallet as an encrypted file. Salt and nonce must come fresh from the system each time.
    pub fn seal(
        &self,
        passphrase: &str,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
        cost: SealCost,
    ) -> Result<Vec<u8>, FileError> {
        let mut file = Header { cost, salt, nonce }.encode();
        let contents = self.contents();
        let sealed = XChaCha20Poly1305::new((&*cost.key(passphrase, &salt)?).into())
            .encrypt((&nonce).into(), Payload { msg: &contents, aad: &file })
            .expect("the contents are far below the cipher's limit");
        file.extend_from_slice(&sealed);
        Ok(file)
    }

    /// Reads what [`Wallet::seal`] wrote.
    pub fn open(file: &[u8], passphrase: &str) -> Result<Self, FileError> {
        let header = Header::decode(file)?;
        let (head, sealed) = file.split_at(HEADER_BYTES);
        let contents = XChaCha20Poly1305::new((&*header.cost.key(passphrase, &header.salt)?).into())
            .decrypt((&header.nonce).into(), Payload { msg: sealed, aad: head })
            .map_err(|_not_authentic| FileError::WrongPassphrase)?;
        Self::of_contents(&Zeroizing::new(contents))
    }

    fn contents(&self) -> Zeroizing<Vec<u8>> {
        let entropy = self.entropy();
        let length = u8::try_from(entropy.len()).expect("12 or 24 words have 16 or 32 bytes of entropy");
        let mut contents = Zeroizing::new(vec![0; CONTENTS_BYTES]);
        contents[0] = length;
        contents[1..=entropy.len()].copy_from_slice(&entropy);
        contents[1 + ENTROPY_BYTES_MAX..].copy_from_slice(&self.accounts_used().to_be_bytes());
        contents
    }

    fn of_contents(contents: &[u8]) -> Result<Self, FileError> {
        let senseless = |error: DecodeError| FileError::Contents(error.to_string());
        let mut reader = Reader::new("wallet", contents);
        let length = usize::from(reader.u8("entropy length").map_err(senseless)?);
        let entropy = reader.take("entropy", ENTROPY_BYTES_MAX).map_err(senseless)?;
        let accounts_used = reader.u32("accounts used").map_err(senseless)?;
        reader.finish().map_err(senseless)?;
        match entropy.split_at_checked(length) {
            Some((entropy, padding)) if padding.iter().all(|byte| *byte == 0) => {
                let mut wallet = Self::new(entropy).map_err(|error| FileError::Contents(error.to_string()))?;
                wallet.set_accounts_used(accounts_used).map_err(|error| FileError::Contents(error.to_string()))?;
                Ok(wallet)
            }
            _ => Err(FileError::Contents(format!("entropy of {length} bytes"))),
        }
    }
}

struct Header {
    cost: SealCost,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        Writer::with_capacity(FILE_BYTES)
            .bytes(MAGIC)
            .u8(VERSION)
            .u32(self.cost.memory_kib)
            .u32(self.cost.passes)
            .u8(self.cost.lanes)
            .bytes(&self.salt)
            .bytes(&self.nonce)
            .finish()
    }

    /// Reads the header of a whole file, and checks that the rest has its length.
    fn decode(file: &[u8]) -> Result<Self, FileError> {
        let cut = |_too_short: DecodeError| FileError::Length(file.len());
        let Some((MAGIC, rest)) = file.split_first_chunk() else { return Err(FileError::NotAWallet) };
        let mut reader = Reader::new("wallet file", rest);
        match reader.u8("version").map_err(cut)? {
            VERSION if file.len() == FILE_BYTES => {}
            VERSION => return Err(FileError::Length(file.len())),
            other => return Err(FileError::Version(other)),
        }
        let memory_kib = reader.u32("memory").map_err(cut)?;
        let passes = reader.u32("passes").map_err(cut)?;
        let cost = SealCost::new(memory_kib, passes, reader.u8("lanes").map_err(cut)?)?;
        Ok(Self { cost, salt: reader.array("salt").map_err(cut)?, nonce: reader.array("nonce").map_err(cut)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let wallet = Wallet::new(&[3; 32]).expect("32 bytes");
        wallet.seal("passphrase", [1; 16], [2; 24], SealCost::WEAKEST).expect("sealed")
    }

    /// `WEAKEST` with one field changed, as a hostile file would have it.
    fn with_cost(memory_kib: u32, passes: u32, lanes: u8) -> Vec<u8> {
        let mut file = sealed();
        file[15..19].copy_from_slice(&memory_kib.to_be_bytes());
        file[19..23].copy_from_slice(&passes.to_be_bytes());
        file[23] = lanes;
        file
    }

    #[test]
    fn files_of_12_and_24_words_have_one_length() {
        let short = Wallet::new(&[3; 16]).expect("16 bytes");
        let short = short.seal("p", [1; 16], [2; 24], SealCost::WEAKEST).expect("sealed");
        assert_eq!((short.len(), sealed().len()), (FILE_BYTES, FILE_BYTES));
        assert_eq!(FILE_BYTES, 117);
    }

    #[test]
    fn a_wrong_passphrase_is_said_to_be_wrong() {
        let error = Wallet::open(&sealed(), "Passphrase").expect_err("another passphrase");
        assert_eq!(error, FileError::WrongPassphrase);
        assert!(error.to_string().starts_with("the passphrase is wrong"));
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        let wallet = Wallet::new(&[3; 32]).expect("32 bytes");
        let result = wallet.seal("", [1; 16], [2; 24], SealCost::WEAKEST);
        assert_eq!(result, Err(FileError::EmptyPassphrase));
        assert_eq!(Wallet::open(&sealed(), "").err(), Some(FileError::EmptyPassphrase));
    }

    #[test]
    fn two_ways_to_type_one_letter_open_the_same_file() {
        let wallet = Wallet::new(&[3; 32]).expect("32 bytes");
        let file = wallet.seal("caf\u{e9}", [1; 16], [2; 24], SealCost::WEAKEST).expect("sealed");
        assert!(Wallet::open(&file, "cafe\u{301}").is_ok());
        assert!(Wallet::open(&file, "cafe").is_err());
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let file = sealed();
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Costs within the limits but far from the weakest would make this test slow.
            if !(15..23).contains(&(bit / 8)) {
                assert!(Wallet::open(&damaged, "passphrase").is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn another_cost_within_the_limits_does_not_open() {
        assert_eq!(Wallet::open(&with_cost(9, 1, 1), "passphrase").err(), Some(FileError::WrongPassphrase));
        assert_eq!(Wallet::open(&with_cost(8, 2, 1), "passphrase").err(), Some(FileError::WrongPassphrase));
    }

    #[test]
    fn a_hostile_cost_is_refused_before_any_work() {
        let hostile = [(u32::MAX, 1, 1), (256 * 1024 + 1, 1, 1), (8, u32::MAX, 1), (8, 17, 1), (64, 1, 5)];
        let senseless = [(0, 1, 1), (7, 1, 1), (8, 0, 1), (8, 1, 0), (15, 1, 2)];
        for (memory_kib, passes, lanes) in hostile.into_iter().chain(senseless) {
            let result = Wallet::open(&with_cost(memory_kib, passes, lanes), "passphrase");
            assert_eq!(result.err(), Some(FileError::Cost { memory_kib, passes, lanes }));
        }
    }

    #[test]
    fn other_files_cut_files_and_later_versions_are_told_apart() {
        let file = sealed();
        assert_eq!(Wallet::open(b"", "p").err(), Some(FileError::NotAWallet));
        assert_eq!(Wallet::open(b"{\"version\":1}           ", "p").err(), Some(FileError::NotAWallet));
        assert_eq!(Wallet::open(&file[..14], "p").err(), Some(FileError::Length(14)));
        assert_eq!(Wallet::open(&file[..116], "p").err(), Some(FileError::Length(116)));
        assert_eq!(Wallet::open(&[&file[..], &[0]].concat(), "p").err(), Some(FileError::Length(118)));
        let mut later = file;
        later[14] = 2;
        assert_eq!(Wallet::open(&later, "p").err(), Some(FileError::Version(2)));
    }

    #[test]
    fn authentic_contents_that_make_no_sense_are_refused() {
        let wallet = Wallet::new(&[3; 32]).expect("32 bytes");
        let changed = |place: usize, byte: u8| {
            let mut contents = wallet.contents();
            contents[place] = byte;
            Wallet::of_contents(&contents)
        };
        assert!(changed(0, 32).is_ok());
        for length in [0, 20, 33, 255] {
            assert!(matches!(changed(0, length), Err(FileError::Contents(_))), "{length}");
        }
        assert!(matches!(changed(0, 16), Err(FileError::Contents(_))), "the padding is not zero");
        assert!(matches!(changed(33, 0xff), Err(FileError::Contents(_))), "more accounts than there are");
    }
}
