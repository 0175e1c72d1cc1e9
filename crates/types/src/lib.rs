//! Words and formats of Seedbank: everything that is signed, sent or stored, byte for byte.
//!
//! This crate is pure: no sockets, files, clock, entropy or threads. Bytes from outside become
//! checked types here, once, at the edge; nothing further inside checks them again. Every format
//! is described in `docs/protocol.md` and pinned by golden bytes in `tests/golden/`.
//!
//! It is *not* the rules of the ledger (`seedbank-ledger`), the state root and proofs
//! (`seedbank-snapshot`) or the agreement (`seedbank-quorum`).
//!
//! Start at [`Checkpoint`]: the signed statement that all the rest serves.
//!
//! Invariants: `decode(encode(x)) == x`; a decoder accepts exactly one encoding of a value,
//! leaves no byte unread and never allocates more than its input justifies.
//!
//! ```
//! use seedbank_types::{Amount, Address, AccountId};
//!
//! let amount = Amount::parse("12.5", 2).expect("two decimals are allowed");
//! assert_eq!(amount, Amount(1250));
//! assert_eq!(amount.display(2), "12.50");
//! let address = Address(AccountId([7; 20])).to_string();
//! assert!(address.starts_with('S'));
//! ```
#![forbid(unsafe_code)]

mod account;
mod amount;
mod body;
mod bytes;
mod certificate;
mod checkpoint;
mod codec;
mod evidence;
mod genesis;
mod guarantee;
mod handover;
mod hash;
mod header;
#[cfg(feature = "memoise")]
mod memo;
mod order;
mod payment;
mod payment_state;
mod receipt;
mod refusal;
mod server;
mod server_record;
mod stamp;
mod time;
pub mod tree;
mod trust;

pub use account::{
    AccountId, AccountPublicKey, AccountRecord, AccountSecret, Address, AddressError, KeyError, RESERVED_ORDERS_ACCOUNT,
};
pub use amount::{Amount, AmountError};
pub use body::{BODY_BYTES_MAX, Body, Entry};
pub use bytes::HexError;
pub use certificate::{Certificate, CertificateError, Grade, NumberedSignature, read_signatures, write_signatures};
pub use checkpoint::{CHECKPOINT_BYTES, Checkpoint, FileRef};
pub use codec::{DecodeError, Reader, Writer};
pub use evidence::{Evidence, EvidenceError};
pub use genesis::{Genesis, GenesisError, MAX_SERVERS};
pub use guarantee::Guarantee;
pub use handover::{Handover, HandoverError};
pub use hash::{CommunityId, Hash, InfoHash, PaymentId};
pub use header::{HEADER_BYTES, Header};
#[cfg(feature = "memoise")]
pub use memo::memoise_signatures;
pub use order::{Order, OrderKind, SignedOrder};
pub use payment::{MEMO_BYTES_MAX, PAYMENT_EXPIRY_EPOCHS_MAX, Payment, SIGNED_PAYMENT_BYTES_MAX, SignedPayment};
pub use payment_state::PaymentState;
pub use receipt::{Receipt, ReceiptError};
pub use refusal::Refusal;
pub use server::{POWER_TOTAL_MAX, Rule, ServerKey, ServerSecret, ServerSet, ServerSetError, Signature};
pub use server_record::{Contact, RECORD_BYTES_MAX, ServerRecord};
pub use stamp::{STAMP_BITS_MAX, Stamp};
pub use time::{Epoch, Height, TimeMs};
pub use trust::{Bootstrap, TrustError, TrustFile};
