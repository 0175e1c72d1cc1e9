//! The tree over the bucket hashes, all levels kept, so that one bucket changes in `b` nodes.
use seedbank_types::{Hash, tree};

/// Level 0 are the bucket hashes; every level above has half as many; the last has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopTree {
    levels: Vec<Vec<Hash>>,
}

impl TopTree {
    /// # Panics
    /// If the number of hashes is no power of two.
    pub(crate) fn new(hashes: Vec<Hash>) -> Self {
        assert!(hashes.len().is_power_of_two(), "{} buckets are no power of two", hashes.len());
        let mut levels = vec![hashes];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level.chunks_exact(2).map(|pair| tree::node(&pair[0], &pair[1])).collect();
            levels.push(above);
        }
        Self { levels }
    }

    pub(crate) fn hashes(&self) -> &[Hash] {
        &self.levels[0]
    }

    pub(crate) fn level(&self, level: usize) -> &[Hash] {
        &self.levels[level]
    }

    pub(crate) fn root(&self) -> Hash {
        self.levels[self.levels.len() - 1][0]
    }

    pub(crate) fn path(&self, index: usize) -> Vec<Hash> {
        let below_root = &self.levels[..self.levels.len() - 1];
        below_root.iter().enumerate().map(|(level, hashes)| hashes[(index >> level) ^ 1]).collect()
    }

    pub(crate) fn set(&mut self, index: usize, hash: Hash) {
        self.levels[0][index] = hash;
        for level in 1..self.levels.len() {
            let at = index >> level;
            let below = &self.levels[level - 1];
            self.levels[level][at] = tree::node(&below[2 * at], &below[2 * at + 1]);
        }
    }
}
