//! Every certificate can be made again from the decided batches alone, and so can every balance,
//! digest and checkpoint of an honest server.
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use seedbank_quorum::Commit;
use seedbank_types::{AccountId, AccountRecord, Certificate, Checkpoint, Genesis, Hash, ServerKey};

use crate::model::Model;

/// The model, and the certificates that were held against it.
#[derive(Debug)]
pub struct Reproducible {
    genesis: Rc<Genesis>,
    model: Model,
    seen: BTreeSet<Hash>,
}

impl Reproducible {
    pub(super) fn new(genesis: &Rc<Genesis>, accounts: &BTreeMap<AccountId, AccountRecord>) -> Self {
        Self { genesis: genesis.clone(), model: Model::new(genesis, accounts), seen: BTreeSet::new() }
    }

    /// Panics if a batch breaks a rule or a server makes something else of it.
    pub(super) fn decides(&mut self, commit: &Commit) {
        self.model.decide(&commit.header, &commit.body);
        let truth = self.model.after(&commit.header.hash()).expect("just decided");
        truth.agrees(&commit.changes.records, &commit.changes.state);
        assert_eq!(commit.closing, truth.checkpoint.is_some(), "a server closed an epoch that is open, or did not");
    }

    /// Panics if a server is about to sign what is not so.
    pub(super) fn signs(&self, key: ServerKey, checkpoint: &Checkpoint) {
        let expected = self.expected(key, checkpoint);
        assert_eq!(checkpoint, expected, "server {} is about to sign what is not so", key.short());
    }

    /// Panics if a certificate says what is not so, or is none; true if it is a new one.
    pub(super) fn certifies(&mut self, key: ServerKey, certificate: &Certificate) -> bool {
        if !self.seen.insert(Hash::of(&[&certificate.encode()])) {
            return false;
        }
        let checkpoint = &certificate.checkpoint;
        let expected = self.expected(key, checkpoint);
        assert_eq!(checkpoint, expected, "epoch {} was certified otherwise than it was", checkpoint.epoch);
        let verified = certificate.verify(&self.genesis.servers, self.genesis.quorum, &BTreeSet::new());
        assert!(verified.is_ok(), "the certificate of epoch {} is none: {verified:?}", checkpoint.epoch);
        true
    }

    fn expected(&self, key: ServerKey, checkpoint: &Checkpoint) -> &Checkpoint {
        let truth = self.model.after(&checkpoint.closing_header);
        let expected = truth.and_then(|truth| truth.checkpoint.as_deref());
        expected.unwrap_or_else(|| panic!("server {} names a closing header that nobody decided", key.short()))
    }
}
