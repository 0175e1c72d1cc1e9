//! The topics of a community's gossip.
use std::fmt;

use libp2p::gossipsub::IdentTopic;
use seedbank_types::CommunityId;

use crate::message::PAYMENT_BUNDLE_BYTES_MAX;

/// Longest message on [`Topic::Quorum`].
const QUORUM_BYTES_MAX: usize = 256 << 10;
/// Longest message on [`Topic::Checkpoints`] and [`Topic::Evidence`].
const STATEMENT_BYTES_MAX: usize = 4 << 10;

/// What a gossip message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Bundles of payments, from anybody.
    Payments,
    /// Votes and proposals, from current servers only.
    Quorum,
    /// Checkpoint signatures and certificates, from current servers only.
    Checkpoints,
    /// Proofs that a server signed twice, from anybody.
    Evidence,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Payments, Self::Quorum, Self::Checkpoints, Self::Evidence];
    /// The longest message of any topic.
    pub(crate) const BYTES_MAX: usize = QUORUM_BYTES_MAX;

    /// Longest message.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Payments => PAYMENT_BUNDLE_BYTES_MAX,
            Self::Quorum => QUORUM_BYTES_MAX,
            Self::Checkpoints | Self::Evidence => STATEMENT_BYTES_MAX,
        }
    }

    /// Whether only servers may be the authors.
    #[must_use]
    pub const fn is_servers_only(self) -> bool {
        matches!(self, Self::Quorum | Self::Checkpoints)
    }

    /// `seedbank/<community hex>/<topic>`.
    pub(crate) fn on_wire(self, community: &CommunityId) -> IdentTopic {
        IdentTopic::new(format!("seedbank/{community}/{self}"))
    }
}

/// `payments`, `quorum`, `checkpoints` or `evidence`.
impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Payments => "payments",
            Self::Quorum => "quorum",
            Self::Checkpoints => "checkpoints",
            Self::Evidence => "evidence",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_belongs_to_one_community() {
        let expected = format!("seedbank/{}/quorum", "01".repeat(32));
        assert_eq!(Topic::Quorum.on_wire(&CommunityId([1; 32])).hash().as_str(), expected);
    }
}
