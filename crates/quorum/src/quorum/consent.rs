//! The way out when so many servers wait for an epoch from which they sign that none is certified.
//!
//! No epoch closes before its predecessor is certified, so the one that they wait for would never
//! come. They sign the last closed epoch all the same once every server of its set has said that it
//! closed it with the same header, and shows no other signature of theirs.
//!
//! Why nobody is framed: the checkpoint follows from the closing header. A key that signed another one
//! had seen another header decided. Two such headers have quorums that share an honest server, and
//! one that forgot its votes does not vote where it may have cast them. Where liars have the power
//! to make servers part nevertheless, those on the other side close the epoch otherwise and do not consent.
use seedbank_types::{Checkpoint, Epoch, Hash, ServerKey};

use super::Quorum;
use crate::message::{Said, Uncertified};

impl Quorum {
    /// Tells what is known of the last closed epoch, as long as it is not certified.
    pub(super) fn say_uncertified(&mut self) {
        let Some((epoch, closing_header)) = self.last_closed.as_ref().map(|closed| (closed.epoch, closed.hash)) else {
            return;
        };
        if self.chain.certificate.is_some() || self.hearing.is_some() || self.diverged {
            return;
        }
        let signed = self.checkpoints.signatures(epoch).collect();
        let sign_from = self.guard.sign_from;
        self.send(Said::Uncertified(Box::new(Uncertified { epoch, closing_header, sign_from, signed })));
    }

    pub(super) fn on_uncertified(&mut self, from: ServerKey, uncertified: Uncertified) {
        self.uncertified.insert(from, uncertified);
        if let Some(checkpoint) = self.unsigned.take() {
            self.intend(checkpoint);
        }
    }

    /// Whether this server may sign a checkpoint before the epoch from which it signs again.
    pub(super) fn may_sign_early(&self, checkpoint: &Checkpoint) -> bool {
        let (epoch, servers) = (checkpoint.epoch, &self.chain.state.signers);
        if epoch <= self.guard.signed_to || self.chain.certificate.is_some() {
            return false;
        }
        let mut others = servers.keys().filter(|key| *key != self.key);
        let all_consent =
            others.all(|key| self.uncertified.get(&key).is_some_and(|said| said.consents(&self.key, checkpoint)));
        let signs = |key: &ServerKey| {
            let waits = *key == self.key || self.uncertified.get(key).is_none_or(|said| said.sign_from > epoch);
            !waits && !self.checkpoints.is_discredited(key)
        };
        let power = servers.members().iter().filter(|(key, _)| signs(key)).map(|(_, power)| power).sum();
        all_consent && !self.settings.rule.is_quorum(power, servers.total())
    }
}

impl Uncertified {
    /// Whether whoever says so has closed the same epoch with the same header, and shows no other
    /// signature of this key.
    fn consents(&self, key: &ServerKey, checkpoint: &Checkpoint) -> bool {
        let differs = |(signer, hash): &(ServerKey, Hash)| signer == key && *hash != checkpoint.hash();
        let same: (Epoch, Hash) = (checkpoint.epoch, checkpoint.closing_header);
        (self.epoch, self.closing_header) == same && !self.signed.iter().any(differs)
    }
}
