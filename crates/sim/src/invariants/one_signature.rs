//! No honest key contradicts itself, whatever happened to its disk: one vote a height, round and
//! kind, one proposal a height and round, one checkpoint an epoch. So nobody can frame it.
use std::collections::BTreeMap;

use seedbank_types::{Hash, ServerKey};

use crate::wire::Spoken;

/// All that honest servers ever signed and sent, by what it is about.
#[derive(Debug, Default)]
pub struct Signatures {
    said: BTreeMap<(ServerKey, Subject), Option<Hash>>,
}

/// What a signature is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Vote { kind: u8, height: u64, round: u32 },
    Proposal { height: u64, round: u32 },
    Checkpoint { epoch: u64 },
}

impl Signatures {
    /// Panics if the message contradicts an earlier one of the same key, or is signed by another.
    pub(super) fn hear(&mut self, speaker: ServerKey, spoken: Spoken) {
        let (key, subject, value) = match spoken {
            Spoken::Vote(vote) => {
                (vote.key, Subject::Vote { kind: vote.kind, height: vote.height, round: vote.round }, vote.value)
            }
            Spoken::Proposal(said) => {
                (said.key, Subject::Proposal { height: said.height, round: said.round }, Some(said.header.hash()))
            }
            Spoken::Checkpoint { key, checkpoint } => {
                (key, Subject::Checkpoint { epoch: checkpoint.epoch.0 }, Some(checkpoint.hash()))
            }
            Spoken::Status { .. } | Spoken::Polka { .. } | Spoken::Uncertified { .. } | Spoken::Other => return,
        };
        if key != speaker {
            return;
        }
        let before = *self.said.entry((key, subject)).or_insert(value);
        assert_eq!(before, value, "server {} contradicts itself about {subject:?}", key.short());
    }

    /// The operator of a key has taken it upon him that it may vote otherwise than before. What it
    /// signs for clients must not contradict itself even so.
    pub(crate) fn forget_votes(&mut self, key: ServerKey) {
        self.said.retain(|(signer, subject), _| *signer != key || matches!(subject, Subject::Checkpoint { .. }));
    }

    /// How many different things were signed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.said.len()
    }
}
