//! A moment for each place.
use std::collections::{BTreeMap, BTreeSet};

use super::PLACES_MAX;
use crate::Time;
use crate::place::Place;

/// A moment for each of at most [`PLACES_MAX`] places. For a new one, the place with the earliest moment is forgotten,
/// but not that moment.
#[derive(Debug)]
pub(super) struct Moments {
    of: BTreeMap<Place, Time>,
    ordered: BTreeSet<(Time, Place)>,
    /// The latest moment of a place that was forgotten.
    forgotten: Option<Time>,
}

impl Moments {
    pub(super) const fn new() -> Self {
        Self { of: BTreeMap::new(), ordered: BTreeSet::new(), forgotten: None }
    }

    pub(super) fn of(&self, place: &Place) -> Option<Time> {
        self.of.get(place).copied()
    }

    /// The moment of a place; of one that is not known, the latest that it may have had if it was forgotten.
    pub(super) fn of_or_forgotten(&self, place: &Place) -> Option<Time> {
        self.of(place).or(self.forgotten)
    }

    pub(super) fn set(&mut self, place: Place, moment: Time) {
        if let Some(old) = self.of.get(&place) {
            self.ordered.remove(&(*old, place));
        } else if self.of.len() >= PLACES_MAX {
            self.forget_earliest();
        }
        self.of.insert(place, moment);
        self.ordered.insert((moment, place));
    }

    fn forget_earliest(&mut self) {
        if let Some((moment, place)) = self.ordered.pop_first() {
            self.forgotten = self.forgotten.max(Some(moment));
            self.of.remove(&place);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.of.len(), self.ordered.len(), "both sides hold the same places");
        self.of.len()
    }
}
