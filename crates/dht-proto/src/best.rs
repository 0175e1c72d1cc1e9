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
    /// Whether the item is one of the best already, and thus needs no checking; it is counted then.
    pub(crate) fn repeats(&mut self, item: &Item) -> bool {
        let place = self.items.iter().position(|known| known == item);
        self.holders += u32::from(place == Some(0));
        place.is_some()
    }

    /// Whether there is something better already.
    pub(crate) fn outdates(&self, item: &Item) -> bool {
        self.items.first().is_some_and(|best| item.seq() < best.seq()) || self.items.len() >= VALUES_MAX
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
