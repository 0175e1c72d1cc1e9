//! The agreement engine (Tendermint as a pure library) behind a seam of our own.
//!
//! One input in, a list of [`Out`] back; signing and checking of signatures happens in between.
mod certificates;
pub(crate) mod context;
pub(crate) mod wire;

use malachitebft_core_consensus::{
    Effect, Error, Input, LivenessMsg, LocallyProposedValue, Params, ProposedValue, Resumable, Resume,
    SignedConsensusMsg, State, ThresholdParams, process,
};
use malachitebft_core_types::{
    CommitCertificate, PolkaCertificate, Round, RoundCertificate, SignedMessage, ThresholdParam, Timeout, Timeouts,
    Validity, ValueOrigin, ValuePayload, VoteExtensionPolicy,
};
use seedbank_types::{CommunityId, Hash, Header, Height, Rule, ServerKey, ServerSecret, ServerSet};

use context::{Address, Context, Members, Patience, Proposal, Value, Vote};

pub(crate) type EngineInput = Input<Context>;
pub(crate) type SignedVote = SignedMessage<Context, Vote>;
pub(crate) type SignedProposal = SignedMessage<Context, Proposal>;
pub(crate) type Polka = PolkaCertificate<Context>;
pub(crate) type Rounds = RoundCertificate<Context>;
pub(crate) type Commit = CommitCertificate<Context>;

/// Messages kept for a height before it starts. We hold such messages ourselves.
const QUEUE_HEIGHTS_MAX: usize = 2;
const QUEUE_PER_HEIGHT_MAX: usize = 256;

/// What the engine wants done, in order.
#[derive(Debug)]
pub(crate) enum Out {
    /// Write to the log before anything after it is said.
    Log(EngineInput),
    /// Say to the other servers.
    Vote(SignedVote),
    /// Say to the other servers.
    Proposal(SignedProposal),
    /// Say to the other servers.
    Polka(Polka),
    /// Say to the other servers.
    Rounds(Rounds),
    /// The votes are being said again: whoever missed the proposal needs it too.
    SayProposalAgain,
    /// Wake the engine with this timeout after so many milliseconds.
    Wake(Timeout, u64),
    /// Forget this timeout.
    Forget(Timeout),
    /// Forget all timeouts.
    ForgetAll,
    /// This server leads the round and should propose.
    WantValue(u32),
    /// A round has begun.
    Round(u32),
    /// A header is decided.
    Decided(Commit),
    /// The engine contradicts itself or its log: to go on could mean to sign twice.
    Broken(String),
}

/// The engine at one height.
pub(crate) struct Engine {
    state: State<Context>,
    secret: ServerSecret,
    patience: Patience,
    started: Option<Height>,
}

impl Engine {
    pub(crate) fn new(
        community: CommunityId,
        secret: ServerSecret,
        servers: &ServerSet,
        rule: Rule,
        step_ms: u64,
        next: Height,
    ) -> Self {
        Self::with_thresholds(community, secret, servers, thresholds(rule), step_ms, next)
    }

    /// An engine that decides with one server less than a quorum.
    #[cfg(feature = "mutations")]
    pub(crate) fn too_easily_satisfied(
        community: CommunityId,
        secret: ServerSecret,
        servers: &ServerSet,
        rule: Rule,
        step_ms: u64,
        next: Height,
    ) -> Self {
        let total = servers.total();
        let quorum = (1..=total).find(|power| rule.is_quorum(*power, total)).unwrap_or(total);
        // Met by all powers above this one.
        let above = quorum.saturating_sub(2);
        let thresholds = ThresholdParams { quorum: ThresholdParam::new(above, total), ..thresholds(rule) };
        Self::with_thresholds(community, secret, servers, thresholds, step_ms, next)
    }

    fn with_thresholds(
        community: CommunityId,
        secret: ServerSecret,
        servers: &ServerSet,
        threshold_params: ThresholdParams,
        step_ms: u64,
        next: Height,
    ) -> Self {
        let context = Context { community, last_proposer: None };
        let params = Params {
            address: Address(secret.public()),
            threshold_params,
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let height = context::Height(next.0);
        let members = Members::from(servers);
        let state = State::new(context, height, members, params, QUEUE_HEIGHTS_MAX, QUEUE_PER_HEIGHT_MAX);
        Self { state, secret, patience: Patience::new(step_ms), started: None }
    }

    /// The height that was started last, until its batch is on disk. A height is never begun twice:
    /// the votes of its first life would be forgotten.
    pub(crate) const fn started(&self) -> Option<Height> {
        self.started
    }

    /// The present round.
    pub(crate) fn round(&self) -> u32 {
        self.state.round().as_u32().unwrap_or(0)
    }

    /// The server that leads `round` of `height`, given who proposed the last decided header.
    pub(crate) fn leader(&self, servers: &ServerSet, last: Option<ServerKey>, height: Height, round: u32) -> ServerKey {
        let context = Context { community: self.state.ctx.community, last_proposer: last };
        let keys: Vec<ServerKey> = servers.keys().collect();
        keys[context.proposer_number(&keys, height.0, round)]
    }

    /// Whether a value of this server for `round` is still of use.
    pub(crate) fn may_propose(&self, round: u32) -> bool {
        self.round() == round && self.state.driver.step_is_propose()
    }

    /// Whether a quorum is known to have prevoted for a header in some round of this height.
    pub(crate) fn has_polka(&self, id: &Hash) -> bool {
        let height = self.state.height();
        self.state.driver.polka_certificates().iter().any(|polka| polka.height == height && polka.value_id == *id)
    }

    /// Whether the engine may propose a header again or is bound to it.
    pub(crate) fn holds(&self, id: &Hash) -> bool {
        let round = self.state.driver.round_state();
        [&round.valid, &round.locked].into_iter().flatten().any(|held| held.value.0.hash() == *id)
    }

    /// Begins a height. With `may_vote` false it only listens.
    pub(crate) fn start(
        &mut self,
        height: Height,
        servers: &ServerSet,
        last_proposer: Option<ServerKey>,
        may_vote: bool,
    ) -> Vec<Out> {
        self.state.ctx.last_proposer = last_proposer;
        self.state.params.enabled = may_vote;
        self.started = Some(height);
        let policy = VoteExtensionPolicy::Disabled;
        self.input(Input::StartHeight(context::Height(height.0), Members::from(servers), false, None, policy))
    }

    /// Only listens for the rest of the height.
    pub(crate) const fn silence(&mut self) {
        self.state.params.enabled = false;
    }

    /// Feeds the logged inputs of the started height again; own messages are taken from the log.
    pub(crate) fn replay(&mut self, entries: Vec<EngineInput>) -> Vec<Out> {
        self.state.index_wal_entries(entries.iter());
        let outs = entries.into_iter().flat_map(|entry| self.input(entry)).collect();
        self.state.reset_entries_index();
        outs
    }

    /// Ends the height without the engine's own decision, because a decided batch was fetched.
    pub(crate) const fn abandon(&mut self) {
        self.started = None;
    }

    pub(crate) fn vote(&mut self, vote: SignedVote) -> Vec<Out> {
        self.input(Input::Vote(vote))
    }

    pub(crate) fn proposal(&mut self, proposal: SignedProposal) -> Vec<Out> {
        self.input(Input::Proposal(proposal))
    }

    pub(crate) fn polka(&mut self, certificate: Polka) -> Vec<Out> {
        self.input(Input::PolkaCertificate(certificate))
    }

    pub(crate) fn rounds(&mut self, certificate: Rounds) -> Vec<Out> {
        self.input(Input::RoundCertificate(certificate))
    }

    pub(crate) fn timeout(&mut self, timeout: Timeout) -> Vec<Out> {
        self.input(Input::TimeoutElapsed(timeout))
    }

    /// The verdict on a proposed header and its body.
    pub(crate) fn verdict(&mut self, proposal: &Proposal, valid: bool) -> Vec<Out> {
        let value = ProposedValue {
            height: proposal.height,
            round: proposal.round,
            valid_round: proposal.pol_round,
            proposer: proposal.address,
            value: proposal.value.clone(),
            validity: Validity::from_bool(valid),
        };
        self.input(Input::ProposedValue(value, ValueOrigin::Consensus))
    }

    /// Proposes a header in a round that this server leads.
    pub(crate) fn propose(&mut self, header: Header, round: u32) -> Vec<Out> {
        let height = context::Height(header.height.0);
        self.input(Input::Propose(LocallyProposedValue::new(height, Round::new(round), Value(header))))
    }

    fn input(&mut self, input: EngineInput) -> Vec<Out> {
        let mut desk = Desk {
            secret: &self.secret,
            community: self.state.ctx.community,
            patience: self.patience,
            outs: Vec::new(),
        };
        let metrics = ();
        let result: Result<(), Error<Context>> =
            process!(input: input, state: &mut self.state, metrics: &metrics, with: effect => desk.answer(effect));
        let mut outs = desk.outs;
        for out in &outs {
            if let Out::Decided(commit) = out {
                self.patience.learn(commit.round);
            }
        }
        match result {
            Ok(()) => {}
            // A certificate that is not at hand only means that something is not said now.
            Err(error @ (Error::MissingPolkaCertificate(..) | Error::InvalidCommitCertificate(..))) => {
                tracing::warn!(%error, "the agreement engine refused an input");
            }
            // What peers send is checked before it gets this far, so all else is a fault of this
            // server: a replay that differs from the log, a log that cannot be, a wrong answer.
            Err(error) => outs.push(Out::Broken(error.to_string())),
        }
        outs
    }
}

/// Thresholds in the engine's words; [`Rule::is_quorum`] says why these.
fn thresholds(rule: Rule) -> ThresholdParams {
    match rule {
        Rule::Majority => ThresholdParams { quorum: ThresholdParam::new(1, 2), honest: ThresholdParam::new(0, 1) },
        Rule::TwoThirds => ThresholdParams { quorum: ThresholdParam::new(2, 3), honest: ThresholdParam::new(1, 3) },
    }
}

/// Answers the engine's effects: signs, checks, and lays the rest out in order.
struct Desk<'a> {
    secret: &'a ServerSecret,
    community: CommunityId,
    patience: Patience,
    outs: Vec<Out>,
}

impl Desk<'_> {
    #[expect(clippy::result_large_err, reason = "the engine's own error type")]
    fn answer(&mut self, effect: Effect<Context>) -> Result<Resume<Context>, Error<Context>> {
        let community = self.community;
        Ok(match effect {
            Effect::CancelAllTimeouts(r) => self.then(Out::ForgetAll, r),
            Effect::CancelTimeout(timeout, r) => self.then(Out::Forget(timeout), r),
            Effect::ScheduleTimeout(timeout, r) => {
                let after = self.patience.duration_for(timeout).as_millis();
                self.then(Out::Wake(timeout, u64::try_from(after).unwrap_or(u64::MAX)), r)
            }
            Effect::StartRound(_, round, _, _, r) => self.then(Out::Round(round.as_u32().unwrap_or(0)), r),
            Effect::PublishConsensusMsg(SignedConsensusMsg::Vote(vote), r) => self.then(Out::Vote(vote), r),
            Effect::PublishConsensusMsg(SignedConsensusMsg::Proposal(p), r) => self.then(Out::Proposal(p), r),
            Effect::PublishLivenessMsg(message, r) => self.then(liveness(message), r),
            Effect::RepublishVote(vote, r) => {
                self.outs.push(Out::SayProposalAgain);
                self.then(Out::Vote(vote), r)
            }
            Effect::RepublishRoundCertificate(certificate, r) => self.then(Out::Rounds(certificate), r),
            Effect::GetValue(_, round, _, r) => self.then(Out::WantValue(round.as_u32().unwrap_or(0)), r),
            Effect::RestreamProposal(.., r) => self.then(Out::SayProposalAgain, r),
            Effect::Decide(certificate, _, r) => self.then(Out::Decided(certificate), r),
            Effect::WalAppend(_, input, r) => self.then(Out::Log(input), r),
            Effect::SignVote(vote, r) => {
                let signature = self.secret.sign(&wire::vote_bytes(&community, &vote));
                r.resume_with(SignedMessage::new(vote, signature))
            }
            Effect::SignProposal(proposal, r) => {
                let signature = self.secret.sign(&wire::proposal_bytes(&community, &proposal));
                r.resume_with(SignedMessage::new(proposal, signature))
            }
            Effect::VerifySignature(message, key, r) => {
                r.resume_with(key.verifies(&wire::message_bytes(&community, &message.message), &message.signature))
            }
            Effect::VerifyCommitCertificate(certificate, members, thresholds, r) => {
                r.resume_with(certificates::check_commit(&community, &certificate, &members, thresholds.quorum))
            }
            Effect::VerifyPolkaCertificate(certificate, members, thresholds, r) => {
                r.resume_with(certificates::check_polka(&community, &certificate, &members, thresholds.quorum))
            }
            Effect::VerifyRoundCertificate(certificate, members, thresholds, r) => {
                r.resume_with(certificates::check_rounds(&community, &certificate, &members, thresholds))
            }
            // Batches that were missed are checked and applied outside the engine.
            Effect::CertVerifiedSyncValue(.., r) => r.resume_with(()),
            Effect::CertRejectedSyncValue(.., r) => r.resume_with(()),
            Effect::VerifyExtendedCommitCertificate(.., r) => r.resume_with(Ok(())),
            // Votes carry no extensions here.
            Effect::ExtendVote(.., r) => r.resume_with(None),
            Effect::VerifyVoteExtension(.., r) => r.resume_with(Ok(())),
            Effect::Finalize(.., r) => r.resume_with(()),
        })
    }

    fn then<R: Resumable<Context, Value = ()>>(&mut self, out: Out, resume: R) -> Resume<Context> {
        self.outs.push(out);
        resume.resume_with(())
    }
}

fn liveness(message: LivenessMsg<Context>) -> Out {
    match message {
        LivenessMsg::Vote(vote) => Out::Vote(vote),
        LivenessMsg::PolkaCertificate(certificate) => Out::Polka(certificate),
        LivenessMsg::SkipRoundCertificate(certificate) => Out::Rounds(certificate),
    }
}
