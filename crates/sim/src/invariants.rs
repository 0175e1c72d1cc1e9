//! What must hold whatever happens, one file each. A broken one panics and says what it saw.
//!
//! Each is told of what happens and looks only at what that can have changed, so that all of them
//! can be held after every event.
pub mod bounded;
pub mod double_signer;
pub mod final_stays;
pub mod no_fork;
pub mod on_disk;
pub mod one_signature;
pub mod reproducible;
pub mod supply;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use seedbank_quorum::{Event, Message, Write};
use seedbank_types::{AccountId, AccountRecord, CommunityId, Genesis, ServerKey};

use crate::client::Client;
use crate::{Disk, Server};

/// All invariants of one community.
#[derive(Debug)]
pub struct Watch {
    community: CommunityId,
    genesis: Rc<Genesis>,
    liars: BTreeSet<ServerKey>,
    /// Who decided what.
    pub no_fork: no_fork::NoFork,
    /// What was called final.
    pub finals: final_stays::Finals,
    /// What was signed.
    pub signatures: one_signature::Signatures,
    /// What can be certified.
    pub reproducible: reproducible::Reproducible,
    /// All certificates.
    pub certificates: double_signer::Certificates,
    /// A light client that hears everything.
    pub client: Client,
}

impl Watch {
    pub(crate) fn new(
        genesis: &Rc<Genesis>,
        accounts: &BTreeMap<AccountId, AccountRecord>,
        liars: BTreeSet<ServerKey>,
        may_fork: bool,
    ) -> Self {
        Self {
            community: genesis.community(),
            genesis: genesis.clone(),
            no_fork: no_fork::NoFork::new(may_fork),
            finals: final_stays::Finals::default(),
            signatures: one_signature::Signatures::default(),
            reproducible: reproducible::Reproducible::new(genesis, accounts),
            certificates: double_signer::Certificates::new(genesis.servers.clone(), liars.clone()),
            client: Client::new(genesis),
            liars,
        }
    }

    /// A write gets to the disk of an honest server.
    pub(crate) fn writes(&mut self, key: ServerKey, write: &Write) {
        match write {
            Write::Commit(commit) => {
                self.no_fork.decides(key, &commit.header);
                self.reproducible.decides(commit);
            }
            Write::Certificate(certificate) => {
                if self.reproducible.certifies(key, certificate) {
                    self.certificates.hear(certificate);
                    self.client.hear(certificate);
                    let has_two = !self.certificates.named().is_empty();
                    assert_eq!(
                        has_two,
                        self.client.conflict().is_some(),
                        "a client accepted two certificates of an epoch"
                    );
                }
            }
            Write::Evidence(evidence) => double_signer::names_a_liar(evidence, &self.liars),
            Write::Intent(checkpoint) => self.reproducible.signs(key, checkpoint),
            Write::Log { .. } | Write::Guard(_) => {}
        }
    }

    /// A batch was applied: the disk of an honest server holds it.
    pub(crate) fn committed(&self, server: &Server) {
        supply::check(server.key, server.disk.content(), self.genesis.supply);
    }

    /// An honest server says something to others.
    pub(crate) fn says(&mut self, key: ServerKey, disk: &Disk, message: &Message) {
        let bytes = message.encode();
        let spoken = crate::wire::read(&bytes);
        on_disk::said(key, disk, &bytes, &spoken);
        self.signatures.hear(key, spoken);
    }

    /// An honest server reports something.
    pub(crate) fn reports(&mut self, key: ServerKey, disk: &Disk, event: &Event) {
        on_disk::reported(key, disk, event);
        match event {
            Event::Decided { height, header, entries, ids, .. } => {
                assert!(entries.iter().map(|entry| entry.id(&self.community)).eq(ids.iter().copied()), "other names");
                for id in ids {
                    let is_forked = self.no_fork.forked_at().is_some();
                    self.finals.called_final(*id, *height, *header, is_forked);
                }
            }
            Event::DoubleSigned(evidence) => double_signer::names_a_liar(evidence, &self.liars),
            _ => {}
        }
    }

    /// After every input of a server.
    pub(crate) fn after(&self, server: &Server) {
        bounded::check(server);
    }
}
