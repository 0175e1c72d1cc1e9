//! Chance that can be had again.
use std::time::Duration;

/// The same numbers for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The chance of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Another chance, which goes its own way.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::of(self.below(u64::MAX))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A place in a list of `len`, which is not empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a length")
    }

    /// A time below `end`.
    pub fn pause(&mut self, end: Duration) -> Duration {
        let end_ms = u64::try_from(end.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.below(end_ms))
    }

    /// Some of the numbers below `len`, `count` of them.
    pub fn some(&mut self, len: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..len).collect();
        let mut chosen = Vec::new();
        for _ in 0..count.min(len) {
            let index = self.index(all.len());
            chosen.push(all.swap_remove(index));
        }
        chosen.sort_unstable();
        chosen
    }
}
