//! Faults that a program could have. Each must be found: they show that the simulation has teeth.
use std::fmt;
use std::str::FromStr;

/// One thing that all servers do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The disk throws the log away and says that it was written.
    SkipLog,
    /// The disk says that it has synced, and does so seconds later.
    SkipFsync,
    /// Servers believe digests in headers without a look at their own. Needs the feature `mutations`.
    AnyDigest,
    /// One server less than a quorum is enough to decide. Needs the feature `mutations`.
    OffByOne,
    /// A server with an old disk goes on as if it knew all it has said. Needs the feature `mutations`.
    SignAfterRestore,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SkipLog, Self::SkipFsync, Self::AnyDigest, Self::OffByOne, Self::SignAfterRestore];

    /// Whether this build can do it: some change the quorum itself, which only a feature allows.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        matches!(self, Self::SkipLog | Self::SkipFsync) || cfg!(feature = "mutations")
    }

    /// The same, as the quorum's own switch.
    #[cfg(feature = "mutations")]
    pub(crate) const fn of_quorum(self) -> Option<seedbank_quorum::Mutation> {
        match self {
            Self::SkipLog | Self::SkipFsync => None,
            Self::AnyDigest => Some(seedbank_quorum::Mutation::AnyDigest),
            Self::OffByOne => Some(seedbank_quorum::Mutation::OffByOne),
            Self::SignAfterRestore => Some(seedbank_quorum::Mutation::SignAfterRestore),
        }
    }
}

/// `skip-log` and so on.
impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SkipLog => "skip-log",
            Self::SkipFsync => "skip-fsync",
            Self::AnyDigest => "any-digest",
            Self::OffByOne => "off-by-one",
            Self::SignAfterRestore => "sign-after-restore",
        })
    }
}

impl FromStr for Mutation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|mutation| mutation.to_string() == text);
        let names = Self::ALL.map(|mutation| mutation.to_string()).join(", ");
        let known = known.ok_or_else(|| format!("there is no mutation {text:?}; there are {names}"))?;
        let needs = "needs the feature `mutations`: cargo run -p seedbank-sim --features mutations";
        if known.is_possible() { Ok(known) } else { Err(format!("mutation {text} {needs}")) }
    }
}
