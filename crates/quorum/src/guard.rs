//! Rules that keep an honest server from being framed by its own past.
//!
//! A key may have spoken before: on a machine that was lost, or after the backup was made that
//! this log was restored from. So a server first hears from a quorum how high its key has been
//! heard, and speaks only where it cannot have spoken before.
use std::collections::BTreeMap;

use malachitebft_core_types::VoteType;
use seedbank_types::{CommunityId, DecodeError, Epoch, Height, Reader, Rule, ServerKey, ServerSet, Writer};

use crate::engine::SignedVote;
use crate::engine::wire::vote_bytes;
use crate::message::Status;

/// Heights and epochs below which this server says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guard {
    /// The first height at which it votes.
    pub vote_from: Height,
    /// The first epoch whose checkpoint it signs, unless all servers consent to an earlier one.
    pub sign_from: Epoch,
    /// The last epoch that the key may have signed with a database that was not whole: with nobody's
    /// consent it signs this or an earlier one again. [`Guard::UNKNOWN`] if nobody knows.
    pub signed_to: Epoch,
    /// Whether all servers must be heard before it speaks, not only a quorum, and each believed.
    pub hears_all: bool,
}

impl Guard {
    /// Any epoch may have been signed.
    pub const UNKNOWN: Epoch = Epoch(u64::MAX);

    /// What is left of the limits when operators take it upon them that no disk knows more than those
    /// at hand, which are all heard then: epochs that the key is known to have signed are not signed again.
    #[must_use]
    pub const fn lifted(self) -> Self {
        let signed_to = if self.signed_to.0 == Self::UNKNOWN.0 { Epoch(0) } else { self.signed_to };
        Self { vote_from: Height(0), sign_from: signed_to.next(), signed_to, hears_all: true }
    }

    /// `vote from u64 ‖ sign from u64 ‖ signed to u64 ‖ hears all u8`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::with_capacity(25).u64(self.vote_from.0).u64(self.sign_from.0);
        writer.u64(self.signed_to.0).u8(u8::from(self.hears_all)).finish()
    }

    /// Reads what [`Guard::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("guard", bytes);
        let guard = Self {
            vote_from: Height(reader.u64("vote from")?),
            sign_from: Epoch(reader.u64("sign from")?),
            signed_to: Epoch(reader.u64("signed to")?),
            hears_all: match reader.u8("hears all")? {
                0 => false,
                1 => true,
                other => return Err(reader.error("hears all", format!("flag is {other}"))),
            },
        };
        reader.finish()?;
        Ok(guard)
    }

    /// The stricter of two.
    pub(crate) fn raised(self, other: Self) -> Self {
        Self {
            vote_from: self.vote_from.max(other.vote_from),
            sign_from: self.sign_from.max(other.sign_from),
            signed_to: self.signed_to.max(other.signed_to),
            hears_all: self.hears_all || other.hears_all,
        }
    }
}

/// How far a key has got in the agreement when it votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Turn {
    pub(crate) height: Height,
    round: u32,
    /// A prevote comes before a precommit.
    is_precommit: bool,
}

impl Turn {
    /// The turn of a vote.
    pub(crate) fn of(vote: &SignedVote) -> Self {
        let vote = &vote.message;
        let is_precommit = vote.kind == VoteType::Precommit;
        Self { height: Height(vote.height.0), round: vote.round.as_u32().unwrap_or(0), is_precommit }
    }
}

/// Hears the others out before this server speaks for the first time after a start.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    heard: BTreeMap<ServerKey, Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    height: Height,
    epoch: Epoch,
    /// The turn of the last vote of this server's key that it showed.
    voted: Turn,
}

/// What a quorum said about this server's key and about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The turn of the last vote of this server's key that was heard.
    pub(crate) voted: Turn,
    /// The highest decided height.
    pub(crate) height: Height,
    /// The highest certified epoch.
    pub(crate) epoch: Epoch,
}

impl Hearing {
    /// Hears a status. A vote of the own key counts only with its signature.
    pub(crate) fn hear(&mut self, from: ServerKey, status: &Status, community: &CommunityId, own: &ServerKey) {
        let votes = status.votes.iter().filter(|vote| vote.message.address.0 == *own);
        let last = votes.max_by_key(|vote| Turn::of(vote));
        let voted = last.filter(|vote| is_genuine(vote, community)).map(Turn::of).unwrap_or_default();
        self.heard.insert(from, Heard { height: status.height, epoch: status.epoch, voted });
    }

    /// The verdict, once servers that are a quorum together with this one have spoken; or `all`
    /// servers, of which then each is believed.
    pub(crate) fn verdict(&self, own: &ServerKey, servers: &ServerSet, rule: Rule, all: bool) -> Option<Verdict> {
        let others = || {
            let heard = self.heard.iter().filter(|(key, _)| *key != own);
            heard.filter_map(|(key, heard)| Some((servers.member(servers.number(key)?)?.1, heard)))
        };
        let own_power = servers.number(own).and_then(|number| servers.member(number)).map_or(0, |(_, power)| power);
        let power = others().map(|(power, _)| power).sum::<u64>();
        if !rule.is_quorum(own_power + power, servers.total()) || all && own_power + power < servers.total() {
            return None;
        }
        // A majority has no liars.
        let rule = if all { Rule::Majority } else { rule };
        Some(Verdict {
            voted: others().map(|(_, heard)| heard.voted).max().unwrap_or_default(),
            height: believed(others().map(|(power, heard)| (heard.height, power)), servers, rule),
            epoch: believed(others().map(|(power, heard)| (heard.epoch, power)), servers, rule),
        })
    }
}

/// Whether a vote is signed by the key that it names.
pub(crate) fn is_genuine(vote: &SignedVote, community: &CommunityId) -> bool {
    vote.message.address.0.verifies(&vote_bytes(community, &vote.message), &vote.signature)
}

/// The highest of what servers claim, as far as it is not only claimed by those who may lie: with
/// two thirds for a quorum that is less than a third of the power, with a majority nobody. If all
/// who claim anything may lie, nothing is believed.
pub(crate) fn believed<T: Ord + Default + Copy>(
    claims: impl Iterator<Item = (T, u64)>,
    servers: &ServerSet,
    rule: Rule,
) -> T {
    let mut claims: Vec<(T, u64)> = claims.collect();
    claims.sort_unstable_by(|one, other| other.cmp(one));
    let mut power = 0;
    for (claim, more) in &claims {
        power += more;
        let is_honest = match rule {
            Rule::Majority => true,
            Rule::TwoThirds => u128::from(power) * 3 >= u128::from(servers.total()),
        };
        if is_honest {
            return *claim;
        }
    }
    T::default()
}

#[cfg(test)]
mod tests {
    use seedbank_types::ServerSecret;

    use super::*;

    /// Seed 792 of the simulation: one liar was enough to be heard, and silenced a server for good.
    #[test]
    fn nothing_is_believed_that_only_possible_liars_claim() {
        let servers = ServerSet::new([(1, 3), (2, 1), (3, 1), (4, 2)].map(|(n, power)| {
            let key = ServerSecret::from_bytes(&[n; 32]).public();
            (key, power)
        }));
        let servers = servers.expect("distinct keys");
        let believes = |claims: &[(u64, u64)], rule| believed(claims.iter().copied(), &servers, rule);
        assert_eq!(believes(&[(1_000, 2)], Rule::TwoThirds), 0);
        assert_eq!(believes(&[(1_000, 2), (13, 1)], Rule::TwoThirds), 13);
        assert_eq!(believes(&[(13, 1)], Rule::Majority), 13);
    }
}
