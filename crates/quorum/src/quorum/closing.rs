//! The end of an epoch: cut, intent, signature, certificate.
use std::collections::BTreeSet;

use seedbank_types::{Amount, Certificate, Checkpoint, Epoch, FileRef, Hash, Header, Height, TimeMs};

use seedbank_ledger::LedgerState;

use super::{Effect, Event, Quorum, Write};
use crate::checkpoints::Heard;
use crate::guard::Guard;
use crate::message::{Said, SignedCheckpoint};

/// The header that closed an epoch, as far as its checkpoint needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastClosed {
    /// The epoch.
    pub epoch: Epoch,
    /// Height of the closing header.
    pub height: Height,
    /// Its hash.
    pub hash: Hash,
    /// Its time.
    pub time: TimeMs,
    /// The checkpoint that it names.
    pub previous_checkpoint: Hash,
    /// Accounts at that height.
    pub count: u64,
    /// Supply at that height.
    pub supply: Amount,
    /// Height of the last batch that changed any record by then.
    pub last_change: Height,
    /// Hash of the set that signs the next epoch.
    pub servers: Hash,
}

impl LastClosed {
    /// What a closing header says, with the state after it.
    #[must_use]
    pub fn new(header: &Header, state: &LedgerState) -> Self {
        Self {
            epoch: header.epoch,
            height: header.height,
            hash: header.hash(),
            time: header.time,
            previous_checkpoint: header.previous_checkpoint,
            count: state.count,
            supply: state.supply,
            last_change: state.last_change,
            servers: state.servers.hash(),
        }
    }
}

/// The order to compute root and snapshot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOrder {
    /// The epoch that was closed.
    pub epoch: Epoch,
    /// Height of its closing header: the accounts as they were after it are wanted, even if batches
    /// were applied since.
    pub height: Height,
    /// Height of the last batch that changed any record: the file carries it.
    pub last_change: Height,
}

/// Root and snapshot file at the end of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The epoch.
    pub epoch: Epoch,
    /// State root over all accounts.
    pub root: Hash,
    /// How many accounts.
    pub count: u64,
    /// Sum of all balances, counted.
    pub supply: Amount,
    /// The file with all accounts.
    pub snapshot: FileRef,
    /// The file with what changed, if one was cut.
    pub delta: FileRef,
}

impl Quorum {
    /// An epoch was closed by the batch just applied.
    pub(super) fn closed(&mut self, header: &Header) {
        self.last_closed = Some(LastClosed::new(header, &self.chain.state));
        self.unsigned = None;
        self.forget_departed();
        self.is_cut_due = true;
        self.cut_if_due();
        self.certify();
    }

    /// Orders the cut, unless so much is still to be fetched that a later epoch is sure to be closed, or the others
    /// manage without.
    pub(super) fn cut_if_due(&mut self) {
        if self.is_cut_due && self.committing.is_none() && !self.is_superseded() && !self.is_late() {
            self.is_cut_due = false;
            self.order_cut();
        }
    }

    /// Whether the fetched batches that wait close the open epoch as well: then nobody needs the cut
    /// of the one before.
    fn is_superseded(&self) -> bool {
        let (open, closes_at) = (self.chain.epoch, self.chain.closes_at());
        self.fetching.arrived().any(|one| one.batch.header.epoch > open || one.batch.header.time >= closes_at)
    }

    /// The certificate in the body of a closing header that is about to be applied. It goes to disk
    /// with that batch, and so do the limits that follow from it.
    pub(super) fn learn_certificate(&mut self, certificate: &Certificate) {
        self.check_own_past(certificate);
        self.write(Write::Certificate(certificate.clone()));
    }

    /// The certificate of an epoch, held against what this server signed.
    fn check_own_past(&mut self, certificate: &Certificate) {
        let checkpoint = &certificate.checkpoint;
        let own = self.chain.state.signers.number(&self.key);
        let signed = certificate.signatures.iter().any(|one| Some(one.number) == own);
        match self.checkpoints.intent(checkpoint.epoch) {
            Some(intent) if intent != checkpoint => {
                let why = format!("the servers certified another checkpoint of epoch {}", checkpoint.epoch);
                self.diverge(checkpoint.height, why, Some(certificate));
            }
            None if signed && !self.knows_signed(checkpoint.epoch) => {
                // The key signed what this disk knows nothing of: it was restored from a backup.
                let (closing, open) = (self.chain.next_height(), self.chain.epoch.next());
                self.observe_beyond(closing, closing, open, checkpoint.epoch);
            }
            _ => {}
        }
    }

    /// Whether it is no news that the key may have signed this epoch: the disk remembers it, or the
    /// limits were raised for it before.
    pub(super) fn knows_signed(&self, epoch: Epoch) -> bool {
        let signed_to = self.guard.signed_to;
        !self.checkpoints.is_after_intents(epoch) || signed_to != Guard::UNKNOWN && epoch <= signed_to
    }

    pub(super) fn diverge(&mut self, height: Height, why: String, certificate: Option<&Certificate>) {
        if !self.diverged {
            self.set_diverged();
            let certificate = certificate.cloned().map(Box::new);
            self.say(Effect::Event(Event::Diverged { height, why, certificate }));
        }
    }

    /// From now on this server votes, signs and applies nothing: its database stays as it is. For a
    /// server that was so before it was started again.
    pub fn set_diverged(&mut self) {
        self.diverged = true;
        self.engine.silence();
    }

    fn order_cut(&mut self) {
        if let Some(LastClosed { epoch, height, last_change, .. }) = self.last_closed.clone() {
            self.say(Effect::Cut(CutOrder { epoch, height, last_change }));
        }
    }

    /// After a start: the signature of the last epoch is given again, or made if there was none.
    pub(super) fn resume_closing(&mut self) {
        let Some(closed) = self.last_closed.as_ref().filter(|_| !self.diverged) else { return };
        match self.checkpoints.intent(closed.epoch).cloned() {
            Some(intent) => self.sign(intent),
            None => self.order_cut(),
        }
    }

    pub(super) fn on_cut(&mut self, cut: &Cut) {
        let closed = self.last_closed.clone().filter(|closed| closed.epoch == cut.epoch && !self.diverged);
        let Some(closed) = closed else { return };
        if (cut.count, cut.supply) != (closed.count, closed.supply) {
            return self.halt("the accounts on disk do not add up to the supply: this server's database is damaged");
        }
        let checkpoint = Checkpoint {
            community: self.settings.community,
            epoch: closed.epoch,
            height: closed.height,
            time: closed.time,
            root: cut.root,
            count: cut.count,
            supply: cut.supply,
            closing_header: closed.hash,
            previous: closed.previous_checkpoint,
            servers: closed.servers,
            snapshot: cut.snapshot,
            delta: cut.delta,
        };
        match self.checkpoints.intent(cut.epoch).cloned() {
            Some(intent) if intent == checkpoint => self.sign(checkpoint),
            Some(_) => self.halt("the same epoch gave two different checkpoints: this server's database is damaged"),
            None => self.intend(checkpoint),
        }
    }

    pub(super) fn intend(&mut self, checkpoint: Checkpoint) {
        let is_signer = self.chain.state.signers.number(&self.key).is_some();
        if !is_signer || self.hearing.is_some() {
            return;
        }
        if checkpoint.epoch < self.guard.sign_from && !self.may_sign_early(&checkpoint) {
            self.unsigned = Some(checkpoint);
            return;
        }
        let signed = self.checkpoints.signed_by(checkpoint.epoch, &self.key);
        if signed.is_some_and(|signed| signed != checkpoint.hash()) {
            return self.halt(
                "this server's key has signed another checkpoint of the same epoch; its disk does not know of it",
            );
        }
        self.write(Write::Intent(checkpoint.clone()));
        self.checkpoints.intend(checkpoint.clone());
        self.sign(checkpoint);
    }

    /// Signs an intent. The signature leaves this server only after the intent is on disk.
    fn sign(&mut self, checkpoint: Checkpoint) {
        let signature = checkpoint.sign(&self.settings.secret);
        let signed = SignedCheckpoint { key: self.key, checkpoint, signature };
        self.on_signed_checkpoint(&signed);
        self.send(Said::Checkpoint(Box::new(signed)));
    }

    pub(super) fn repeat_checkpoint(&mut self) {
        let all = self.chain.state.signers.count();
        let complete = self.chain.certificate.as_ref().is_some_and(|certificate| certificate.signatures.len() == all);
        let epoch = self.last_closed.as_ref().map(|closed| closed.epoch);
        let intent = epoch.and_then(|epoch| self.checkpoints.intent(epoch)).cloned();
        let may_speak = self.hearing.is_none() && !self.diverged;
        if let (Some(checkpoint), false, true) = (intent, complete, may_speak) {
            let signature = checkpoint.sign(&self.settings.secret);
            self.send(Said::Checkpoint(Box::new(SignedCheckpoint { key: self.key, checkpoint, signature })));
        }
    }

    pub(super) fn on_signed_checkpoint(&mut self, signed: &SignedCheckpoint) {
        let newest = self.last_closed.as_ref().map_or(Epoch(0), |closed| closed.epoch);
        if signed.checkpoint.community != self.settings.community || !self.knows(&signed.key) {
            return;
        }
        match self.checkpoints.hear(signed, newest) {
            Heard::New => self.certify(),
            Heard::DoubleSigned(evidence) => self.accuse(*evidence),
            Heard::Nothing => {}
        }
    }

    fn accuse(&mut self, evidence: seedbank_types::Evidence) {
        if evidence.key == self.key {
            return self.halt("this server's key signed two checkpoints of one epoch: another machine has it too");
        }
        let evidence = Box::new(evidence);
        self.write(Write::Evidence(evidence.clone()));
        self.say(Effect::Event(Event::DoubleSigned(evidence)));
    }

    /// Evidence found by somebody else.
    pub(super) fn on_evidence(&mut self, evidence: seedbank_types::Evidence) {
        let is_ours = evidence.a.community == self.settings.community && self.knows(&evidence.key);
        if is_ours && evidence.verify().is_ok() && self.checkpoints.discredit(evidence.key, evidence.a.epoch) {
            self.accuse(evidence);
        }
    }

    pub(super) fn on_certificate(&mut self, certificate: &Certificate) {
        let newest = self.last_closed.as_ref().map_or(Epoch(0), |closed| closed.epoch);
        if certificate.checkpoint.community != self.settings.community {
            return;
        }
        if certificate.checkpoint.epoch > newest {
            self.check_far_certificate(certificate);
        }
        let servers = self.chain.state.signers.clone();
        for evidence in self.checkpoints.hear_certificate(certificate, &servers, newest) {
            self.accuse(evidence);
        }
        self.certify();
    }

    /// A certificate of an epoch that is not closed here yet, for instance from the own record in the
    /// DHT: if it holds a signature of this server, its disk is older than its last words.
    fn check_far_certificate(&mut self, certificate: &Certificate) {
        let checkpoint = &certificate.checkpoint;
        let (servers, none) = (&self.chain.state.servers, BTreeSet::new());
        let own = servers.number(&self.key);
        let signed = certificate.signatures.iter().any(|one| Some(one.number) == own);
        if !signed
            || self.knows_signed(checkpoint.epoch)
            || certificate.verify(servers, self.settings.rule, &none).is_err()
        {
            return;
        }
        let (height, open) = (checkpoint.height, checkpoint.epoch.next().next());
        self.observe_beyond(height, height, open, checkpoint.epoch);
    }

    /// Makes the newest epoch's certificate, or a better one, of the signatures heard so far.
    fn certify(&mut self) {
        let Some(closed) = self.last_closed.clone() else { return };
        let found = self.checkpoints.certificate(closed.epoch, &self.chain.state.signers, self.settings.rule);
        let Some((certificate, grade)) = found else { return };
        if certificate.checkpoint.closing_header != closed.hash {
            let why = format!("the servers certified epoch {} with another closing header", closed.epoch);
            return self.diverge(closed.height, why, Some(&certificate));
        }
        if self.checkpoints.intent(closed.epoch).is_some_and(|intent| *intent != certificate.checkpoint) {
            let why = format!("the servers computed another root at the end of epoch {}", closed.epoch);
            return self.diverge(closed.height, why, Some(&certificate));
        }
        let other = self.chain.certificate.as_ref().filter(|known| known.checkpoint != certificate.checkpoint);
        if other.is_some() {
            let why = format!("epoch {} has two certified checkpoints: servers have lied", closed.epoch);
            return self.diverge(closed.height, why, Some(&certificate));
        }
        let before = self.chain.certificate.as_ref().map_or(0, |certificate| certificate.signatures.len());
        if certificate.signatures.len() > before {
            self.chain.certificate = Some(certificate.clone());
            self.write(Write::Certificate(certificate.clone()));
            self.say(Effect::Event(Event::Certified { certificate, grade }));
        }
    }

    pub(super) fn answer_with_certificate(&mut self) {
        if let Some(certificate) = self.chain.certificate.clone() {
            self.send(Said::Certificate(Box::new(certificate)));
        }
    }
}
