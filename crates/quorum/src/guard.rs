//! Rules that keep an honest server from being framed by its own past.
//!
//! A key may have spoken before: on a machine that was lost, or after the backup was made that
//! this log was restored from. So a server first hears from a quorum how high its key has been
//! heard, and speaks only where it cannot have spoken before.
use std::collections::BTreeMap;

use seedbank_types::{DecodeError, Epoch, Height, Reader, Rule, ServerKey, ServerSet, Writer};

use crate::message::Status;

/// Heights and epochs below which this server says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guard {
    /// The first height at which it votes.
    pub vote_from: Height,
    /// The first epoch whose checkpoint it signs.
    pub sign_from: Epoch,
}

impl Guard {
    /// `vote from u64 ‖ sign from u64`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::with_capacity(16).u64(self.vote_from.0).u64(self.sign_from.0).finish()
    }

    /// Reads what [`Guard::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("guard", bytes);
        let guard = Self { vote_from: Height(reader.u64("vote from")?), sign_from: Epoch(reader.u64("sign from")?) };
        reader.finish()?;
        Ok(guard)
    }

    /// The stricter of two.
    pub(crate) fn raised(self, other: Self) -> Self {
        Self { vote_from: self.vote_from.max(other.vote_from), sign_from: self.sign_from.max(other.sign_from) }
    }
}

/// Hears the others out before this server speaks for the first time after a start.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    heard: BTreeMap<ServerKey, Status>,
}

/// What a quorum said about this server's key and about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The highest height at which this server's key was heard to vote.
    pub(crate) voted: Height,
    /// The highest decided height.
    pub(crate) height: Height,
    /// The highest certified epoch.
    pub(crate) epoch: Epoch,
}

impl Hearing {
    pub(crate) fn hear(&mut self, from: ServerKey, status: Status) {
        self.heard.insert(from, status);
    }

    /// The verdict, once servers that are a quorum together with this one have spoken.
    pub(crate) fn verdict(&self, own: &ServerKey, servers: &ServerSet, rule: Rule) -> Option<Verdict> {
        let power = |key: &ServerKey| {
            servers.number(key).and_then(|number| servers.member(number)).map_or(0, |(_, power)| power)
        };
        let others = self.heard.keys().filter(|key| *key != own).map(power).sum::<u64>();
        if !rule.is_quorum(power(own) + others, servers.total()) {
            return None;
        }
        let voted = self.heard.values().flat_map(|status| &status.voted);
        let own_votes = voted.filter(|(key, _)| key == own).map(|(_, height)| *height);
        Some(Verdict {
            voted: own_votes.max().unwrap_or_default(),
            height: self.heard.values().map(|status| status.height).max().unwrap_or_default(),
            epoch: self.heard.values().map(|status| status.epoch).max().unwrap_or_default(),
        })
    }
}
