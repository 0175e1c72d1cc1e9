//! The first moments after a start: hear a quorum, then go on from the log.
use seedbank_ledger::View;
use seedbank_types::{DecodeError, Epoch, Height, Reader, ServerKey};

use super::{Effect, Event, Quorum, Write};
use crate::chain::Accepted;
use crate::engine::context::Proposal;
use crate::engine::{EngineInput, wire};
use crate::guard::{Guard, Verdict};
use crate::message::Status;
use malachitebft_core_consensus::Input as Logged;

impl Quorum {
    pub(super) fn on_status(&mut self, from: ServerKey, status: Status) {
        self.note_height(from, status.height);
        let heard = self.heard_ms.insert(from, self.now.steady_ms);
        if heard.is_none_or(|heard| heard + 2 * super::STATUS_MS < self.now.steady_ms) {
            self.say_status_within(super::CONNECTED_MS);
        }
        if status.epoch < self.certified_epoch() {
            self.answer_with_certificate();
        }
        if let Some(hearing) = &mut self.hearing {
            hearing.hear(from, status);
        }
    }

    pub(super) fn note_height(&mut self, from: ServerKey, height: Height) {
        let known = self.heights.entry(from).or_default();
        *known = height.max(*known);
    }

    /// Once a quorum has been heard, this server takes part, or observes if its log is too old.
    pub(super) fn join<V: View>(&mut self, accounts: &V) {
        let servers = &self.chain.state.servers;
        let verdict = self.hearing.as_ref().and_then(|hearing| hearing.verdict(&self.key, servers, self.settings.rule));
        let Some(verdict) = verdict else { return };
        self.hearing = None;
        let log = self.read_log();
        if self.has_forgotten(&verdict, &log) {
            let vote_from = Height(verdict.voted.0.max(verdict.height.0 + 1).max(self.chain.state.height.0 + 1) + 1);
            let sign_from = Epoch(verdict.epoch.0.max(self.chain.epoch.0) + 3);
            self.observe(Guard { vote_from, sign_from });
        }
        self.say(Effect::Event(Event::Joined { height: self.chain.state.height }));
        self.resume_closing();
        if self.may_vote() && !log.is_empty() {
            self.replay(log, accounts);
        }
    }

    /// Whether this server's key has said more than its disk remembers.
    fn has_forgotten(&self, verdict: &Verdict, log: &[(EngineInput, Vec<u8>)]) -> bool {
        let (height, next) = (self.chain.state.height, self.chain.next_height());
        let lost = !self.log_started && height > Height(0);
        let voted_now =
            log.iter().any(|(entry, _)| matches!(entry, Logged::Vote(vote) if vote.message.address.0 == self.key));
        lost || verdict.voted > next || (verdict.voted == next && !voted_now)
    }

    /// Says nothing below the limits, and remembers them.
    pub(super) fn observe(&mut self, guard: Guard) {
        let raised = self.guard.raised(guard);
        if raised != self.guard {
            self.guard = raised;
            self.write(Write::Guard(raised));
            self.say(Effect::Event(Event::Observing { guard: raised }));
        }
    }

    fn read_log(&mut self) -> Vec<(EngineInput, Vec<u8>)> {
        let entries = std::mem::take(&mut self.log);
        let next = self.chain.next_height();
        let read: Result<Vec<_>, DecodeError> = entries.iter().map(|entry| read_entry(entry)).collect();
        match read {
            Ok(read) => {
                self.replaying = entries.into_iter().collect();
                read.into_iter().filter(|(input, _)| height_of(input).is_none_or(|height| height == next)).collect()
            }
            Err(error) => {
                self.halt(&format!("the log on this server's disk is damaged ({error}); restore it as an observer"));
                Vec::new()
            }
        }
    }

    fn replay<V: View>(&mut self, log: Vec<(EngineInput, Vec<u8>)>, accounts: &V) {
        self.ensure_started();
        for (input, body) in &log {
            match input {
                Logged::ProposedValue(value, _) if value.validity.is_valid() => {
                    let proposal = Proposal {
                        height: value.height,
                        round: value.round,
                        pol_round: value.valid_round,
                        address: value.proposer,
                        value: value.value.clone(),
                    };
                    self.remember_candidate(proposal, body.clone(), accounts);
                }
                Logged::Vote(vote) if vote.message.address.0 == self.key => self.note_own_vote(),
                Logged::Proposal(proposal) if proposal.message.address.0 == self.key => {
                    self.own_proposal = Some(proposal.clone());
                }
                _ => {}
            }
        }
        let outs = self.engine.replay(log.into_iter().map(|(input, _)| input).collect());
        self.carry_out(outs);
        self.replaying.clear();
        if self.own_proposal.as_ref().is_some_and(|own| own.message.round.as_u32() == Some(self.engine.round())) {
            self.wanted = None;
        }
    }

    fn remember_candidate<V: View>(&mut self, proposal: Proposal, body: Vec<u8>, accounts: &V) {
        let header = proposal.value.0.clone();
        let accepted: Option<Accepted> = self.chain.accept(accounts, &header, &body, |_| false).ok();
        self.offer(&body);
        let candidate = super::Candidate { proposal, body: Some(body), accepted, judged: true, header };
        self.candidates.insert(candidate.header.hash(), candidate);
    }

    pub(super) fn note_own_vote(&mut self) {
        let (key, height) = (self.key, self.chain.next_height());
        self.voted.insert(key, height);
    }
}

/// An entry is the engine's input; behind a verdict follows the body, so that a body outlives a
/// crash of all servers that voted for it.
fn read_entry(bytes: &[u8]) -> Result<(EngineInput, Vec<u8>), DecodeError> {
    let mut reader = Reader::new("log entry", bytes);
    let input = wire::read_logged(&mut reader)?;
    let body = reader.rest().to_vec();
    Ok((input, body))
}

fn height_of(input: &EngineInput) -> Option<Height> {
    match input {
        Logged::Vote(vote) => Some(Height(vote.message.height.0)),
        Logged::Proposal(proposal) => Some(Height(proposal.message.height.0)),
        Logged::ProposedValue(value, _) => Some(Height(value.height.0)),
        Logged::PolkaCertificate(polka) => Some(Height(polka.height.0)),
        _ => None,
    }
}
