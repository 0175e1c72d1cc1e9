//! A state that a quorum certified, for a server that goes on from it without the batches before it.
//!
//! The way there is proven as for a client: from a set of servers that is known, by handovers, to the
//! set that signed the newest checkpoint. What a header says beside that (the state digest, who proposed
//! it) is in the closing header, whose hash the checkpoint names. So all of it may come from anybody.
use std::collections::BTreeSet;

use seedbank_ledger::LedgerState;
use seedbank_types::{
    Body, Certificate, CertificateError, CommunityId, Epoch, Grade, Handover, Hash, Height, Rule, ServerKey, ServerSet,
};

use crate::{Chain, DecidedBatch, LastClosed};

/// Sets of servers one after the other, as far as certified handovers lead.
#[derive(Debug, Clone)]
pub struct Succession {
    community: CommunityId,
    rule: Rule,
    /// The first epoch of which it is known who signs it.
    since: Epoch,
    /// The set that signs that epoch.
    first: ServerSet,
    handovers: Vec<Handover>,
}

/// Why somebody's statement about the newest state is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCertified {
    /// Of somebody else.
    #[error("it is of another community")]
    OtherCommunity,
    /// Before all that is known here.
    #[error("it is of epoch {0}, which ended before all that is known here")]
    TooOld(Epoch),
    /// The signatures are not enough.
    #[error("{0}")]
    Signatures(#[from] CertificateError),
    /// Nobody gave the set that it names.
    #[error("it names servers for the next epoch that no handover leads to")]
    NextServers,
    /// The closing header or its body is another one.
    #[error("the closing header is not the one that the checkpoint names")]
    ClosingHeader,
    /// The decision of the closing header has no quorum.
    #[error("no quorum decided the closing header")]
    Decision,
}

impl Succession {
    /// What a server knows whose state is this, with this epoch open.
    #[must_use]
    pub fn new(community: CommunityId, rule: Rule, state: &LedgerState, open: Epoch) -> Self {
        let (since, first) = match open {
            Epoch(0 | 1) => (Epoch(1), state.servers.clone()),
            // The handover at the end of the last epoch may not be known yet: it begins with that.
            Epoch(open) => (Epoch(open - 1), state.signers.clone()),
        };
        Self { community, rule, since, first, handovers: Vec::new() }
    }

    /// The last set known: handovers from it are asked for.
    #[must_use]
    pub fn newest(&self) -> &ServerSet {
        self.handovers.last().map_or(&self.first, |handover| &handover.next)
    }

    /// The handovers that were followed, in order.
    #[must_use]
    pub fn handovers(&self) -> &[Handover] {
        &self.handovers
    }

    /// Follows as many of these as lead on; says how many did. Others are passed over: whoever is asked
    /// begins where a set handed over for the first time, which may be before what is known here.
    pub fn follow(&mut self, handovers: &[Handover]) -> usize {
        let before = self.handovers.len();
        for handover in handovers {
            if self.leads_on(handover) {
                self.handovers.push(handover.clone());
            }
        }
        self.handovers.len() - before
    }

    fn leads_on(&self, handover: &Handover) -> bool {
        let checkpoint = &handover.certificate.checkpoint;
        let last = self.handovers.last().map(|handover| handover.certificate.checkpoint.epoch);
        let is_later = checkpoint.epoch >= self.since && last.is_none_or(|last| last < checkpoint.epoch);
        is_later && checkpoint.community == self.community && handover.verify(self.newest(), self.rule).is_ok()
    }

    /// The set that signs an epoch.
    fn signers(&self, epoch: Epoch) -> &ServerSet {
        let before = self.handovers.iter().rev().find(|handover| handover.certificate.checkpoint.epoch < epoch);
        before.map_or(&self.first, |handover| &handover.next)
    }

    /// Whether a certificate has the signatures of the set of its epoch, and which set it names for the
    /// next. All handovers up to its epoch must have been followed.
    pub fn certified(&self, certificate: Certificate) -> Result<CertifiedEpoch, NotCertified> {
        let checkpoint = &certificate.checkpoint;
        if checkpoint.community != self.community {
            return Err(NotCertified::OtherCommunity);
        }
        if checkpoint.epoch < self.since {
            return Err(NotCertified::TooOld(checkpoint.epoch));
        }
        let signers = self.signers(checkpoint.epoch).clone();
        let grade = certificate.verify(&signers, self.rule, &BTreeSet::new())?;
        let of_epoch = |handover: &&Handover| handover.certificate.checkpoint.epoch <= checkpoint.epoch;
        let handovers: Vec<Handover> = self.handovers.iter().take_while(of_epoch).cloned().collect();
        let next = [&signers, self.signers(checkpoint.epoch.next())];
        let next = next.into_iter().find(|set| set.hash() == checkpoint.servers).cloned();
        let next = next.ok_or(NotCertified::NextServers)?;
        let first = self.first.clone();
        Ok(CertifiedEpoch { certificate, grade, signers, next, first, handovers, rule: self.rule })
    }
}

/// A certificate with all that makes it believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedEpoch {
    /// The certificate.
    pub certificate: Certificate,
    /// How many stand behind it.
    pub grade: Grade,
    /// The set that signed it.
    pub signers: ServerSet,
    /// The set that signs the next epoch.
    pub next: ServerSet,
    /// The set that was known at first.
    pub first: ServerSet,
    /// The handovers that lead from it to these sets, in order.
    pub handovers: Vec<Handover>,
    rule: Rule,
}

impl CertifiedEpoch {
    /// The height that closed the epoch.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.certificate.checkpoint.height
    }

    /// Takes the batch that closed the epoch in, if it is that.
    pub fn closed_by(self, closing: DecidedBatch) -> Result<CertifiedState, NotCertified> {
        let header = &closing.header;
        let is_named = header.hash() == self.certificate.checkpoint.closing_header;
        if !is_named || Body::digest(&closing.body) != header.body_digest {
            return Err(NotCertified::ClosingHeader);
        }
        if !closing.decision.proves(header, &self.signers, self.rule) {
            return Err(NotCertified::Decision);
        }
        Ok(CertifiedState { epoch: self, closing })
    }
}

/// All that a server needs beside the accounts to go on after a certified epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedState {
    /// The epoch.
    pub epoch: CertifiedEpoch,
    /// The batch that closed it.
    pub closing: DecidedBatch,
}

impl CertifiedState {
    /// The ledger state after the closing header. `last_change` is the height that the snapshot file
    /// carries; the infohash in the checkpoint confirms it.
    #[must_use]
    pub fn ledger_state(&self, last_change: Height) -> LedgerState {
        let checkpoint = &self.epoch.certificate.checkpoint;
        LedgerState {
            height: checkpoint.height,
            // A closing header changes no record.
            digest: self.closing.header.previous_state,
            supply: checkpoint.supply,
            count: checkpoint.count,
            last_change,
            signers: self.epoch.signers.clone(),
            servers: self.epoch.next.clone(),
            next_servers: self.epoch.next.clone(),
        }
    }

    /// The chain that goes on from here.
    #[must_use]
    pub fn chain(&self, genesis: &seedbank_types::Genesis, last_change: Height) -> Chain {
        let (state, certificate) = (self.ledger_state(last_change), self.epoch.certificate.clone());
        Chain::recover(genesis, state, Some(&self.closing.header), &[], Some(certificate))
    }

    /// The epoch as the one that was closed last.
    #[must_use]
    pub fn last_closed(&self, last_change: Height) -> LastClosed {
        LastClosed::new(&self.closing.header, &self.ledger_state(last_change))
    }

    /// Hash of the checkpoint.
    #[must_use]
    pub fn checkpoint_hash(&self) -> Hash {
        self.epoch.certificate.checkpoint.hash()
    }

    /// Whether a key helped to decide the closing header.
    pub(crate) fn was_voted_for_by(&self, key: &ServerKey) -> bool {
        self.closing.decision.signers(&self.epoch.signers).any(|signer| signer == *key)
    }

    /// Whether a key signed the checkpoint.
    pub(crate) fn was_signed_by(&self, key: &ServerKey) -> bool {
        let number = self.epoch.signers.number(key);
        self.epoch.certificate.signatures.iter().any(|one| Some(one.number) == number)
    }
}

#[cfg(test)]
mod tests;
