//! The keys of a person: words to write down, the accounts they give, and the encrypted file.
//!
//! This crate is pure: no entropy, clock, files or threads; salt, nonce and entropy are passed in.
//! It is *not* the payments themselves (`seedbank-types` signs them) nor the ledger's view of an
//! account.
//!
//! Start at [`Wallet`].
//!
//! Invariants: the same words give the same accounts in every community, for ever: BIP39 in
//! English without a BIP39 passphrase, BIP32 path `m/44'/5555'/0'/0/i`; nothing secret shows in
//! `Debug` or in an error but the words that somebody mistyped; a file from outside can make
//! [`Wallet::open`] use neither more memory nor more time than [`SealCost`] allows.
//!
//! ```
//! use seedbank_wallet::{SealCost, Wallet};
//!
//! // Outside of examples: entropy, salt and nonce from the system, and the default cost.
//! let wallet = Wallet::new(&[7; 16])?;
//! let words = wallet.words();
//! assert_eq!(Wallet::from_words(&words)?.address(0)?, wallet.address(0)?);
//!
//! let file = wallet.seal("a long passphrase", [1; 16], [2; 24], SealCost::WEAKEST)?;
//! assert_eq!(Wallet::open(&file, "a long passphrase")?.address(0)?, wallet.address(0)?);
//! assert!(Wallet::open(&file, "another passphrase").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod file;
mod wallet;

pub use file::{FileError, NONCE_BYTES, SALT_BYTES, SealCost};
pub use wallet::{ACCOUNT_INDEX_MAX, AccountIndexError, Wallet, WordsError};
