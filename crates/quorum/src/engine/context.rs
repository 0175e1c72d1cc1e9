//! Our types in the words of the engine: addresses are server keys, values are headers.
use std::fmt;
use std::time::Duration;

use malachitebft_core_types as core;
use malachitebft_core_types::{NilOrVal, Round, SignedMessage, Timeout, TimeoutKind, VoteType};
use seedbank_types::{CommunityId, Hash, Header, ServerKey, ServerSet, Signature};

/// Every so many heights the proposer changes even if all is well.
const ROTATION_HEIGHTS: u64 = 1000;

/// A server, as the engine's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(pub(crate) ServerKey);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short())
    }
}

impl core::Address for Address {}

/// A height, as the engine counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Height(pub(crate) u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// What is agreed on: a header, named by its hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value(pub(crate) Header);

impl core::Value for Value {
    type Id = Hash;

    fn id(&self) -> Hash {
        self.0.hash()
    }
}

/// Headers travel whole; bodies are fetched by their digest. So there are no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoPart;

impl core::ProposalPart<Context> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

/// A proposal of a header in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) pol_round: Round,
    pub(crate) address: Address,
    pub(crate) value: Value,
}

impl core::Proposal<Context> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.address
    }
}

/// A prevote or precommit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vote {
    pub(crate) kind: VoteType,
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) value: NilOrVal<Hash>,
    pub(crate) address: Address,
}

impl core::Vote<Context> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Hash> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Hash> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.address
    }

    fn extension(&self) -> Option<&SignedMessage<Context, ()>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedMessage<Context, ()>> {
        None
    }

    fn extend(self, _extension: SignedMessage<Context, ()>) -> Self {
        self
    }
}

/// A server with its power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    address: Address,
    power: u64,
}

impl core::Validator<Context> for Member {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &ServerKey {
        &self.address.0
    }

    fn voting_power(&self) -> u64 {
        self.power
    }
}

/// The servers in force, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    members: Vec<Member>,
    total: u64,
}

impl From<&ServerSet> for Members {
    fn from(set: &ServerSet) -> Self {
        let members = set.members().iter().map(|(key, power)| Member { address: Address(*key), power: *power });
        Self { members: members.collect(), total: set.total() }
    }
}

impl core::ValidatorSet<Context> for Members {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.total
    }

    fn get_by_address(&self, address: &Address) -> Option<&Member> {
        self.members.iter().find(|member| member.address == *address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }
}

/// Ed25519 under our own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scheme;

impl core::SigningScheme for Scheme {
    type DecodingError = seedbank_types::DecodeError;
    type Signature = Signature;
    type PublicKey = ServerKey;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Signature, Self::DecodingError> {
        seedbank_types::Reader::new("signature", bytes).array("signature").map(Signature)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<ServerKey, Self::DecodingError> {
        seedbank_types::Reader::new("server key", bytes).array("server key").map(ServerKey)
    }

    fn encode_public_key(key: &ServerKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

/// How long the engine waits in each step before it goes on without.
///
/// One failed round is a dead proposer's; more than one say that messages take longer than the steps.
/// Then the steps of the next heights begin as long as those that were needed, and become shorter again
/// after many heights that needed no second round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    step_ms: u64,
    /// The length of the first round is that of this one.
    slack: u64,
    /// Heights in a row that were decided in their first round.
    quick: u32,
}

/// Steps become no longer than those of this round.
const ROUND_LONGEST: u64 = 20;
/// The first round becomes no longer than this one.
const SLACK_MAX: u64 = 8;
/// After so many heights in a row that needed one round, steps become shorter.
const QUICK_HEIGHTS: u32 = 20;

impl Patience {
    pub(crate) const fn new(step_ms: u64) -> Self {
        Self { step_ms, slack: 0, quick: 0 }
    }

    /// A height was decided in this round.
    pub(crate) fn learn(&mut self, round: Round) {
        let round = u64::from(round.as_u32().unwrap_or(0));
        self.quick = if round == 0 { self.quick + 1 } else { 0 };
        if self.quick >= QUICK_HEIGHTS {
            (self.quick, self.slack) = (0, self.slack.saturating_sub(1));
        }
        self.slack = (self.slack + round.saturating_sub(1)).min(SLACK_MAX);
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new(800)
    }
}

impl core::Timeouts<Context> for Patience {
    fn duration_for(&self, timeout: Timeout) -> Duration {
        let round = (u64::from(timeout.round.as_u32().unwrap_or(0)) + self.slack).min(ROUND_LONGEST);
        let ms = match timeout.kind {
            TimeoutKind::Propose => self.step_ms + round * self.step_ms / 2,
            TimeoutKind::Prevote | TimeoutKind::Precommit => self.step_ms / 2 + round * self.step_ms / 2,
            // Twice a step: who missed a vote or the proposal can still vote in time.
            TimeoutKind::Rebroadcast => self.step_ms / 2,
            TimeoutKind::FinalizeHeight(duration) => return duration,
        };
        Duration::from_millis(ms)
    }
}

/// What the engine must know of the world: the community and who proposed last.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) community: CommunityId,
    /// Proposer of the last decided header; `None` before the first.
    pub(crate) last_proposer: Option<ServerKey>,
}

impl Context {
    /// The number of the proposer: (i + round + [height mod 1000 = 0]) mod n, where i is the number
    /// of the last decided header's proposer (or of the next larger key, if that one has left).
    pub(crate) fn proposer_number(&self, keys: &[ServerKey], height: u64, round: u32) -> usize {
        let last = self.last_proposer.map_or(0, |last| keys.partition_point(|key| *key < last) % keys.len());
        let rotation = usize::from(height.is_multiple_of(ROTATION_HEIGHTS));
        let round = usize::try_from(round).expect("usize has at least 32 bits");
        (last + round % keys.len() + rotation) % keys.len()
    }
}

impl core::Context for Context {
    type Address = Address;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Member;
    type ValidatorSet = Members;
    type Timeouts = Patience;
    type Value = Value;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Scheme;

    fn select_proposer<'a>(&self, members: &'a Members, height: Height, round: Round) -> &'a Member {
        let keys: Vec<ServerKey> = members.members.iter().map(|member| member.address.0).collect();
        &members.members[self.proposer_number(&keys, height.0, round.as_u32().unwrap_or(0))]
    }

    fn new_proposal(&self, height: Height, round: Round, value: Value, pol_round: Round, address: Address) -> Proposal {
        Proposal { height, round, pol_round, address, value }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<Hash>, address: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, address }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<Hash>, address: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, address }
    }
}

#[cfg(test)]
mod tests {
    use malachitebft_core_types::Timeouts as _;

    use super::*;

    fn first_step_ms(patience: &Patience) -> u128 {
        patience.duration_for(Timeout::propose(Round::new(0))).as_millis()
    }

    #[test]
    fn a_dead_proposer_makes_no_step_longer() {
        let mut patience = Patience::new(800);
        (0..100).for_each(|_| patience.learn(Round::new(1)));
        assert_eq!(first_step_ms(&patience), 800);
    }

    #[test]
    fn steps_are_as_long_as_was_needed_until_they_are_not_needed() {
        let mut patience = Patience::new(800);
        patience.learn(Round::new(3));
        assert_eq!(first_step_ms(&patience), 1_600);
        (0..QUICK_HEIGHTS).for_each(|_| patience.learn(Round::new(0)));
        assert_eq!(first_step_ms(&patience), 1_200);
        (0..QUICK_HEIGHTS).for_each(|_| patience.learn(Round::new(0)));
        assert_eq!(first_step_ms(&patience), 800);
    }

    #[test]
    fn patience_has_an_end() {
        let mut patience = Patience::new(800);
        (0..100).for_each(|_| patience.learn(Round::new(1_000)));
        assert_eq!(first_step_ms(&patience), 800 + u128::from(SLACK_MAX) * 400);
    }
}
