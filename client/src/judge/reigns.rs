//! Sets of servers one after the other: which of them signs an epoch. Pure.
use std::collections::BTreeSet;

use seedbank_types::{Certificate, Epoch, Handover, ServerKey, ServerSet, TimeMs};

use super::{Judge, Unbelieved};

/// A set of servers that has handed over.
#[derive(Debug, Clone)]
pub(super) struct Reign {
    pub(super) servers: ServerSet,
    /// The genesis' set, where it has the same keys with other powers.
    pub(super) powers_of_genesis: Option<ServerSet>,
    /// The last epoch that it signs.
    pub(super) last: Epoch,
}

impl Judge {
    /// All handovers that were followed, the first one by the trust file's servers.
    pub(crate) fn handovers(&self) -> &[Handover] {
        &self.handovers
    }

    /// Each set that handed over, with its handover.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&ServerSet, &Handover)> {
        self.reigns.iter().map(|reign| &reign.servers).zip(&self.handovers)
    }

    /// The hash by which the servers in force name themselves: with the powers of the genesis, if it has others.
    pub(crate) fn servers_hash(&self) -> seedbank_types::Hash {
        self.powers_of_genesis.as_ref().unwrap_or(&self.servers).hash()
    }

    /// Follows as many of these handovers as lead on from the trust file's servers: those kept by earlier runs,
    /// perhaps under an older file, begin earlier.
    pub(crate) fn follow_kept(&mut self, handovers: &[Handover], now: TimeMs) {
        for handover in handovers {
            if let Err(error) = self.follow(handover, now) {
                tracing::debug!(%error, "a kept handover is passed over");
            }
        }
    }

    /// The set that signs an epoch, and the powers that the genesis gives it.
    pub(super) fn set_at(&self, epoch: Epoch) -> (&ServerSet, Option<&ServerSet>) {
        match self.reigns.iter().find(|reign| epoch <= reign.last) {
            Some(reign) => (&reign.servers, reign.powers_of_genesis.as_ref()),
            None => (&self.servers, self.powers_of_genesis.as_ref()),
        }
    }

    /// The keys of all sets on the way, those in force first.
    pub(crate) fn all_keys(&self) -> Vec<ServerKey> {
        let mut keys: Vec<ServerKey> = self.servers.keys().collect();
        let mut known: BTreeSet<ServerKey> = keys.iter().copied().collect();
        for reign in self.reigns.iter().rev() {
            keys.extend(reign.servers.keys().filter(|key| known.insert(*key)));
        }
        keys
    }

    /// Follows a handover of the set in force, by the rule that applies.
    pub(crate) fn follow(&mut self, handover: &Handover, now: TimeMs) -> Result<(), Unbelieved> {
        self.grade(&handover.certificate, now)?;
        let (epoch, named) = (handover.certificate.checkpoint.epoch, handover.next.hash());
        let is_next = self.reigns.last().is_none_or(|reign| reign.last < epoch);
        if !is_next || named != handover.certificate.checkpoint.servers || named == self.servers_hash() {
            return Err(Unbelieved::NoHandover);
        }
        self.pin(handover.certificate.checkpoint.community);
        let servers = std::mem::replace(&mut self.servers, handover.next.clone());
        self.reigns.push(Reign { servers, powers_of_genesis: self.powers_of_genesis.take(), last: epoch });
        self.handovers.push(handover.clone());
        Ok(())
    }

    /// The handover of a set that had named other servers before, if that is what this one shows.
    pub(crate) fn named_twice(&self, handover: &Handover, now: TimeMs) -> Option<&Handover> {
        let checkpoint = &handover.certificate.checkpoint;
        let reign = self.reigns.iter().position(|reign| checkpoint.epoch <= reign.last)?;
        let is_certified = self.grade_as_signed(&handover.certificate, now).is_ok();
        let is_other = checkpoint.epoch < self.reigns[reign].last && handover.next.hash() == checkpoint.servers;
        (is_certified && is_other).then(|| &self.handovers[reign])
    }

    /// The handover after which a set signed on, if that is what this certificate shows.
    pub(crate) fn signed_on(&self, certificate: &Certificate) -> Option<&Handover> {
        let checkpoint = &certificate.checkpoint;
        let is_signed_on = |(reign, _): &(&Reign, &Handover)| {
            checkpoint.epoch > reign.last && certificate.verify(&reign.servers, self.rule, &BTreeSet::new()).is_ok()
        };
        if self.community != Some(checkpoint.community) {
            return None;
        }
        self.reigns.iter().zip(&self.handovers).find(is_signed_on).map(|(_, handover)| handover)
    }
}
