//! The hash tree of the design: one shape for accounts, payments and headers.
//!
//! Leaf = H(0x00 ‖ data); node = H(0x01 ‖ left ‖ right); a level of odd length greater than one
//! is padded with 32 zero bytes; a level of one is the root; no leaves give 32 zero bytes.
use crate::Hash;

/// H(0x00 ‖ data).
#[must_use]
pub fn leaf(data: &[u8]) -> Hash {
    Hash::of(&[&[0], data])
}

/// H(0x01 ‖ left ‖ right).
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

/// The root over leaves (or over the hashes that stand in their place).
#[must_use]
pub fn root(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied().unwrap_or(Hash::ZERO)
}

/// The level above: half as many hashes.
fn above(level: &[Hash]) -> Vec<Hash> {
    level.chunks(2).map(|pair| node(&pair[0], pair.get(1).unwrap_or(&Hash::ZERO))).collect()
}

/// How many hashes a path has in a tree of `count` leaves.
#[must_use]
pub const fn path_length(count: u64) -> usize {
    if count <= 1 { 0 } else { (u64::BITS - (count - 1).leading_zeros()) as usize }
}

/// The siblings from leaf `index` up to the root.
///
/// # Panics
/// If there is no leaf `index`.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    assert!(index < leaves.len(), "leaf {index} of {}", leaves.len());
    let (mut level, mut at, mut path) = (leaves.to_vec(), index, Vec::new());
    while level.len() > 1 {
        path.push(level.get(at ^ 1).copied().unwrap_or(Hash::ZERO));
        level = above(&level);
        at /= 2;
    }
    path
}

/// The root that `leaf` at `index` of `count` has with this path; `None` if the index or the
/// length of the path cannot be.
#[must_use]
pub fn root_of_path(leaf: Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count || path.len() != path_length(count) {
        return None;
    }
    let mut at = index;
    Some(path.iter().fold(leaf, |hash, sibling| {
        let parent = if at.is_multiple_of(2) { node(&hash, sibling) } else { node(sibling, &hash) };
        at /= 2;
        parent
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|number| leaf(&[number])).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_path_to_the_root() {
        for count in 1..=33 {
            let leaves = leaves(count);
            let expected = root(leaves.clone());
            for index in 0..leaves.len() {
                let path = path(&leaves, index);
                assert_eq!(path.len(), path_length(u64::from(count)));
                assert_eq!(root_of_path(leaves[index], index as u64, u64::from(count), &path), Some(expected));
            }
        }
    }

    #[test]
    fn a_path_at_another_index_or_of_another_length_gives_another_root() {
        let leaves = leaves(5);
        let path = path(&leaves, 2);
        let expected = Some(root(leaves.clone()));
        assert_ne!(root_of_path(leaves[2], 3, 5, &path), expected);
        assert_eq!(root_of_path(leaves[2], 5, 5, &path), None);
        assert_eq!(root_of_path(leaves[2], 2, 5, &path[1..]), None);
    }

    #[test]
    fn odd_levels_are_padded_with_zeroes() {
        let leaves = leaves(3);
        let expected = node(&node(&leaves[0], &leaves[1]), &node(&leaves[2], &Hash::ZERO));
        assert_eq!(root(leaves), expected);
        assert_eq!(root(vec![]), Hash::ZERO);
    }
}
