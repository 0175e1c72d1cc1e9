//! Two certificates of one epoch always name a double signer, it is a liar, and nobody else is ever
//! accused.
use std::collections::{BTreeMap, BTreeSet};

use seedbank_types::{Certificate, Checkpoint, Epoch, Evidence, NumberedSignature, ServerKey, ServerSet, Signature};

/// Panics if evidence accuses an honest server.
pub(super) fn names_a_liar(evidence: &Evidence, liars: &BTreeSet<ServerKey>) {
    assert!(evidence.verify().is_ok(), "evidence against {} that proves nothing", evidence.key.short());
    assert!(liars.contains(&evidence.key), "honest server {} was framed", evidence.key.short());
}

/// All certificates of all epochs.
#[derive(Debug)]
pub struct Certificates {
    servers: ServerSet,
    liars: BTreeSet<ServerKey>,
    by_epoch: BTreeMap<Epoch, Vec<Certificate>>,
    named: BTreeSet<ServerKey>,
}

impl Certificates {
    pub(super) const fn new(servers: ServerSet, liars: BTreeSet<ServerKey>) -> Self {
        Self { servers, liars, by_epoch: BTreeMap::new(), named: BTreeSet::new() }
    }

    /// Panics if two certificates contradict each other and no liar signed both.
    pub(super) fn hear(&mut self, certificate: &Certificate) {
        let epoch = certificate.checkpoint.epoch;
        let others = self.by_epoch.entry(epoch).or_default();
        let differ = |other: &&Certificate| other.checkpoint != certificate.checkpoint;
        for other in others.iter().filter(differ) {
            let found = double_signers(&self.servers, other, certificate);
            assert!(!found.is_empty(), "epoch {epoch} has two certificates and no double signer");
            found.iter().for_each(|evidence| names_a_liar(evidence, &self.liars));
            self.named.extend(found.iter().map(|evidence| evidence.key));
        }
        others.push(certificate.clone());
    }

    /// Those who were shown to have signed two certificates of one epoch.
    #[must_use]
    pub const fn named(&self) -> &BTreeSet<ServerKey> {
        &self.named
    }
}

/// What two certificates prove against servers that are in both.
fn double_signers(servers: &ServerSet, one: &Certificate, other: &Certificate) -> Vec<Evidence> {
    let of = |certificate: &Certificate, number: u8| -> Option<Signature> {
        let found: Option<&NumberedSignature> = certificate.signatures.iter().find(|signed| signed.number == number);
        found.map(|signed| signed.signature)
    };
    let both = one.signatures.iter().filter_map(|signed| {
        let (key, _) = servers.member(signed.number)?;
        let signed_two: (Checkpoint, Signature) = (other.checkpoint.clone(), of(other, signed.number)?);
        Evidence::new(key, (one.checkpoint.clone(), signed.signature), signed_two).ok()
    });
    both.collect()
}
