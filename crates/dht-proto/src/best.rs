//! The newest item that a look-up has found so far.
use crate::Item;

/// More values under one number than this are not kept: their key signs anything.
const VALUES_MAX: usize = 8;

/// The genuine items with the highest number seen, and how many nodes gave the first of them.
#[derive(Debug, Default)]
pub(crate) struct Best {
    items: Vec<Item>,
    holders: u32,
}

impl Best {
    /// Whether this number and value are among the best already, and thus need no checking; counted then.
    pub(crate) fn repeats(&mut self, item: &Item) -> bool {
        let same = |known: &Item| known.seq() == item.seq() && known.value() == item.value();
        let place = self.items.iter().position(same);
        self.holders += u32::from(place == Some(0));
        place.is_some()
    }

    /// Whether there is something better already, or enough of the same number.
    pub(crate) fn outdates(&self, item: &Item) -> bool {
        let Some(best) = self.items.first() else { return false };
        item.seq() < best.seq() || (item.seq() == best.seq() && self.items.len() >= VALUES_MAX)
    }

    /// Takes a genuine item that is not outdated.
    pub(crate) fn take(&mut self, item: Item) {
        if self.items.first().is_none_or(|best| best.seq() < item.seq()) {
            self.items.clear();
            self.holders = 1;
        }
        self.items.push(item);
    }

    /// The best one is kept by the asker itself, who is no holder.
    pub(crate) const fn holds_itself(&mut self) {
        self.holders = 0;
    }

    /// The nodes that gave the best item.
    pub(crate) const fn holders(&self) -> u32 {
        self.holders
    }

    /// What speaks against putting `item`: a higher number, or the same with another value.
    pub(crate) fn newer_than(&self, item: &Item) -> Option<&Item> {
        let against =
            |best: &&Item| best.seq() > item.seq() || (best.seq() == item.seq() && best.value() != item.value());
        self.items.iter().find(against)
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::ServerSecret;

    use super::*;
    use crate::MutableItem;

    fn item(seq: i64, value: u8) -> Item {
        let value = format!("i{value}e").into_bytes();
        Item::Mutable(MutableItem::sign(&ServerSecret::from_bytes(&[1; 32]), vec![], seq, value))
    }

    #[test]
    fn holders_are_those_of_the_best_one() {
        let mut best = Best::default();
        best.take(item(1, 1));
        assert!(best.repeats(&item(1, 1)) && best.holders() == 2);
        assert!(!best.repeats(&item(2, 1)));
        best.take(item(2, 1));
        assert!(best.holders() == 1 && best.outdates(&item(1, 1)));
    }

    #[test]
    fn a_key_that_signs_anything_fills_no_memory_and_hides_no_higher_number() {
        let mut best = Best::default();
        for value in 0..8 {
            assert!(!best.outdates(&item(1, value)));
            best.take(item(1, value));
        }
        assert!(best.outdates(&item(1, 9)) && !best.outdates(&item(2, 9)));
    }

    #[test]
    fn a_higher_number_or_a_fork_speaks_against_putting() {
        let mut best = Best::default();
        best.take(item(5, 1));
        assert_eq!(best.newer_than(&item(4, 9)), Some(&item(5, 1)));
        assert_eq!(best.newer_than(&item(5, 2)), Some(&item(5, 1)));
        assert_eq!((best.newer_than(&item(5, 1)), best.newer_than(&item(6, 0))), (None, None));
    }
}
