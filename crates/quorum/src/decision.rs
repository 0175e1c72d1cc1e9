//! Proof that a header was decided: for servers that missed it, never for clients.
use std::collections::BTreeSet;

use malachitebft_core_types::{NilOrVal, Round, VoteType};
use seedbank_types::{
    DecodeError, Header, NumberedSignature, Reader, Rule, ServerKey, ServerSet, Writer, read_signatures,
    write_signatures,
};

use crate::engine::Commit;
use crate::engine::context::{Address, Height, Vote};
use crate::engine::wire::vote_bytes;

/// The precommits of a quorum for one header in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    round: u32,
    signatures: Vec<NumberedSignature>,
}

impl Decision {
    pub(crate) fn new(commit: &Commit, servers: &ServerSet) -> Self {
        let mut signatures: Vec<NumberedSignature> = commit
            .commit_signatures
            .iter()
            .filter_map(|one| {
                servers.number(&one.address.0).map(|number| NumberedSignature { number, signature: one.signature })
            })
            .collect();
        signatures.sort_by_key(|one| one.number);
        Self { round: commit.round.as_u32().unwrap_or(0), signatures }
    }

    /// `round u32 ‖ n u8 ‖ n x (server number u8 ‖ signature 64)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write_signatures(Writer::default().u32(self.round), &self.signatures).finish()
    }

    /// Reads what [`Decision::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("decision", bytes);
        let decision = Self { round: reader.u32("round")?, signatures: read_signatures(&mut reader)? };
        reader.finish()?;
        Ok(decision)
    }

    /// Whether a quorum of `servers` precommitted to `header`.
    #[must_use]
    pub fn proves(&self, header: &Header, servers: &ServerSet, rule: Rule) -> bool {
        let mut power = 0;
        let mut seen = BTreeSet::new();
        for one in &self.signatures {
            let Some((key, weight)) = servers.member(one.number) else { return false };
            let bytes = vote_bytes(&header.community, &self.vote(header, key));
            if !seen.insert(key) || !key.verifies(&bytes, &one.signature) {
                return false;
            }
            power += weight;
        }
        rule.is_quorum(power, servers.total())
    }

    /// Whose votes it holds.
    pub fn signers<'a>(&'a self, servers: &'a ServerSet) -> impl Iterator<Item = ServerKey> + 'a {
        self.signatures.iter().filter_map(|one| servers.member(one.number).map(|(key, _)| key))
    }

    fn vote(&self, header: &Header, key: ServerKey) -> Vote {
        Vote {
            kind: VoteType::Precommit,
            height: Height(header.height.0),
            round: Round::new(self.round),
            value: NilOrVal::Val(header.hash()),
            address: Address(key),
        }
    }
}
