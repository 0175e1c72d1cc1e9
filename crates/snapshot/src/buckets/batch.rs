//! Leaves and nodes hashed in batches: the same hashes as those of [`tree`](seedbank_types::tree).
//!
//! They are laid out as whole SHA-256 blocks, padding in place, and all blocks of a batch are
//! filled before the first is hashed: a processor waits when it loads what it has only just stored
//! in other widths. This halves the time for a state of millions of accounts.
use seedbank_types::{AccountRecord, Hash};
use sha2::block_api::compress256;

const LEAVES: usize = 16;
const NODES: usize = 8;

/// First state of SHA-256 (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// 0x00 ‖ record ‖ padding: a leaf of 37 bytes fits one block.
const LEAF_BLOCK: [u8; 64] = padded(37, 37);

/// 0x01 ‖ left ‖ right ‖ padding: a node has 65 bytes, of which the last starts a second block.
const NODE_BLOCKS: [[u8; 64]; 2] = {
    let mut first = [0; 64];
    first[0] = 1;
    [first, padded(1, 65)]
};

/// The last block of a message of `length` bytes, which ends before byte `end` of this block.
const fn padded(end: usize, length: u16) -> [u8; 64] {
    let mut block = [0; 64];
    let [high, low] = (8 * length).to_be_bytes();
    block[end] = 0x80;
    block[62] = high;
    block[63] = low;
    block
}

/// SHA-256 of a message that is padded already.
fn hash_of_blocks(blocks: &[[u8; 64]]) -> Hash {
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    let mut hash = Hash::ZERO;
    for (bytes, word) in hash.0.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

/// Collects records and hashes them as leaves.
#[derive(Debug, Clone)]
pub(crate) struct LeafBatch {
    blocks: [[u8; 64]; LEAVES],
    filled: usize,
}

impl Default for LeafBatch {
    fn default() -> Self {
        Self { blocks: [LEAF_BLOCK; LEAVES], filled: 0 }
    }
}

impl LeafBatch {
    /// Takes a record; says whether the batch is full.
    pub(crate) fn push(&mut self, record: &[u8; AccountRecord::BYTES]) -> bool {
        self.blocks[self.filled][1..=AccountRecord::BYTES].copy_from_slice(record);
        self.filled += 1;
        self.filled == LEAVES
    }

    /// Writes the leaves of all records in the batch and empties it; returns how many.
    pub(crate) fn hash_into(&mut self, leaves: &mut [Hash]) -> usize {
        for (leaf, block) in leaves.iter_mut().zip(&self.blocks[..self.filled]) {
            *leaf = hash_of_blocks(std::slice::from_ref(block));
        }
        std::mem::take(&mut self.filled)
    }
}

/// Hashes pairs as nodes.
#[derive(Debug, Clone)]
pub(crate) struct NodeBatch {
    blocks: [[[u8; 64]; 2]; NODES],
}

impl Default for NodeBatch {
    fn default() -> Self {
        Self { blocks: [NODE_BLOCKS; NODES] }
    }
}

impl NodeBatch {
    /// Puts the nodes over pairs of `level`, whose length is even, into its first half.
    pub(crate) fn pair_up(&mut self, level: &mut [Hash]) {
        for start in (0..level.len() / 2).step_by(NODES) {
            let nodes = NODES.min(level.len() / 2 - start);
            let pairs = level[2 * start..2 * (start + nodes)].chunks_exact(2);
            for (blocks, pair) in self.blocks.iter_mut().zip(pairs) {
                blocks[0][1..33].copy_from_slice(&pair[0].0);
                blocks[0][33..].copy_from_slice(&pair[1].0[..31]);
                blocks[1][0] = pair[1].0[31];
            }
            for (node, blocks) in level[start..start + nodes].iter_mut().zip(&self.blocks) {
                *node = hash_of_blocks(blocks);
            }
        }
    }
}
