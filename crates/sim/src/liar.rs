//! Servers that lie: the real quorum runs, but what leaves the machine is changed for some or all.
mod falsify;

use std::collections::{BTreeMap, VecDeque};

use seedbank_quorum::{Input, Message};
use seedbank_types::{CommunityId, Hash, ServerSecret};

use crate::Random;
use crate::wire::{self, Spoken};

/// What it said that may be said again.
const REMEMBERED_MAX: usize = 200;
/// Messages in one flood.
const FLOOD: usize = 80;

/// A way to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// A second machine with the same key; the two talk to different servers.
    Twin,
    /// Other votes for one half of the servers.
    TwoVotes,
    /// Another proposal for one half of the servers, and the votes to go with it.
    TwoProposals,
    /// Proposals with a wrong digest.
    WrongDigest,
    /// Bodies and batches that are not what was asked for, or none.
    FalseBodies,
    /// Another checkpoint for one half of the servers.
    TwoCheckpoints,
    /// Proposals from the past and the future.
    FalseTime,
    /// Old messages again.
    OldMessages,
    /// Many messages of no use.
    Flood,
    /// Says nothing most of the time.
    Silence,
    /// Claims heights and epochs that do not exist.
    FalseStatus,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Twin,
        Self::TwoVotes,
        Self::TwoProposals,
        Self::WrongDigest,
        Self::FalseBodies,
        Self::TwoCheckpoints,
        Self::FalseTime,
        Self::OldMessages,
        Self::Flood,
        Self::Silence,
        Self::FalseStatus,
    ];
}

/// A server that lies.
#[derive(Debug)]
pub struct Liar {
    habits: Vec<Habit>,
    secret: ServerSecret,
    community: CommunityId,
    /// The servers that are told something else, as bits by number.
    deceived: u64,
    said: VecDeque<Message>,
    /// What the deceived are told of instead of a header.
    others: BTreeMap<Hash, Hash>,
    height: u64,
    is_silent: bool,
    is_done: bool,
    /// Until then it deceives the same servers, in microseconds.
    resolute_until_us: u64,
}

impl Liar {
    /// A liar with a server's key.
    #[must_use]
    pub fn new(habits: Vec<Habit>, secret: ServerSecret, community: CommunityId) -> Self {
        Self {
            habits,
            secret,
            community,
            deceived: 0,
            said: VecDeque::new(),
            others: BTreeMap::new(),
            height: 0,
            is_silent: false,
            is_done: false,
            resolute_until_us: 0,
        }
    }

    /// Whether it lies in this way.
    #[must_use]
    pub fn does(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }

    /// Lies no more, and says nothing either.
    pub(crate) fn fall_silent(&mut self) {
        self.habits = Vec::new();
        self.is_silent = true;
        self.is_done = true;
    }

    /// From time to time it deceives others than before, or says nothing for a while.
    pub(crate) fn change_mind(&mut self, deceived: u64, is_tired: bool, now_us: u64) {
        if now_us >= self.resolute_until_us {
            self.deceived = deceived;
        }
        self.is_silent = self.is_done || is_tired && self.does(Habit::Silence);
        if self.others.len() > REMEMBERED_MAX {
            self.others.clear();
        }
    }

    /// Deceives these servers for a while, and says all it has to say.
    pub(crate) const fn resolve(&mut self, deceived: u64, until_us: u64) {
        (self.deceived, self.resolute_until_us) = (deceived, until_us);
    }

    /// Whether a server is among those who are told something else; the second machine talks to these.
    #[must_use]
    pub(crate) const fn deceives(&self, server: usize) -> bool {
        self.deceived >> (server % 64) & 1 == 1
    }

    /// What a server gets to hear instead of a message.
    pub(crate) fn say(&mut self, message: &Message, to: usize, random: &mut Random) -> Vec<Message> {
        if self.is_silent {
            return Vec::new();
        }
        let mut said = vec![self.falsify(message, to, random)];
        if self.does(Habit::OldMessages) {
            if !self.said.is_empty() && random.chance(30) {
                said.push(self.said[random.index(self.said.len())].clone());
            }
            self.said.push_back(message.clone());
            self.said.truncate(REMEMBERED_MAX);
        }
        said
    }

    /// What of the others' words reaches the real quorum inside: it must not learn of its other words.
    pub(crate) fn hear(&self, input: Input) -> Option<Input> {
        let own = self.secret.public();
        match input {
            Input::Message { from, .. } if from == own => None,
            Input::Message { from, message } => {
                let Spoken::Status { height, epoch, mut votes } = wire::read(&message.encode()) else {
                    return Some(Input::Message { from, message });
                };
                votes.retain(|(vote, _)| vote.key != own);
                Some(Input::Message { from, message: wire::status(height, epoch, &votes) })
            }
            input => Some(input),
        }
    }

    /// What it answers when it is asked for a body; `None`: nothing.
    pub(crate) fn body(&self, body: Vec<u8>, random: &mut Random) -> Option<Vec<u8>> {
        if !self.does(Habit::FalseBodies) || random.chance(30) {
            return Some(body);
        }
        (!random.chance(30)).then(|| flip(body, random))
    }
}

fn flip(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![0];
    }
    let byte = random.index(bytes.len());
    bytes[byte] ^= 1 << random.below(8);
    bytes
}
