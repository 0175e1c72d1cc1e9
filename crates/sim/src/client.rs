//! A light client that hears every certificate, as section 13 of the protocol has it.
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use seedbank_types::{Certificate, Epoch, Genesis, Hash};

/// What it believes.
#[derive(Debug)]
pub struct Client {
    genesis: Rc<Genesis>,
    accepted: BTreeMap<Epoch, Hash>,
    conflict: Option<Epoch>,
}

impl Client {
    pub(crate) fn new(genesis: &Rc<Genesis>) -> Self {
        Self { genesis: genesis.clone(), accepted: BTreeMap::new(), conflict: None }
    }

    /// Accepts a certificate, or stops for good at the second of an epoch.
    pub(crate) fn hear(&mut self, certificate: &Certificate) {
        let (epoch, hash) = (certificate.checkpoint.epoch, certificate.checkpoint.hash());
        let verified = certificate.verify(&self.genesis.servers, self.genesis.quorum, &BTreeSet::new());
        if verified.is_err() || self.conflict.is_some() {
            return;
        }
        let before = *self.accepted.entry(epoch).or_insert(hash);
        if before != hash {
            self.conflict = Some(epoch);
        }
    }

    /// The epoch of which it heard two certificates.
    #[must_use]
    pub const fn conflict(&self) -> Option<Epoch> {
        self.conflict
    }
}
