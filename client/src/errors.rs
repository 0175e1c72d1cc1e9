//! What goes wrong, as people and scripts are told: an exit code, words, and what to do next.
use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;

use seedbank_types::{Amount, Genesis, Refusal};

use crate::report::money;

/// The exit codes, each for one kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Unexpected = 1,
    Usage = 2,
    NotFound = 3,
    Stale = 4,
    Unverified = 5,
    NoRecord = 6,
    NoPeers = 7,
    Refused = 8,
    Disk = 9,
}

impl Exit {
    const fn code(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Stale => "stale",
            Self::Unverified => "verification_failed",
            Self::NoRecord => "no_record",
            Self::NoPeers => "no_peers",
            Self::Refused => "payment_refused",
            Self::Disk => "disk",
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// The stable name in JSON.
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    /// What the person can do about it.
    pub(crate) next: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Display, next: impl Display) -> Self {
        Self { exit, code: exit.code().into(), message: message.to_string(), next: next.to_string() }
    }

    /// Wrong use: the person gave something that cannot be.
    pub(crate) fn usage(message: impl Display, next: impl Display) -> Self {
        Self::new(Exit::Usage, message, next)
    }

    /// A file that could not be read or written.
    pub(crate) fn disk(what: &str, path: &Path, error: impl Display) -> Self {
        let message = format!("cannot {what} {}: {error}", path.display());
        Self::new(Exit::Disk, message, "Check that the disk has room and that you may write there.")
    }

    /// A file of ours that is not what was written; it can be had again.
    pub(crate) fn damaged(path: &Path, why: impl Display) -> Self {
        let message = format!("{} is damaged ({why})", path.display());
        let next = "Remove it and run `seedbank sync` again, with --trust FILE if it asks for it.";
        Self { code: "damaged".into(), ..Self::new(Exit::Unverified, message, next) }
    }

    /// Bytes that are not what the servers signed for.
    pub(crate) fn unverified(message: impl Display, next: impl Display) -> Self {
        Self::new(Exit::Unverified, message, next)
    }

    /// A fault of this program or of the system.
    pub(crate) fn unexpected(message: impl Display) -> Self {
        Self::new(Exit::Unexpected, message, "Run again with SEEDBANK_LOG=debug to see more.")
    }

    /// The servers' own refusal of a payment.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        let message = format!("the payment was refused: {refusal}");
        Self { code: refusal.code().into(), ..Self::new(Exit::Refused, message, refusal.next()) }
    }

    /// Like [`Failure::refused`], with amounts as people of the community write them.
    pub(crate) fn refused_in(refusal: Refusal, genesis: &Genesis) -> Self {
        let money = |amount| money(Amount(amount), Some(genesis));
        let why = match refusal {
            Refusal::FeeTooLow { minimum } => format!("the fee is below the minimum of {}", money(minimum)),
            Refusal::InsufficientBalance { balance } => {
                format!("the account has {} left to pay with, less than amount and fee together", money(balance))
            }
            Refusal::BelowOpeningMinimum { minimum } => {
                format!("the payee has no account yet: the first payment must move at least {}", money(minimum))
            }
            refusal => refusal.to_string(),
        };
        Self { message: format!("the payment was refused: {why}"), ..Self::refused(refusal) }
    }

    /// Whether the servers will never accept the payment, as far as they know now.
    pub(crate) fn is_refused_for_good(&self) -> bool {
        let passing =
            [Refusal::Busy, Refusal::NoQuorum, Refusal::TooManyWaiting { limit: 0 }, Refusal::StampTooWeak { bits: 0 }];
        let passing = passing.map(|one| one.code());
        self.exit == Exit::Refused && !passing.contains(&&*self.code)
    }

    pub(crate) const fn exit_number(&self) -> u8 {
        self.exit as u8
    }

    /// `{"code", "message", "next"}`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "code": self.code, "message": self.message, "next": self.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_speaks_in_the_communitys_money() {
        let genesis = crate::samples::genesis(seedbank_types::Rule::Majority);
        let failure = Failure::refused_in(Refusal::InsufficientBalance { balance: 1234 }, &genesis);
        assert!(failure.message.contains("12.34 VIL"), "{}", failure.message);
        assert_eq!(failure.code, "insufficient_balance");
    }

    #[test]
    fn only_a_refusal_that_may_not_pass_is_for_good() {
        assert!(Failure::refused(Refusal::ZeroAmount).is_refused_for_good());
        assert!(!Failure::refused(Refusal::Busy).is_refused_for_good());
        assert!(!Failure::refused(Refusal::NoQuorum).is_refused_for_good());
        assert!(!Failure::refused(Refusal::TooManyWaiting { limit: 1_000 }).is_refused_for_good());
        assert!(!Failure::usage("", "").is_refused_for_good());
    }
}
