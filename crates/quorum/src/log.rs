//! What a server said and heard at the height that was being decided when it stopped.
use std::collections::BTreeMap;

use malachitebft_core_consensus::Input;
use seedbank_types::{DecodeError, Height, Reader, ServerKey};

use crate::engine::{EngineInput, SignedVote, wire};
use crate::guard::Turn;

/// One entry: an input of the engine.
#[derive(Debug)]
pub(crate) struct LogEntry {
    pub(crate) input: EngineInput,
    /// Behind a verdict stands the body, so that a body outlives a crash of all servers that voted for it.
    pub(crate) body: Vec<u8>,
    /// The entry as it is on disk.
    pub(crate) bytes: Vec<u8>,
}

/// The log as it was found at the start. It belongs to one height: once that is decided it is worthless.
#[derive(Debug)]
pub(crate) struct Log {
    height: Height,
    /// Whether this disk ever held a log.
    pub(crate) was_started: bool,
    entries: Vec<LogEntry>,
}

impl Log {
    /// Reads the entries of `height`.
    pub(crate) fn read(height: Height, was_started: bool, entries: Vec<Vec<u8>>) -> Result<Self, DecodeError> {
        // An empty one only says that there is a log.
        let entries = entries.into_iter().filter(|entry| !entry.is_empty());
        let entries = entries.map(read_entry).collect::<Result<Vec<_>, _>>()?;
        let of_height = |entry: &LogEntry| height_of(&entry.input).is_none_or(|of| of == height);
        Ok(Self { height, was_started, entries: entries.into_iter().filter(of_height).collect() })
    }

    /// The height it belongs to.
    pub(crate) const fn height(&self) -> Height {
        self.height
    }

    /// Takes the entries out.
    pub(crate) fn take(&mut self) -> Vec<LogEntry> {
        std::mem::take(&mut self.entries)
    }

    /// The last vote of each server at this height, this one included. They outlive a restart thereby, so
    /// that even servers that all crashed at once can tell another one what its key has said.
    pub(crate) fn votes(&self) -> BTreeMap<ServerKey, SignedVote> {
        let votes = self.entries.iter().filter_map(|entry| match &entry.input {
            Input::Vote(vote) => Some(vote),
            _ => None,
        });
        let mut last: BTreeMap<ServerKey, SignedVote> = BTreeMap::new();
        for vote in votes {
            let known = last.entry(vote.message.address.0).or_insert_with(|| vote.clone());
            if Turn::of(known) < Turn::of(vote) {
                *known = vote.clone();
            }
        }
        last
    }
}

fn read_entry(bytes: Vec<u8>) -> Result<LogEntry, DecodeError> {
    let mut reader = Reader::new("log entry", &bytes);
    let input = wire::read_logged(&mut reader)?;
    let body = reader.rest().to_vec();
    Ok(LogEntry { input, body, bytes })
}

fn height_of(input: &EngineInput) -> Option<Height> {
    match input {
        Input::Vote(vote) => Some(Height(vote.message.height.0)),
        Input::Proposal(proposal) => Some(Height(proposal.message.height.0)),
        Input::ProposedValue(value, _) => Some(Height(value.height.0)),
        Input::PolkaCertificate(polka) => Some(Height(polka.height.0)),
        _ => None,
    }
}
