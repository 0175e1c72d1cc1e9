//! How servers agree: on the order of payments, and on the checkpoint at the end of each epoch.
//!
//! Pure: inputs in, effects out. Time comes with every call; nothing here opens a socket or a
//! file. The agreement engine underneath (Tendermint as a library) is not visible outside.
//!
//! Start at [`Quorum`]: one server's whole part in the quorum. The caller carries out the
//! [`Effect`]s in order and answers each [`Effect::Store`] with [`Input::Stored`] once the writes
//! are on disk.
//!
//! Invariants: nothing is said before what it rests on is on disk; a key signs at most one
//! checkpoint per epoch; a header is applied only with the proof of a quorum; every queue is
//! bounded.
//!
//! ```
//! use seedbank_quorum::{Chain, Effect, Input, Now, Quorum, Recovered, Settings};
//! use seedbank_types::*;
//! use std::collections::BTreeMap;
//!
//! let secret = ServerSecret::from_bytes(&[1; 32]);
//! let accounts: BTreeMap<AccountId, AccountRecord> = BTreeMap::new();
//! let genesis = Genesis {
//!     created: TimeMs(0), epoch_ms: 1000, full_interval: 1, quorum: Rule::Majority, decimals: 2,
//!     name: "Example".into(), symbol: "EX".into(), fee_account: AccountId([3; 20]),
//!     minimum_fee: Amount(1), opening_minimum: Amount(1), root: Hash::ZERO, count: 1, supply: Amount(0),
//!     servers: ServerSet::new([(secret.public(), 1)]).expect("one server"),
//! };
//! let recovered = Recovered::fresh(Chain::genesis(&genesis));
//! let mut quorum = Quorum::new(Settings::new(&genesis, secret), recovered).expect("a server of the set");
//! // A single server is its own quorum: when the epoch is over it closes it at once.
//! let effects = quorum.handle(Now { wall: TimeMs(1500), steady_ms: 0 }, Input::Tick, &accounts);
//! assert!(effects.iter().any(|effect| matches!(effect, Effect::Store { .. })));
//! ```
#![forbid(unsafe_code)]

mod certified;
mod chain;
mod checkpoints;
mod decision;
mod engine;
mod guard;
mod log;
mod message;
#[cfg(feature = "mutations")]
mod mutation;
mod pool;
mod quorum;
#[cfg(test)]
mod tests;

pub use certified::{CertifiedEpoch, CertifiedState, NotCertified, Succession};
pub use chain::{Chain, HeaderFault, Tip};
pub use decision::Decision;
pub use guard::Guard;
pub use message::{Message, MessageTopic, SignedCheckpoint, Status};
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use pool::CheckedPayment;
pub use quorum::{
    CheckedBatch, Commit, Cut, CutOrder, DecidedBatch, Effect, Event, Input, LastClosed, Now, Queue, Quorum,
    QuorumError, Recovered, Settings, Write,
};
