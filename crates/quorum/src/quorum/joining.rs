//! The first moments after a start: hear a quorum, then go on from the log.
use seedbank_ledger::View;
use seedbank_types::{Epoch, Height, ServerKey};

use super::candidates::Candidate;
use super::{Effect, Event, Quorum, Write};
use crate::chain::Accepted;
use crate::engine::SignedVote;
use crate::engine::context::Proposal;
use crate::guard::{Guard, Turn, Verdict, believed, is_genuine};
use crate::log::LogEntry;
use crate::message::Status;
use malachitebft_core_consensus::Input as Logged;

/// When an epoch is certified, the next may be closed already and the one after it open.
const OPEN_AFTER_CERTIFIED: u64 = 2;

/// Until this epoch is certified, a server with an empty disk is more likely to be a new one that
/// started a little later than one that lost its disk.
const YOUNG_UNTIL: Epoch = Epoch(2);

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
        match &mut self.hearing {
            Some(hearing) => hearing.hear(from, &status, &self.settings.community, &self.key),
            None => self.look_for_a_twin(&status),
        }
    }

    /// The others show what they heard of this server's key. If it said what this server did not
    /// say, the key is in use elsewhere, or this disk is an old copy and whoever told so now was not
    /// heard at the start. Gossip never brings such a vote here by itself.
    fn look_for_a_twin(&mut self, status: &Status) {
        let own = status.votes.iter().filter(|vote| vote.message.address.0 == self.key);
        let Some(vote) = own.max_by_key(|vote| Turn::of(vote)) else { return };
        if !self.is_foreign(vote) || !is_genuine(vote, &self.settings.community) {
            return;
        }
        let height = Height(vote.message.height.0);
        if self.has_spoken {
            self.halt(&format!(
                "this server's key has voted at height {height}, and not on this machine: stop the other one, or, if \
                 this disk is an old copy, start again to observe first"
            ));
        } else {
            // One server's word about heights and epochs is not believed; the vote proves itself.
            self.observe_beyond(Height(0), height, self.chain.epoch, Epoch(0));
        }
    }

    /// Whether a vote of the own key is one that this server did not cast.
    fn is_foreign(&self, vote: &SignedVote) -> bool {
        let silent_below = Height(self.guard.vote_from.0.saturating_sub(1));
        let is_later = Turn::of(vote) > self.own_voted() && Turn::of(vote).height > self.chain.state.height;
        let contradicts = |own: &SignedVote| {
            let (own, other) = (&own.message, &vote.message);
            (own.height, own.round, own.kind) == (other.height, other.round, other.kind) && own.value != other.value
        };
        is_later && Turn::of(vote).height > silent_below || self.votes.get(&self.key).is_some_and(contradicts)
    }

    /// The highest height that others have decided, as far as they are believed.
    pub(super) fn believed_height(&self) -> Height {
        let servers = &self.chain.state.servers;
        let claims = self.heights.iter().filter_map(|(key, height)| {
            let number = servers.number(key)?;
            Some((*height, servers.member(number)?.1))
        });
        believed(claims, servers, self.settings.rule)
    }

    pub(super) fn note_height(&mut self, from: ServerKey, height: Height) {
        let known = self.heights.entry(from).or_default();
        *known = height.max(*known);
    }

    /// Once a quorum has been heard, this server takes part, or observes if its log is too old. One that is no
    /// server yet hears on until it has caught up.
    pub(super) fn join<V: View>(&mut self, accounts: &V) {
        if self.committing.is_some() {
            return;
        }
        let servers = &self.chain.state.servers;
        let verdict = self
            .hearing
            .as_ref()
            .and_then(|hearing| hearing.verdict(&self.key, servers, self.settings.rule, self.guard.hears_all));
        let Some(verdict) = verdict else { return };
        let is_known = self.knows(&self.key);
        if !is_known && self.chain.state.height < verdict.height {
            return;
        }
        self.hearing = None;
        // What others have decided needs no vote of this server. If its disk is an old copy it may
        // have voted there already, and the others may have forgotten that when they restarted.
        self.decided_elsewhere = verdict.height;
        if self.guard.hears_all {
            self.guard.hears_all = false;
            self.write(Write::Guard(self.guard));
        }
        // A key that is in no set, not even the next, up to where a quorum has decided was never heard there
        // or later: an order adds it at least one height before it may speak.
        if is_known && self.has_forgotten(&verdict) {
            let epoch = Epoch(verdict.epoch.0.saturating_add(OPEN_AFTER_CERTIFIED));
            self.observe_beyond(verdict.height, verdict.voted.height, epoch, Epoch(0));
        }
        if !self.log.was_started {
            // Whatever comes later, what this disk remembers is complete from here on.
            self.log.was_started = true;
            self.write(Write::Log { height: Height(0), entry: Vec::new() });
        }
        self.say(Effect::Event(Event::Joined { height: self.chain.state.height }));
        self.resume_closing();
        self.resume_height(accounts);
    }

    /// Whether this server's key has said more than its disk remembers.
    fn has_forgotten(&self, verdict: &Verdict) -> bool {
        let height = self.chain.state.height;
        let is_old = self.started_at > Height(0) || verdict.epoch > YOUNG_UNTIL;
        // A guard without a log: this database was made anew for a key that may have spoken.
        let lost = !self.log.was_started && (is_old || self.guard != Guard::default());
        lost || verdict.voted.height > height && verdict.voted > self.own_voted()
    }

    /// This disk does not know all that its key has said: says nothing where that could be, given
    /// what others have decided, heard of this key, and opened. The key may have been one height
    /// ahead of all of them: its last votes, the decision they brought, and its votes at the height
    /// after that may have reached nobody. `signed` is the last epoch that it is known to have signed.
    pub(super) fn observe_beyond(&mut self, decided: Height, voted: Height, open: Epoch, signed: Epoch) {
        let decided = self.believed_height().max(decided).max(self.chain.state.height);
        let vote_from = decided.next().max(voted).next().next();
        let sign_from = silent_until(open.max(self.chain.epoch));
        self.observe(Guard { vote_from, sign_from, signed_to: signed, hears_all: false });
    }

    /// Says nothing below the limits, and remembers them.
    fn observe(&mut self, guard: Guard) {
        #[cfg(feature = "mutations")]
        if self.settings.mutation == Some(crate::Mutation::SignAfterRestore) {
            return;
        }
        let raised = self.guard.raised(guard);
        if raised != self.guard {
            self.guard = raised;
            self.write(Write::Guard(raised));
            self.say(Effect::Event(Event::Observing { guard: raised }));
        }
    }

    /// Goes on at the height that was being decided: from the log, then with what was heard meanwhile.
    fn resume_height<V: View>(&mut self, accounts: &V) {
        let entries = self.log.take();
        if self.may_vote() && self.log.height() == self.chain.next_height() && !entries.is_empty() {
            self.replay(entries, accounts);
        }
        self.hear_early();
    }

    fn replay<V: View>(&mut self, log: Vec<LogEntry>, accounts: &V) {
        self.replaying = log.iter().map(|entry| entry.bytes.clone()).collect();
        self.ensure_started();
        for entry in &log {
            match &entry.input {
                Logged::ProposedValue(value, _) if value.validity.is_valid() => {
                    let proposal = Proposal {
                        height: value.height,
                        round: value.round,
                        pol_round: value.valid_round,
                        address: value.proposer,
                        value: value.value.clone(),
                    };
                    self.remember_candidate(proposal, entry.body.clone(), accounts);
                }
                Logged::Proposal(proposal) if proposal.message.address.0 == self.key => {
                    self.own_proposal = Some(proposal.clone());
                }
                _ => {}
            }
        }
        let outs = self.engine.replay(log.into_iter().map(|entry| entry.input).collect());
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
        self.candidates.insert(header.hash(), Candidate::judged(proposal, body, accepted));
    }

    pub(super) fn note_vote(&mut self, vote: SignedVote) {
        let known = self.votes.get(&vote.message.address.0);
        if known.is_none_or(|known| Turn::of(known) < Turn::of(&vote)) {
            self.votes.insert(vote.message.address.0, vote);
        }
    }

    /// The turn of the last vote that this server knows to have cast.
    pub(super) fn own_voted(&self) -> Turn {
        self.votes.get(&self.key).map(Turn::of).unwrap_or_default()
    }
}

/// The first epoch that a key signs again when it may have signed all up to the open one.
pub(super) const fn silent_until(open: Epoch) -> Epoch {
    Epoch(open.0.saturating_add(2))
}
