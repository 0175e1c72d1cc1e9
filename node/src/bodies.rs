//! Bodies that other servers may ask for before they are decided.
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use seedbank_types::Hash;

/// Bodies kept at once.
const BODIES_MAX: usize = 64;
/// Their bytes together.
const BYTES_MAX: usize = 64 << 20;

/// The newest bodies by digest; the oldest goes first.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_digest: BTreeMap<Hash, Vec<u8>>,
    order: VecDeque<Hash>,
    bytes: usize,
}

impl Bodies {
    pub(crate) fn keep(&self, digest: Hash, body: Vec<u8>) {
        let mut kept = self.lock();
        if kept.by_digest.contains_key(&digest) {
            return;
        }
        kept.bytes += body.len();
        kept.order.push_back(digest);
        kept.by_digest.insert(digest, body);
        while kept.order.len() > BODIES_MAX || (kept.bytes > BYTES_MAX && kept.order.len() > 1) {
            let oldest = kept.order.pop_front().and_then(|digest| kept.by_digest.remove(&digest));
            kept.bytes -= oldest.map_or(0, |body| body.len());
        }
    }

    pub(crate) fn body(&self, digest: &Hash) -> Option<Vec<u8>> {
        self.lock().by_digest.get(digest).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bodies_are_forgotten_first() {
        let bodies = Bodies::default();
        let digest = |number: usize| Hash::of(&[&number.to_be_bytes()]);
        for number in 0..BODIES_MAX + 2 {
            bodies.keep(digest(number), vec![1; 10]);
            bodies.keep(digest(number), vec![2; 10]);
        }
        assert_eq!(bodies.body(&digest(1)), None);
        assert_eq!(bodies.body(&digest(2)), Some(vec![1; 10]));
    }

    #[test]
    fn bytes_are_bounded_but_the_newest_body_is_kept() {
        let bodies = Bodies::default();
        for number in 0..4_u8 {
            bodies.keep(Hash([number; 32]), vec![number; BYTES_MAX / 2]);
        }
        assert_eq!(bodies.body(&Hash([1; 32])), None);
        assert!(bodies.body(&Hash([2; 32])).is_some());
        bodies.keep(Hash([9; 32]), vec![0; BYTES_MAX + 1]);
        assert!(bodies.body(&Hash([9; 32])).is_some() && bodies.body(&Hash([3; 32])).is_none());
    }
}
