//! Randomness from a seed (SplitMix64): small, fast, the same everywhere.
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]
use std::time::Duration;

/// A stream of numbers that a seed determines.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which must not be 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("64 bits at most");
        usize::try_from(self.next_u64() % limit).expect("below a usize")
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next_u64().to_le_bytes()[..part.len()]);
        }
        bytes
    }

    /// True in so many of a million cases.
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        self.next_u64() % 1_000_000 < u64::from(per_million)
    }

    /// Anything from `middle - width` to `middle + width`.
    pub(crate) fn around(&mut self, middle: Duration, width: Duration) -> Duration {
        let span = u64::try_from(width.as_micros()).expect("small") * 2 + 1;
        middle.saturating_sub(width) + Duration::from_micros(self.next_u64() % span)
    }

    /// A lifetime of something that does not age, of which half last longer than `median`.
    pub(crate) fn lifetime(&mut self, median: Duration) -> Duration {
        // 53 bits are what a float holds; never 0, whose logarithm is infinite.
        let uniform = ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        median.mul_f64(-uniform.log2())
    }
}
