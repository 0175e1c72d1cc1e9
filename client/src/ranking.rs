//! Which certificate is the newest, and whether two contradict each other. Pure.
use std::collections::BTreeMap;

use seedbank_types::{Certificate, Epoch, Evidence, Grade, ServerSet};

/// Epochs remembered; the oldest are forgotten first.
const EPOCHS_MAX: usize = 64;

/// Where a certificate stands among those seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The newest so far.
    Newest,
    /// Of the newest epoch, seen before; perhaps it adds signatures.
    Known,
    /// Of an epoch before the newest.
    Older,
}

/// Two certified histories: nothing of either is believed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) one: Certificate,
    pub(crate) other: Certificate,
}

impl Conflict {
    /// The epoch up to which the histories differ.
    pub(crate) fn epoch(&self) -> Epoch {
        self.one.checkpoint.epoch.min(self.other.checkpoint.epoch)
    }

    /// Proofs against the servers that signed two checkpoints of one epoch.
    pub(crate) fn evidence(&self, servers: &ServerSet) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        for mine in &self.one.signatures {
            let theirs = self.other.signatures.iter().find(|theirs| theirs.number == mine.number);
            let (Some(theirs), Some((key, _))) = (theirs, servers.member(mine.number)) else { continue };
            let one = (self.one.checkpoint.clone(), mine.signature);
            evidence.extend(Evidence::new(key, one, (self.other.checkpoint.clone(), theirs.signature)).ok());
        }
        evidence
    }
}

/// The believed certificates by epoch. The highest never goes back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranking {
    by_epoch: BTreeMap<Epoch, (Certificate, Grade)>,
}

impl Ranking {
    /// Starts with the newest certificate of earlier runs.
    pub(crate) fn starting_with(newest: Option<(Certificate, Grade)>) -> Self {
        let entry = newest.map(|(certificate, grade)| (certificate.checkpoint.epoch, (certificate, grade)));
        Self { by_epoch: entry.into_iter().collect() }
    }

    /// The newest certificate.
    pub(crate) fn newest(&self) -> Option<&(Certificate, Grade)> {
        self.by_epoch.last_key_value().map(|(_, entry)| entry)
    }

    /// What is known of an epoch.
    pub(crate) fn at(&self, epoch: Epoch) -> Option<&Certificate> {
        self.by_epoch.get(&epoch).map(|(certificate, _)| certificate)
    }

    /// Ranks a certificate that is believed for itself.
    pub(crate) fn take(&mut self, certificate: &Certificate, grade: Grade) -> Result<Place, Box<Conflict>> {
        let epoch = certificate.checkpoint.epoch;
        if let Some(other) = self.contradiction(certificate) {
            return Err(Box::new(Conflict { one: other.clone(), other: certificate.clone() }));
        }
        let is_newest = self.by_epoch.last_key_value().is_none_or(|(newest, _)| *newest < epoch);
        let known = self.by_epoch.entry(epoch).or_insert_with(|| (certificate.clone(), grade));
        let has_more = known.0.signatures.len() < certificate.signatures.len();
        if known.1 < grade || (known.1 == grade && has_more) {
            *known = (certificate.clone(), grade);
        }
        while self.by_epoch.len() > EPOCHS_MAX {
            self.by_epoch.pop_first();
        }
        match self.by_epoch.last_key_value() {
            _ if is_newest => Ok(Place::Newest),
            Some((newest, _)) if *newest == epoch => Ok(Place::Known),
            _ => Ok(Place::Older),
        }
    }

    /// Another certificate of the same epoch, or one of a neighbouring epoch that builds on another past.
    fn contradiction(&self, certificate: &Certificate) -> Option<&Certificate> {
        let checkpoint = &certificate.checkpoint;
        let hash = checkpoint.hash();
        let at = |epoch: u64| self.by_epoch.get(&Epoch(epoch)).map(|(certificate, _)| certificate);
        let same = at(checkpoint.epoch.0).filter(|known| known.checkpoint.hash() != hash);
        let before = checkpoint.epoch.0.checked_sub(1).and_then(at);
        let before = before.filter(|known| known.checkpoint.hash() != checkpoint.previous);
        let after = checkpoint.epoch.0.checked_add(1).and_then(at);
        let after = after.filter(|known| known.checkpoint.previous != hash);
        same.or(before).or(after)
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::Hash;

    use super::*;
    use crate::samples::{COMMUNITY, certificate, checkpoint, servers, sign};

    #[test]
    fn the_newest_epoch_wins_and_never_goes_back() {
        let mut ranking = Ranking::starting_with(Some((certificate(5, 1, &[0, 1]), Grade::Crash)));
        assert_eq!(ranking.take(&certificate(3, 1, &[0, 1, 2]), Grade::Byzantine), Ok(Place::Older));
        assert_eq!(ranking.newest().expect("there is one").0.checkpoint.epoch, Epoch(5));
        assert_eq!(ranking.take(&certificate(7, 1, &[0, 1]), Grade::Crash), Ok(Place::Newest));
        assert_eq!(ranking.newest().expect("there is one").0.checkpoint.epoch, Epoch(7));
    }

    #[test]
    fn more_signatures_raise_the_grade_of_the_same_checkpoint() {
        let mut ranking = Ranking::default();
        assert_eq!(ranking.take(&certificate(7, 1, &[0, 1]), Grade::Crash), Ok(Place::Newest));
        assert_eq!(ranking.take(&certificate(7, 1, &[0, 1, 2]), Grade::Byzantine), Ok(Place::Known));
        assert_eq!(ranking.take(&certificate(7, 1, &[1, 2]), Grade::Crash), Ok(Place::Known));
        assert_eq!(ranking.newest().expect("there is one").1, Grade::Byzantine);
    }

    #[test]
    fn a_second_certificate_of_an_epoch_is_a_conflict_with_evidence_against_who_signed_both() {
        let mut ranking = Ranking::default();
        ranking.take(&certificate(7, 1, &[0, 1]), Grade::Crash).expect("the first");
        let conflict = ranking.take(&certificate(7, 2, &[1, 2]), Grade::Crash).expect_err("another of epoch 7");
        assert_eq!(conflict.epoch(), Epoch(7));
        let evidence = conflict.evidence(&servers());
        assert_eq!(evidence.len(), 1);
        assert_eq!(Some(evidence[0].key), servers().member(1).map(|(key, _)| key));
        assert_eq!(evidence[0].verify(), Ok(()));
    }

    #[test]
    fn a_certificate_that_builds_on_another_past_is_a_conflict() {
        let first = certificate(7, 1, &[0, 1]);
        let next = |previous| sign(checkpoint(COMMUNITY, 8, 1, previous), &[0, 1]);
        let mut ranking = Ranking::default();
        ranking.take(&first, Grade::Crash).expect("the first");
        assert_eq!(ranking.take(&next(first.checkpoint.hash()), Grade::Crash), Ok(Place::Newest));
        let mut ranking = Ranking::starting_with(Some((first.clone(), Grade::Crash)));
        ranking.take(&next(Hash([9; 32])), Grade::Crash).expect_err("after");
        let mut ranking = Ranking::starting_with(Some((next(Hash([9; 32])), Grade::Crash)));
        ranking.take(&first, Grade::Crash).expect_err("before");
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let mut ranking = Ranking::default();
        for epoch in 0..200 {
            ranking.take(&certificate(2 * epoch, 1, &[0, 1]), Grade::Crash).expect("no conflict");
        }
        assert_eq!(ranking.by_epoch.len(), EPOCHS_MAX);
        assert_eq!(ranking.newest().expect("there is one").0.checkpoint.epoch, Epoch(398));
    }
}
