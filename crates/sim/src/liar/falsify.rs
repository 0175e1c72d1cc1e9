//! The lies themselves.
use seedbank_quorum::{DecidedBatch, Message};
use seedbank_types::{Hash, Header, TimeMs};

use super::{FLOOD, Habit, Liar, flip};
use crate::Random;
use crate::wire::{self, Proposal, Spoken, Vote};

impl Liar {
    /// What one server hears instead of a message.
    pub(super) fn falsify(&mut self, message: &Message, to: usize, random: &mut Random) -> Message {
        match wire::read(&message.encode()) {
            Spoken::Vote(vote) => self.vote(vote, to, random),
            Spoken::Proposal(proposal) => self.proposal(*proposal, to, random),
            Spoken::Status { height, epoch, votes } if self.does(Habit::FalseStatus) => {
                let more = random.pick(&[0, 1, 3, 1_000, u64::MAX / 2]);
                wire::status(height.saturating_add(more), epoch.saturating_add(random.pick(&[0, 1, more])), &votes)
            }
            Spoken::Checkpoint { checkpoint, .. } if self.does(Habit::TwoCheckpoints) && self.deceives(to) => {
                let mut other = checkpoint;
                other.root.0[0] ^= 1;
                wire::checkpoint(&other, &self.secret)
            }
            _ => message.clone(),
        }
    }

    fn vote(&mut self, mut vote: Vote, to: usize, random: &mut Random) -> Message {
        self.height = vote.height;
        let follows_everywhere = self.does(Habit::WrongDigest) || self.does(Habit::FalseTime);
        let other = vote.value.and_then(|hash| self.others.get(&hash)).copied();
        if other.is_some() && (follows_everywhere || self.deceives(to)) {
            vote.value = other;
        } else if self.does(Habit::TwoVotes) && self.deceives(to) {
            vote.value = match vote.value {
                Some(_) => None,
                None => self.others.values().next_back().copied().or_else(|| Some(Hash(random.bytes32()))),
            };
        }
        vote.sign(&self.community, &self.secret)
    }

    fn proposal(&mut self, mut proposal: Proposal, to: usize, random: &mut Random) -> Message {
        let before = proposal.header.hash();
        let header = &mut proposal.header;
        if self.habits.contains(&Habit::WrongDigest) {
            spoil(header);
        } else if self.habits.contains(&Habit::FalseTime) {
            // The same for all, or nobody could be taken in.
            let by_ms = [3_000, 60_000, 3_600_000][usize::from(before.0[0] % 3)];
            let time = if before.0[1] & 1 == 0 { header.time.0 + by_ms } else { header.time.0.saturating_sub(by_ms) };
            header.time = TimeMs(time);
        } else if self.habits.contains(&Habit::TwoProposals) && self.deceived >> (to % 64) & 1 == 1 {
            header.time = TimeMs(header.time.0 + 1);
        }
        if header.hash() != before {
            self.others.insert(before, header.hash());
        } else if self.habits.contains(&Habit::TwoVotes) && random.chance(20) {
            proposal.polka = Some(proposal.round.saturating_sub(1));
        }
        proposal.sign(&self.community, &self.secret)
    }

    /// Messages of no use, all at once.
    pub(crate) fn flood(&self, random: &mut Random) -> Vec<Message> {
        if !self.does(Habit::Flood) || self.is_silent {
            return Vec::new();
        }
        (0..FLOOD).map(|_| self.noise(random)).collect()
    }

    fn noise(&self, random: &mut Random) -> Message {
        let height = self.height + random.pick(&[0, 0, 0, 1, 1, 2, 1 << 40]);
        let round = u32::try_from(random.pick(&[0, 1, 5, 9, 11, 1_000, 1 << 21])).expect("small");
        let value = random.chance(80).then(|| Hash(random.bytes32()));
        let kind = 1 + u8::from(random.chance(50));
        match random.below(10) {
            0 => wire::status(height, random.below(1_000), &[]),
            _ => Vote { kind, height, round, value, key: self.secret.public() }.sign(&self.community, &self.secret),
        }
    }

    /// What it answers when it is asked for batches.
    pub(crate) fn batches(&self, mut batches: Vec<DecidedBatch>, random: &mut Random) -> Vec<DecidedBatch> {
        if !self.does(Habit::FalseBodies) || batches.is_empty() {
            return batches;
        }
        let spoiled = random.index(batches.len());
        match random.below(4) {
            0 => batches[spoiled].body = flip(std::mem::take(&mut batches[spoiled].body), random),
            1 => batches[spoiled].header.time.0 += 1,
            2 => batches.swap(0, spoiled),
            _ => batches.clear(),
        }
        batches
    }
}

/// Changes a digest that others can compute themselves; which one depends on the header.
fn spoil(header: &mut Header) {
    let which = header.hash().0[0] % 3;
    let digest = [&mut header.previous_state, &mut header.payments_root, &mut header.next_servers];
    let [state, payments, servers] = digest;
    match which {
        0 => state.0[0] ^= 1,
        1 => payments.0[0] ^= 1,
        _ => servers.0[0] ^= 1,
    }
}
