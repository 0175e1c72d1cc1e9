//! Which decided batches are asked of whom, and what has come: several answers are under way at once.
use std::collections::BTreeMap;

use seedbank_types::{Height, ServerKey};

use super::{CheckedBatch, INCOMING_BYTES_MAX, INCOMING_MAX};

/// Answers that are waited for at once.
pub(super) const REQUESTS_MAX: usize = 6;
/// A request asks for about so many bytes, as far as the batches are like those that came last.
const REQUEST_BYTES: usize = 1 << 20;
/// Batches asked for at once, and as long as their size is not known.
const BATCHES_MAX: usize = 512;
const BATCHES_FIRST: usize = 64;
/// After so long another server is asked, on top of the time that the bytes may take.
const ANSWER_MS: u64 = 1_000;
/// The slowest line for which there is patience.
const BYTES_PER_MS: usize = 500;

/// A request under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    from: ServerKey,
    count: u16,
    until_ms: u64,
}

/// Batches on their way.
#[derive(Debug)]
pub(super) struct Fetching {
    arrived: BTreeMap<Height, CheckedBatch>,
    bytes: usize,
    under_way: BTreeMap<Height, Asked>,
    /// What was asked for and did not come.
    again: BTreeMap<Height, u16>,
    /// The first height that nobody was asked for.
    frontier: Height,
    /// Bytes of a batch that came lately.
    batch_bytes: usize,
    /// Servers that gave nothing are not asked before.
    idle_until_ms: BTreeMap<ServerKey, u64>,
    /// Below these heights servers have nothing any more.
    lowest: BTreeMap<ServerKey, Height>,
    turn: usize,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            arrived: BTreeMap::new(),
            bytes: 0,
            under_way: BTreeMap::new(),
            again: BTreeMap::new(),
            frontier: Height(0),
            batch_bytes: REQUEST_BYTES / BATCHES_FIRST,
            idle_until_ms: BTreeMap::new(),
            lowest: BTreeMap::new(),
            turn: 0,
        }
    }
}

impl Fetching {
    pub(super) fn is_active(&self) -> bool {
        !self.arrived.is_empty() || !self.under_way.is_empty() || !self.again.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.arrived.len()
    }

    pub(super) fn holds(&self, height: Height) -> bool {
        self.arrived.contains_key(&height)
    }

    pub(super) fn arrived(&self) -> impl Iterator<Item = &CheckedBatch> {
        self.arrived.values()
    }

    /// Forgets everything under way, because something that came was wrong, or nothing is missing.
    pub(super) fn start_over(&mut self) {
        let (lowest, turn, batch_bytes) = (std::mem::take(&mut self.lowest), self.turn, self.batch_bytes);
        *self = Self { lowest, turn, batch_bytes, ..Self::default() };
    }

    /// Takes the batch of a height out; what is lower has been decided here meanwhile.
    pub(super) fn take(&mut self, next: Height) -> Option<CheckedBatch> {
        while let Some(entry) = self.arrived.first_entry().filter(|entry| *entry.key() <= next) {
            let (height, batch) = entry.remove_entry();
            self.bytes = self.bytes.saturating_sub(batch.batch.body.len());
            if height == next {
                return Some(batch);
            }
        }
        None
    }

    /// What to ask for next, if there is room: what did not come first. `next` is the lowest missing height, and
    /// there is something up to `top`.
    pub(super) fn next_range(&mut self, next: Height, top: Height) -> Option<(Height, u16)> {
        self.drop_below(next);
        if let Some((first, count)) = self.again.first_key_value() {
            let is_room = self.under_way.len() < REQUESTS_MAX;
            return is_room.then_some((*first, *count));
        }
        self.frontier = self.frontier.max(next);
        let under_way: usize = self.under_way.values().map(|asked| usize::from(asked.count)).sum();
        let is_lowest = self.under_way.is_empty() && self.arrived.is_empty();
        let batches = self.arrived.len() + under_way;
        let bytes = self.bytes + (self.under_way.len() + 1) * REQUEST_BYTES;
        let is_room = self.under_way.len() < REQUESTS_MAX && batches < INCOMING_MAX && bytes < INCOMING_BYTES_MAX;
        if self.frontier > top || !(is_room || is_lowest) {
            return None;
        }
        let count = (REQUEST_BYTES / self.batch_bytes.max(1)).clamp(1, BATCHES_MAX) as u64;
        let count = count.min(top.0 - self.frontier.0 + 1);
        Some((self.frontier, u16::try_from(count).expect("at most 512")))
    }

    /// What was decided here meanwhile is not asked for again.
    fn drop_below(&mut self, next: Height) {
        self.under_way.retain(|first, asked| first.0.saturating_add(u64::from(asked.count)) > next.0);
        while let Some(entry) = self.again.first_entry().filter(|entry| *entry.key() < next) {
            let (first, count) = entry.remove_entry();
            let end = first.0.saturating_add(u64::from(count));
            if let Ok(rest @ 1..) = u16::try_from(end.saturating_sub(next.0)) {
                self.again.insert(next, rest);
            }
        }
    }

    /// A server that has batches from `first` on, among these.
    pub(super) fn whom_to_ask(
        &mut self,
        first: Height,
        now_ms: u64,
        heights: &BTreeMap<ServerKey, Height>,
    ) -> Option<ServerKey> {
        let has_it = |(key, height): &(&ServerKey, &Height)| {
            **height >= first
                && self.lowest.get(*key).is_none_or(|lowest| *lowest <= first)
                && self.idle_until_ms.get(*key).is_none_or(|until| *until <= now_ms)
        };
        let able: Vec<ServerKey> = heights.iter().filter(has_it).map(|(key, _)| *key).collect();
        self.turn = self.turn.wrapping_add(1);
        able.get(self.turn % able.len().max(1)).copied()
    }

    /// A request is on its way.
    pub(super) fn asked(&mut self, first: Height, count: u16, from: ServerKey, now_ms: u64) {
        self.again.remove(&first);
        self.frontier = self.frontier.max(Height(first.0 + u64::from(count)));
        let bytes_ms = (usize::from(count) * self.batch_bytes / BYTES_PER_MS) as u64;
        let until_ms = now_ms.saturating_add(ANSWER_MS).saturating_add(bytes_ms);
        self.under_way.insert(first, Asked { from, count, until_ms });
    }

    /// Takes an answer in: what is not missing and was not asked for is passed over, and what does not follow on
    /// ends it.
    pub(super) fn answered(&mut self, batches: Vec<CheckedBatch>, missing: Height) {
        let Some(first) = batches.first().map(|batch| batch.batch.header.height) else { return };
        // One that was given up is as good, if nobody else has answered yet.
        let asked = self.under_way.remove(&first).map(|asked| asked.count).or_else(|| self.again.remove(&first));
        let count = match asked {
            Some(count) => usize::from(count),
            None if first == missing => INCOMING_MAX.saturating_sub(self.arrived.len()),
            None => return,
        };
        let is_asked_for = Height(first.0.saturating_add(count as u64)) <= self.frontier;
        let mut next = first;
        let mut bytes = 0;
        for batch in batches.into_iter().take(count) {
            if batch.batch.header.height != next || !self.make_room(next) {
                break;
            }
            bytes += batch.batch.body.len();
            self.bytes += batch.batch.body.len();
            if let Some(before) = self.arrived.insert(next, batch) {
                self.bytes = self.bytes.saturating_sub(before.batch.body.len());
            }
            next = next.next();
        }
        let came = usize::try_from(next.0 - first.0).expect("at most as many as were asked for");
        if let Ok(rest @ 1..) = u16::try_from(count - came)
            && is_asked_for
        {
            self.again.insert(next, rest);
        }
        self.batch_bytes =
            bytes.checked_div(came).map_or(self.batch_bytes, |mean| usize::midpoint(self.batch_bytes, mean));
    }

    /// The lowest heights are needed first: for them, the highest that came go again.
    fn make_room(&mut self, height: Height) -> bool {
        while self.bytes >= INCOMING_BYTES_MAX {
            let Some(last) = self.arrived.last_entry().filter(|last| *last.key() > height) else { return false };
            let (last, batch) = last.remove_entry();
            self.bytes = self.bytes.saturating_sub(batch.batch.body.len());
            self.frontier = self.frontier.min(last);
        }
        true
    }

    /// A server gave nothing; perhaps it said below which height it has nothing any more.
    pub(super) fn refused(&mut self, from: ServerKey, first: Height, lowest: Option<Height>, now_ms: u64) {
        if let Some(asked) = self.under_way.remove(&first) {
            self.again.insert(first, asked.count);
        }
        match lowest {
            Some(lowest) => drop(self.lowest.insert(from, lowest)),
            None => drop(self.idle_until_ms.insert(from, now_ms.saturating_add(ANSWER_MS))),
        }
    }

    /// Requests that were not answered in time are to be made again, of somebody else.
    pub(super) fn give_up_overdue(&mut self, now_ms: u64) {
        let overdue: Vec<(Height, ServerKey)> = self
            .under_way
            .iter()
            .filter(|(_, asked)| asked.until_ms <= now_ms)
            .map(|(first, asked)| (*first, asked.from))
            .collect();
        overdue.into_iter().for_each(|(first, from)| self.refused(from, first, None, now_ms));
        self.idle_until_ms.retain(|_, until| *until > now_ms);
    }

    /// Whether nobody of these has the batch of a height any more, though all are beyond it.
    pub(super) fn is_nowhere(&self, height: Height, heights: &BTreeMap<ServerKey, Height>) -> bool {
        let mut ahead = heights.iter().filter(|(_, theirs)| **theirs >= height).map(|(key, _)| key).peekable();
        ahead.peek().is_some() && ahead.all(|key| self.lowest.get(key).is_some_and(|lowest| *lowest > height))
    }

    /// When something is overdue, or a server may be asked again.
    pub(super) fn wake_times_ms(&self) -> impl Iterator<Item = u64> {
        self.under_way.values().map(|asked| asked.until_ms).chain(self.idle_until_ms.values().copied())
    }

    /// Servers that left are of no use any more.
    pub(super) fn forget_departed(&mut self, stays: impl Fn(&ServerKey) -> bool) {
        self.lowest.retain(|key, _| stays(key));
        self.idle_until_ms.retain(|key, _| stays(key));
    }
}

#[cfg(test)]
mod tests;
