//! The hash of one bucket in one pass, in fixed memory.
use seedbank_types::{AccountRecord, Hash, tree};

use super::batch::{LeafBatch, NodeBatch};
use super::{BucketLine, bucket_hash_of_root};

/// Leaves of a chunk, which is hashed level by level: few buckets are larger.
const CHUNK: usize = 1 << CHUNK_LEVELS;
const CHUNK_LEVELS: usize = 8;

/// A count of 32 bits has nodes on so many levels above the chunks.
const LEVELS_ABOVE: usize = 32 - CHUNK_LEVELS;

/// Takes the records of a bucket one by one and is then reused. It holds the leaves of one chunk
/// and, of the tree above, only the nodes that still wait for a sibling, one a level: a bucket of
/// any size takes no allocation.
#[derive(Debug, Clone)]
pub(crate) struct BucketHasher {
    count: u32,
    leaf_batch: LeafBatch,
    node_batch: NodeBatch,
    chunk: [Hash; CHUNK],
    /// Leaves in the chunk that are hashed.
    hashed: usize,
    waiting: [Hash; LEVELS_ABOVE],
}

impl Default for BucketHasher {
    fn default() -> Self {
        let (leaf_batch, node_batch) = (LeafBatch::default(), NodeBatch::default());
        let (chunk, waiting) = ([Hash::ZERO; CHUNK], [Hash::ZERO; LEVELS_ABOVE]);
        Self { count: 0, leaf_batch, node_batch, chunk, hashed: 0, waiting }
    }
}

impl BucketHasher {
    /// Records so far.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Takes the next record; `None` if the count would not fit.
    pub(crate) fn push(&mut self, record: &[u8; AccountRecord::BYTES]) -> Option<()> {
        self.count = self.count.checked_add(1)?;
        if self.leaf_batch.push(record) {
            self.hash_leaves();
        }
        if self.hashed == CHUNK {
            self.close_chunk();
        }
        Some(())
    }

    /// The bucket's line; the hasher begins again.
    pub(crate) fn finish(&mut self) -> BucketLine {
        self.hash_leaves();
        let root = self.root();
        let count = std::mem::take(&mut self.count);
        self.hashed = 0;
        BucketLine { count, hash: bucket_hash_of_root(count, &root) }
    }

    fn hash_leaves(&mut self) {
        self.hashed += self.leaf_batch.hash_into(&mut self.chunk[self.hashed..]);
    }

    /// Hashes the full chunk to one node and lets it find its siblings.
    fn close_chunk(&mut self) {
        let mut hash = self.chunk_node(CHUNK_LEVELS);
        // Like adding 1 to a binary number: a waiting node is a 1, and the carry is their parent.
        let before = self.count as usize / CHUNK - 1;
        let carries = before.trailing_ones() as usize;
        for left in &self.waiting[..carries] {
            hash = tree::node(left, &hash);
        }
        self.waiting[carries] = hash;
        self.hashed = 0;
    }

    /// The node `levels` above the leaves in the chunk, of which there is at least one; padded on
    /// every level where they are odd.
    fn chunk_node(&mut self, levels: usize) -> Hash {
        let mut count = self.hashed;
        for _ in 0..levels {
            if count % 2 == 1 {
                self.chunk[count] = Hash::ZERO;
                count += 1;
            }
            self.node_batch.pair_up(&mut self.chunk[..count]);
            count /= 2;
        }
        self.chunk[0]
    }

    /// The root over all leaves: above the chunks level by level, where the last node is padded if
    /// the level is odd.
    fn root(&mut self) -> Hash {
        let chunks = self.count as usize / CHUNK;
        if chunks == 0 {
            let leaves = u64::from(self.count);
            return if leaves == 0 { Hash::ZERO } else { self.chunk_node(tree::path_length(leaves)) };
        }
        let mut unpaired = (self.hashed > 0).then(|| self.chunk_node(CHUNK_LEVELS));
        for (level, waiting) in self.waiting.iter().enumerate() {
            match (chunks >> level, unpaired) {
                (0, Some(root)) => return root,
                (1, None) => return *waiting,
                (complete, right) if complete % 2 == 1 => {
                    unpaired = Some(tree::node(waiting, &right.unwrap_or(Hash::ZERO)));
                }
                (_, right) => unpaired = right.map(|left| tree::node(&left, &Hash::ZERO)),
            }
        }
        unpaired.expect("the levels suffice for any count")
    }
}
