//! Headers proposed at the present height: their bodies, and the verdict on each.
use std::cell::Cell;

use seedbank_ledger::View;
use seedbank_types::{Body, Hash, Header, ServerKey};

use super::{CANDIDATES_MAX, CLOCK_TOLERANCE_MS, Effect, Event, Quorum};
use crate::CheckedPayment;
use crate::chain::{Accepted, HeaderFault};
use crate::engine::context::Proposal;
use crate::engine::{SignedProposal, wire};

/// Different headers of one round that are looked at: two are enough to see that the leader lies.
const CANDIDATES_PER_ROUND_MAX: usize = 2;
/// Proposals of rounds further ahead are not looked at; the engine has the same limit.
const ROUNDS_AHEAD_MAX: u32 = 10;

/// A body that has not come after so long is asked of another server.
const BODY_MS: u64 = 250;

/// A header proposed at the present height.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) header: Header,
    /// The proposal that brought it first.
    pub(super) proposal: Proposal,
    pub(super) body: Option<Vec<u8>>,
    pub(super) accepted: Option<Accepted>,
    pub(super) standing: Standing,
    /// It is proposed again, resting on a polka: the engine hears so once it has been judged without
    /// regard to its time. Before, it would refuse it, for this round at least.
    again: Option<SignedProposal>,
}

/// How far the judgement of a candidate has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its body is awaited.
    Awaited,
    /// Only if a quorum prevoted it in an earlier round it can matter, and no proof of that is here yet.
    Unproven,
    /// It was refused for its time alone, or for what was said with it: if a quorum prevotes it
    /// nevertheless, it is judged again.
    Untimely,
    /// The verdict has been given for good.
    Judged,
}

/// What can be said of a proposal before its body is there.
enum FirstLook {
    Sound,
    Unproven,
    Untimely { by_ms: u64 },
    Misplaced,
    Wrong(HeaderFault),
}

impl Quorum {
    pub(super) fn on_proposal(&mut self, signed: SignedProposal, from: ServerKey) {
        let proposal = signed.message.clone();
        let round = proposal.round.as_u32().unwrap_or(0);
        let far = round > self.engine.round().saturating_add(ROUNDS_AHEAD_MAX);
        // Nobody but the round's leader may fill the list of candidates.
        if far || proposal.address.0 != self.leader(round) {
            return;
        }
        let bytes = wire::proposal_bytes(&self.settings.community, &proposal);
        if !proposal.address.0.verifies(&bytes, &signed.signature) {
            return;
        }
        let id = proposal.value.0.hash();
        if let Some(candidate) = self.candidates.get_mut(&id) {
            if candidate.standing == Standing::Untimely && proposal.pol_round.is_defined() {
                candidate.again = Some(signed);
                return self.reconsider();
            }
            let outs = self.engine.proposal(signed);
            return self.carry_out(outs);
        }
        let of_round = self.candidates.values().filter(|candidate| candidate.proposal.round == proposal.round);
        if of_round.count() >= CANDIDATES_PER_ROUND_MAX {
            return;
        }
        let outs = self.engine.proposal(signed);
        self.carry_out(outs);
        if self.committing.is_none() {
            self.look_at(id, proposal, from);
        }
    }

    fn look_at(&mut self, id: Hash, proposal: Proposal, from: ServerKey) {
        let header = proposal.value.0.clone();
        let digest = header.body_digest;
        let (standing, look) = match self.first_look(&proposal) {
            FirstLook::Sound => (Standing::Awaited, None),
            FirstLook::Unproven => (Standing::Unproven, None),
            FirstLook::Untimely { by_ms } => {
                (Standing::Untimely, Some(Event::ClocksDiffer { proposer: header.proposer, by_ms }))
            }
            FirstLook::Misplaced => (Standing::Untimely, None),
            FirstLook::Wrong(fault) => (Standing::Judged, Some(refused(&proposal, fault))),
        };
        look.into_iter().for_each(|event| self.say(Effect::Event(event)));
        let candidate = Candidate { header, proposal, body: None, accepted: None, standing, again: None };
        self.add_candidate(id, candidate);
        if standing != Standing::Judged {
            self.say(Effect::FetchBody { digest, from });
        }
        if matches!(standing, Standing::Judged | Standing::Untimely) {
            self.give_verdict(id, false);
        }
        self.reconsider();
    }

    fn first_look(&self, proposal: &Proposal) -> FirstLook {
        let header = &proposal.value.0;
        if let Err(fault) = self.chain.check_header(header) {
            return FirstLook::Wrong(fault);
        }
        let round = proposal.round.as_u32().unwrap_or(0);
        let rounds = match proposal.pol_round.as_u32() {
            None => round..=round,
            // The leaders take turns, so after as many rounds as there are servers all have led.
            Some(polka) => 0..=polka.min(u32::from(u8::MAX)),
        };
        if !rounds.into_iter().any(|round| self.leader(round) == header.proposer) {
            // A liar may say of a good header that it was voted for in a round of somebody else.
            return FirstLook::Misplaced;
        }
        let by_ms = header.time.0.abs_diff(self.now.wall.0);
        match proposal.pol_round.as_u32() {
            // That others have voted for it must not be believed without proof: a liar could smuggle
            // in a time that nobody has judged.
            Some(_) => FirstLook::Unproven,
            None if by_ms <= CLOCK_TOLERANCE_MS => FirstLook::Sound,
            // Its round is over: what the clock shows now says nothing about when it was proposed, and
            // this server does not vote for it there any more.
            None if round < self.engine.round() => FirstLook::Unproven,
            None => FirstLook::Untimely { by_ms },
        }
    }

    fn leader(&self, round: u32) -> ServerKey {
        self.engine.leader(&self.chain.state.servers, self.chain.tip.proposer, self.chain.next_height(), round)
    }

    /// Adds a candidate; if there are too many, the one of the lowest round leaves that the engine
    /// holds on to least. Should that one be decided after all, the batch is fetched.
    pub(super) fn add_candidate(&mut self, id: Hash, candidate: Candidate) {
        if self.candidates.len() >= CANDIDATES_MAX {
            let leaves = self.candidates.iter().filter(|(id, _)| !self.engine.holds(id));
            let leaves = leaves.min_by_key(|(_, candidate)| candidate.proposal.round).map(|(id, _)| *id);
            leaves.and_then(|id| self.candidates.remove(&id));
        }
        self.candidates.insert(id, candidate);
    }

    pub(super) fn on_body<V: View>(&mut self, body: &[u8], checked: &[CheckedPayment], accounts: &V) {
        let digest = Body::digest(body);
        let waits = |candidate: &&Candidate| candidate.is_waiting() && candidate.header.body_digest == digest;
        let waiting: Vec<Hash> =
            self.candidates.values().filter(waits).map(|candidate| candidate.header.hash()).collect();
        if waiting.is_empty() || self.committing.is_some() {
            return;
        }
        self.offer(body);
        for id in waiting {
            self.judge(id, body, checked, accounts);
        }
        self.reconsider();
    }

    /// Checks a candidate with its body. The verdict is given now, unless it depends on what
    /// others do.
    fn judge<V: View>(&mut self, id: Hash, body: &[u8], checked: &[CheckedPayment], accounts: &V) {
        let Some(mut candidate) = self.candidates.remove(&id) else { return };
        // They stand in the order of the body, in which they are asked for.
        let next = Cell::new(0);
        let is_checked = |payment: &_| {
            let is_next = checked.get(next.get()).is_some_and(|one| one.signed() == payment);
            next.set(next.get() + usize::from(is_next));
            is_next || self.pool.is_checked(payment)
        };
        match self.chain.accept(accounts, &candidate.header, body, is_checked) {
            Ok(accepted) => candidate.accepted = Some(accepted),
            Err(fault) => self.say(Effect::Event(refused(&candidate.proposal, fault))),
        }
        candidate.body = Some(body.to_vec());
        let (standing, is_good) = (candidate.standing, candidate.accepted.is_some());
        if standing == Standing::Awaited || !is_good {
            candidate.standing = Standing::Judged;
        }
        self.candidates.insert(id, candidate);
        if standing == Standing::Awaited || (standing == Standing::Unproven && !is_good) {
            self.give_verdict(id, is_good);
        }
    }

    /// A candidate for which a quorum has prevoted is judged without regard to its time.
    pub(super) fn reconsider(&mut self) {
        let open = |candidate: &&Candidate| matches!(candidate.standing, Standing::Unproven | Standing::Untimely);
        let open: Vec<Hash> = self.candidates.values().filter(open).map(|candidate| candidate.header.hash()).collect();
        for id in open.into_iter().filter(|id| self.engine.has_polka(id)).collect::<Vec<_>>() {
            let Some(candidate) = self.candidates.get_mut(&id) else { continue };
            if candidate.accepted.is_some() {
                candidate.standing = Standing::Judged;
                let again = candidate.again.take();
                self.give_verdict(id, true);
                let outs = again.map(|again| self.engine.proposal(again)).unwrap_or_default();
                self.carry_out(outs);
            } else if candidate.standing == Standing::Unproven {
                candidate.standing = Standing::Awaited;
            }
        }
    }

    /// Tells the engine whether a candidate is acceptable.
    fn give_verdict(&mut self, id: Hash, valid: bool) {
        let Some(candidate) = self.candidates.get(&id) else { return };
        let proposal = candidate.proposal.clone();
        let outs = self.engine.verdict(&proposal, valid);
        self.carry_out(outs);
    }

    /// Bodies that did not come are asked of another server.
    pub(super) fn fetch_missing_bodies(&mut self) {
        let missing = self.candidates.values().filter(|candidate| candidate.is_waiting());
        let digests: Vec<Hash> = missing.map(|candidate| candidate.header.body_digest).collect();
        let servers: Vec<ServerKey> = self.chain.state.servers.keys().filter(|key| *key != self.key).collect();
        if digests.is_empty() || servers.is_empty() {
            self.next_body_ms = u64::MAX;
        } else if self.next_body_ms == u64::MAX {
            self.next_body_ms = self.now.steady_ms + BODY_MS;
        } else if self.now.steady_ms >= self.next_body_ms {
            self.next_body_ms = self.now.steady_ms + BODY_MS;
            for digest in digests {
                self.fetches += 1;
                let from = servers[self.fetches % servers.len()];
                self.say(Effect::FetchBody { digest, from });
            }
        }
    }
}

impl Candidate {
    /// One that was found good before: made here, or in the log.
    pub(super) fn judged(proposal: Proposal, body: Vec<u8>, accepted: Option<Accepted>) -> Self {
        let header = proposal.value.0.clone();
        Self { header, proposal, body: Some(body), accepted, standing: Standing::Judged, again: None }
    }

    fn is_waiting(&self) -> bool {
        self.body.is_none() && self.standing != Standing::Judged
    }
}

fn refused(proposal: &Proposal, fault: HeaderFault) -> Event {
    Event::ProposalRefused { proposer: proposal.address.0, height: proposal.value.0.height, fault }
}
