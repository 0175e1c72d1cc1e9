//! Signing of checkpoints, collecting of signatures, certificates and evidence.
//!
//! Per epoch a server has at most one intent; it is on disk before the signature exists, so a key
//! signs one statement per epoch or none.
use std::collections::{BTreeMap, BTreeSet};

use seedbank_types::{
    Certificate, Checkpoint, Epoch, Evidence, Grade, Hash, NumberedSignature, Rule, ServerKey, ServerSet, Signature,
};

use crate::message::SignedCheckpoint;

/// Epochs for which signatures are collected at once.
pub(crate) const EPOCHS_MAX: usize = 4;
/// Pieces of evidence kept of one key, each of another epoch: the first decides, a few more show
/// that it goes on.
const EVIDENCE_PER_KEY_MAX: usize = 4;

/// What came of a signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Known, far or worthless.
    Nothing,
    /// A new signature.
    New,
    /// The key had signed something else for this epoch.
    DoubleSigned(Box<Evidence>),
}

#[derive(Debug, Default)]
struct Collected {
    /// By server: the first checkpoint it signed.
    signed: BTreeMap<ServerKey, (Hash, Signature)>,
    checkpoints: BTreeMap<Hash, Checkpoint>,
}

/// Signatures of the last few epochs.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    epochs: BTreeMap<Epoch, Collected>,
    intents: BTreeMap<Epoch, Checkpoint>,
    double_signers: BTreeSet<ServerKey>,
    /// For which epochs there is evidence of a key.
    proven: BTreeSet<(ServerKey, Epoch)>,
}

impl Checkpoints {
    pub(crate) fn new(intents: Vec<Checkpoint>, evidence: &[Evidence]) -> Self {
        Self {
            epochs: BTreeMap::new(),
            intents: intents.into_iter().map(|intent| (intent.epoch, intent)).collect(),
            double_signers: evidence.iter().map(|evidence| evidence.key).collect(),
            proven: evidence.iter().map(|evidence| (evidence.key, evidence.a.epoch)).collect(),
        }
    }

    /// For how many epochs signatures are held.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// What this server means to sign, or signed, for an epoch.
    pub(crate) fn intent(&self, epoch: Epoch) -> Option<&Checkpoint> {
        self.intents.get(&epoch)
    }

    /// Whether an epoch is newer than all that this disk remembers to have signed.
    pub(crate) fn is_after_intents(&self, epoch: Epoch) -> bool {
        self.intents.keys().next_back().is_none_or(|newest| epoch > *newest)
    }

    /// Remembers an intent; there must be none for its epoch.
    pub(crate) fn intend(&mut self, checkpoint: Checkpoint) {
        let epoch = checkpoint.epoch;
        let before = self.intents.insert(epoch, checkpoint);
        assert!(before.is_none(), "a second intent for epoch {epoch}");
        while self.intents.len() > EPOCHS_MAX {
            self.intents.pop_first();
        }
    }

    /// Takes a signature in. `newest` is the last closed epoch as this server knows it: signatures
    /// far from it are not kept. The key must be a server's, which bounds what is kept: one
    /// checkpoint a key and epoch. (A limit on different checkpoints would let one liar crowd out
    /// the true one.)
    pub(crate) fn hear(&mut self, signed: &SignedCheckpoint, newest: Epoch) -> Heard {
        let epoch = signed.checkpoint.epoch;
        let near = epoch.next() >= newest && epoch.0 <= newest.0.saturating_add(2);
        if !near || !signed.checkpoint.is_signed_by(&signed.key, &signed.signature) {
            return Heard::Nothing;
        }
        let collected = self.epochs.entry(epoch).or_default();
        let hash = signed.checkpoint.hash();
        let heard = match collected.signed.get(&signed.key) {
            Some((before, _)) if *before == hash => Heard::Nothing,
            Some((before, signature)) => {
                let before = (collected.checkpoints[before].clone(), *signature);
                match Evidence::new(signed.key, before, (signed.checkpoint.clone(), signed.signature)) {
                    Ok(evidence) if self.discredit(signed.key, epoch) => Heard::DoubleSigned(Box::new(evidence)),
                    _ => Heard::Nothing,
                }
            }
            None => {
                collected.checkpoints.insert(hash, signed.checkpoint.clone());
                collected.signed.insert(signed.key, (hash, signed.signature));
                Heard::New
            }
        };
        while self.epochs.len() > EPOCHS_MAX {
            self.epochs.pop_first();
        }
        heard
    }

    /// Counts a key's signatures no more; whether evidence of this epoch is worth keeping.
    pub(crate) fn discredit(&mut self, key: ServerKey, epoch: Epoch) -> bool {
        self.double_signers.insert(key);
        let of_key = self.proven.range((key, Epoch(0))..=(key, Epoch(u64::MAX))).count();
        of_key < EVIDENCE_PER_KEY_MAX && self.proven.insert((key, epoch))
    }

    /// Whose signatures count no more.
    pub(crate) fn is_discredited(&self, key: &ServerKey) -> bool {
        self.double_signers.contains(key)
    }

    /// What was heard to be signed for an epoch, first, by whom.
    pub(crate) fn signatures(&self, epoch: Epoch) -> impl Iterator<Item = (ServerKey, Hash)> {
        let signed = self.epochs.get(&epoch).map(|collected| &collected.signed);
        signed.into_iter().flatten().map(|(key, (hash, _))| (*key, *hash))
    }

    /// The checkpoint that a key was first heard to sign for an epoch.
    pub(crate) fn signed_by(&self, epoch: Epoch, key: &ServerKey) -> Option<Hash> {
        self.epochs.get(&epoch)?.signed.get(key).map(|(hash, _)| *hash)
    }

    /// Takes the signatures out of a certificate, so that a better one can be made of both.
    pub(crate) fn hear_certificate(
        &mut self,
        certificate: &Certificate,
        servers: &ServerSet,
        newest: Epoch,
    ) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        for one in &certificate.signatures {
            let Some((key, _)) = servers.member(one.number) else { continue };
            let signed = SignedCheckpoint { key, checkpoint: certificate.checkpoint.clone(), signature: one.signature };
            if let Heard::DoubleSigned(found) = self.hear(&signed, newest) {
                evidence.push(*found);
            }
        }
        evidence
    }

    /// The certificate that the collected signatures of an epoch make, if any, with its grade.
    pub(crate) fn certificate(&self, epoch: Epoch, servers: &ServerSet, rule: Rule) -> Option<(Certificate, Grade)> {
        let collected = self.epochs.get(&epoch)?;
        collected.checkpoints.iter().find_map(|(hash, checkpoint)| {
            let mut signatures: Vec<NumberedSignature> = collected
                .signed
                .iter()
                .filter(|(_, (signed, _))| signed == hash)
                .filter_map(|(key, (_, signature))| {
                    servers.number(key).map(|number| NumberedSignature { number, signature: *signature })
                })
                .collect();
            signatures.sort_by_key(|one| one.number);
            let certificate = Certificate { checkpoint: checkpoint.clone(), signatures };
            let grade = certificate.verify(servers, rule, &self.double_signers).ok()?;
            Some((certificate, grade))
        })
    }
}
