//! Deciding one height: votes, timeouts, own proposals, the decision.
use std::collections::VecDeque;

use malachitebft_core_types::Timeout;
use seedbank_ledger::View;
use seedbank_types::{Body, Header, Height, ServerKey};

use super::candidates::Candidate;
use super::{BATCH_BYTES_MAX, Commit, Committing, EARLY_PER_SERVER_MAX, Effect, Event, Quorum, ROUND_MAX, Write};
use crate::chain::{Accepted, Closing};
use crate::decision::Decision;
use crate::engine::context::Proposal;
use crate::engine::{Commit as EngineCommit, EngineInput, Out, wire};
use crate::message::{Message, Said};
use crate::pool::Selected;

impl Quorum {
    pub(super) fn on_engine_message(&mut self, from: ServerKey, message: Message) {
        let Some((height, round)) = place_of(&message.0) else { return };
        if round > ROUND_MAX {
            return;
        }
        if let Said::Vote(vote) = &message.0 {
            // Servers say their own votes only; those of others travel in certificates.
            if vote.message.address.0 != from {
                return;
            }
            self.note_vote(vote.clone());
        }
        self.note_height(from, Height(height.0.saturating_sub(1)));
        let next = self.chain.next_height();
        if height < next || height > next.next() {
            return;
        }
        if height > next || self.committing.is_some() || self.hearing.is_some() {
            return self.keep_early(from, message);
        }
        self.ensure_started();
        let outs = match message.0 {
            Said::Vote(vote) => self.engine.vote(vote),
            Said::Polka(polka) => self.engine.polka(polka),
            Said::Rounds(rounds) => self.engine.rounds(rounds),
            Said::Proposal(proposal) => return self.on_proposal(*proposal, from),
            Said::Status(_) | Said::Checkpoint(_) | Said::Certificate(_) | Said::Uncertified(_) => return,
        };
        self.carry_out(outs);
        self.reconsider();
    }

    /// Keeps a message until its height begins; a server can crowd out its own messages only.
    fn keep_early(&mut self, from: ServerKey, message: Message) {
        let mut of_server = self.early.iter().enumerate().filter(|(_, (server, _))| *server == from);
        let oldest = of_server.next().map(|(index, _)| index);
        if of_server.count() + 1 >= EARLY_PER_SERVER_MAX {
            oldest.and_then(|index| self.early.remove(index));
        }
        self.early.push_back((from, message));
    }

    /// Begins the next height if it has not begun.
    pub(super) fn ensure_started(&mut self) {
        let next = self.chain.next_height();
        if self.engine.started() == Some(next) || self.committing.is_some() {
            return;
        }
        let may_vote = self.may_vote();
        let outs = self.engine.start(next, &self.chain.state.servers, self.chain.tip.proposer, may_vote);
        self.carry_out(outs);
    }

    /// A quiet community decides nothing: a height begins when there is something to decide.
    pub(super) fn start_if_due<V: View>(&mut self, accounts: &V) {
        let busy = self.hearing.is_some() || self.committing.is_some() || self.fetching.holds(self.chain.next_height());
        if busy || self.engine.started() == Some(self.chain.next_height()) {
            return;
        }
        let over = self.chain.header_time(self.now.wall) >= self.chain.closes_at();
        let due = if over { self.chain.may_close() } else { self.has_ready(accounts) };
        if due {
            self.ensure_started();
        }
    }

    fn has_ready<V: View>(&mut self, accounts: &V) -> bool {
        if !self.nothing_ready {
            let place = self.place();
            self.nothing_ready = !self.pool.has_ready(&self.chain.rules, &self.chain.state, accounts, place);
        }
        !self.nothing_ready
    }

    /// Proposes if this server leads the round and has something to propose.
    pub(super) fn propose_if_wanted<V: View>(&mut self, accounts: &V) {
        let Some(round) = self.wanted else { return };
        let ready = self.engine.started() == Some(self.chain.next_height()) && self.committing.is_none();
        if !ready || !self.engine.may_propose(round) || !self.replaying.is_empty() {
            return;
        }
        let Some((header, body, accepted)) = self.make_header(accounts) else { return };
        self.wanted = None;
        self.offer(&body);
        let proposal = Proposal {
            height: crate::engine::context::Height(header.height.0),
            round: malachitebft_core_types::Round::new(round),
            pol_round: malachitebft_core_types::Round::Nil,
            address: crate::engine::context::Address(self.key),
            value: crate::engine::context::Value(header.clone()),
        };
        self.add_candidate(header.hash(), Candidate::judged(proposal, body, Some(accepted)));
        let outs = self.engine.propose(header, round);
        self.carry_out(outs);
    }

    fn make_header<V: View>(&mut self, accounts: &V) -> Option<(Header, Vec<u8>, Accepted)> {
        let time = self.chain.header_time(self.now.wall);
        if time >= self.chain.closes_at() {
            if !self.chain.may_close() {
                return None;
            }
            let (header, body) = self.chain.closing_header(self.key, time);
            let accepted = self.chain.accept(accounts, &header, &body, |_| false).ok()?;
            return Some((header, body, accepted));
        }
        if !self.has_ready(accounts) {
            return None;
        }
        let (rules, state) = (&self.chain.rules, &self.chain.state);
        let bytes_max = self.settings.batch_bytes_max.min(BATCH_BYTES_MAX);
        let Selected { body, ids, changes } = self.pool.select(rules, state, accounts, self.place(), bytes_max);
        if ids.is_empty() {
            return None;
        }
        let bytes = body.encode();
        let header = self.chain.batch_header(self.key, time, &bytes, &ids, &changes);
        Some((header, bytes, Accepted { changes, entries: body.entries, ids, closing: None }))
    }

    pub(super) fn offer(&mut self, body: &[u8]) {
        self.say(Effect::Offer { digest: Body::digest(body), body: body.to_vec() });
    }

    pub(super) fn fire_timers(&mut self) {
        let now = self.now.steady_ms;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.timers).into_iter().partition(|(at, _)| *at <= now);
        self.timers = later;
        for (_, timeout) in due {
            if self.engine.started() == Some(self.chain.next_height()) && self.committing.is_none() {
                let outs = self.engine.timeout(timeout);
                self.carry_out(outs);
            }
        }
    }

    /// Carries out what the engine wants, in order; it may want more thereby.
    pub(super) fn carry_out(&mut self, outs: Vec<Out>) {
        let mut work: VecDeque<Out> = outs.into();
        while let Some(out) = work.pop_front() {
            match out {
                Out::Log(input) => self.log(&input),
                Out::Vote(vote) => {
                    self.has_spoken = true;
                    self.note_vote(vote.clone());
                    self.send(Said::Vote(vote));
                }
                Out::Proposal(proposal) => {
                    if proposal.message.address.0 == self.key {
                        self.own_proposal = Some(proposal.clone());
                    }
                    self.send(Said::Proposal(Box::new(proposal)));
                }
                Out::Polka(polka) => {
                    self.own_polka = Some(polka.clone());
                    self.send(Said::Polka(polka));
                }
                Out::Rounds(rounds) => self.send(Said::Rounds(rounds)),
                Out::SayProposalAgain => self.say_proposal_again(),
                Out::Wake(timeout, after_ms) => self.set_timer(timeout, after_ms),
                Out::Forget(timeout) => self.timers.retain(|(_, set)| *set != timeout),
                Out::ForgetAll => self.timers.clear(),
                Out::WantValue(round) => self.wanted = Some(round),
                Out::Round(round) => {
                    if self.wanted.is_some_and(|wanted| wanted != round) {
                        self.wanted = None;
                    }
                }
                Out::Decided(commit) => self.decided(&commit),
                Out::Broken(why) => {
                    self.halt(&format!(
                        "the agreement engine must not go on: {why}; keep its disk for whoever looks into it"
                    ));
                }
            }
        }
    }

    /// Who missed the proposal needs it, and the polka that a header proposed again rests on.
    fn say_proposal_again(&mut self) {
        let Some(proposal) = self.own_proposal.clone() else { return };
        let polka = self.own_polka.clone().filter(|polka| polka.round == proposal.message.pol_round);
        if let Some(polka) = polka {
            self.send(Said::Polka(polka));
        }
        self.send(Said::Proposal(Box::new(proposal)));
    }

    fn set_timer(&mut self, timeout: Timeout, after_ms: u64) {
        self.timers.retain(|(_, set)| *set != timeout);
        self.timers.push((self.now.steady_ms.saturating_add(after_ms), timeout));
    }

    fn log(&mut self, input: &EngineInput) {
        let Some(mut entry) = wire::write_logged(input) else { return };
        if let EngineInput::ProposedValue(value, _) = input
            && value.validity.is_valid()
            && let Some(candidate) = self.candidates.get(&value.value.0.hash())
        {
            entry.extend_from_slice(candidate.body.as_deref().unwrap_or_default());
        }
        if !self.replaying.contains(&entry) {
            self.write(Write::Log { height: self.chain.next_height(), entry });
        }
    }

    fn decided(&mut self, commit: &EngineCommit) {
        if self.diverged {
            return;
        }
        let Some(candidate) = self.candidates.remove(&commit.value_id) else {
            // It was proposed so many rounds ago that it was given up here. Others have it: the
            // engine stays where it is until the batch is fetched.
            return tracing::warn!(header = %commit.value_id, "a header given up here was decided; it will be fetched");
        };
        let (Some(accepted), Some(body)) = (candidate.accepted, candidate.body) else {
            let why = "the servers decided a header whose body is invalid here".to_owned();
            return self.diverge(candidate.header.height, why, None);
        };
        let decision = Decision::new(commit, &self.chain.state.servers);
        self.commit(candidate.header, body, decision, accepted, false);
    }

    pub(super) fn commit(
        &mut self,
        header: Header,
        body: Vec<u8>,
        decision: Decision,
        accepted: Accepted,
        is_fetched: bool,
    ) {
        if let Some(Closing { certificate: Some(certificate) }) = &accepted.closing {
            self.learn_certificate(certificate);
        }
        let (changes, ids, closing) = (accepted.changes.clone(), accepted.ids.clone(), accepted.closing.is_some());
        let commit = Commit { header: header.clone(), body, decision, changes, ids, closing, is_fetched };
        self.write(Write::Commit(Box::new(commit)));
        self.committing = Some(Committing { token: self.token + 1, header, accepted });
    }

    /// A batch is on disk: the next height may begin.
    pub(super) fn committed<V: View>(&mut self, committing: Committing, accounts: &V) {
        let Committing { header, accepted, .. } = committing;
        self.chain.advance(&header, &accepted);
        self.nothing_ready = false;
        self.engine.abandon();
        self.candidates.clear();
        self.timers.clear();
        (self.wanted, self.own_proposal, self.own_polka) = (None, None, None);
        let Accepted { changes, entries, ids, closing } = accepted;
        let (rules, state, epoch) = (&self.chain.rules, &self.chain.state, self.chain.epoch);
        let mut refused = self.pool.after_batch(&entries, &changes.records, rules, state, accounts, epoch);
        let (height, header_epoch) = (header.height, header.epoch);
        self.say(Effect::Event(Event::Decided { height, epoch: header_epoch, header: header.hash(), entries, ids }));
        if closing.is_some() {
            refused.extend(self.pool.expire(epoch));
            self.closed(&header);
        }
        if !refused.is_empty() {
            self.say(Effect::Event(Event::Refused(refused)));
        }
        self.hear_early();
    }

    /// Hears messages again that came too early; those that still do are kept again.
    pub(super) fn hear_early(&mut self) {
        for (from, message) in std::mem::take(&mut self.early) {
            self.on_engine_message(from, message);
        }
    }
}

/// The height and round of which a message speaks.
fn place_of(said: &Said) -> Option<(Height, u32)> {
    let (height, round) = match said {
        Said::Vote(vote) => (vote.message.height, vote.message.round),
        Said::Proposal(proposal) => (proposal.message.height, proposal.message.round),
        Said::Polka(polka) => (polka.height, polka.round),
        Said::Rounds(rounds) => (rounds.height, rounds.round),
        Said::Status(_) | Said::Checkpoint(_) | Said::Certificate(_) | Said::Uncertified(_) => return None,
    };
    Some((Height(height.0), round.as_u32().unwrap_or(0)))
}
