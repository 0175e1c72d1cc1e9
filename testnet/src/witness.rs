//! A witness: remembers every certificate that any server ever showed, and notices a fork.
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use seedbank_types::{Epoch, ServerKey, TrustFile};

use crate::api::Certified;
use crate::testnet::Testnet;

/// What was seen of a community so far.
#[derive(Debug, Default)]
pub struct Witness {
    /// The one checkpoint of each epoch, by its hash.
    checkpoints: BTreeMap<u64, String>,
    /// What each key signed in each epoch, by its hash.
    signed: BTreeMap<(ServerKey, u64), String>,
}

impl Witness {
    /// Asks all running servers. Fails if two of them show different checkpoints of one epoch, now
    /// or compared with earlier, or if a signature does not fit.
    pub async fn look(&mut self, testnet: &Testnet) -> Result<()> {
        for server in testnet.servers().iter().filter(|server| server.is_running()) {
            // A server that is just being killed does not answer; what it said before stays.
            if let Ok(Some(newest)) = server.api().checkpoint().await {
                self.take(testnet.trust(), &newest)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, trust: &TrustFile, newest: &Certified) -> Result<()> {
        let certificate = newest.certificate()?;
        certificate.verify(&trust.servers, trust.quorum, &BTreeSet::new())?;
        let Epoch(epoch) = certificate.checkpoint.epoch;
        let hash = certificate.checkpoint.hash().to_string();
        let first = self.checkpoints.entry(epoch).or_insert_with(|| hash.clone());
        ensure!(*first == hash, "a fork: epoch {epoch} has the checkpoints {first} and {hash}");
        for one in &certificate.signatures {
            let Some((key, _power)) = trust.servers.member(one.number) else { continue };
            let before = self.signed.entry((key, epoch)).or_insert_with(|| hash.clone());
            ensure!(*before == hash, "server {key} signed two checkpoints of epoch {epoch}");
        }
        Ok(())
    }

    /// The newest epoch that was seen certified; 0 before the first.
    #[must_use]
    pub fn newest_epoch(&self) -> u64 {
        self.checkpoints.last_key_value().map_or(0, |(epoch, _)| *epoch)
    }

    /// How many epochs were seen certified.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.checkpoints.len()
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::{
        Amount, Certificate, Checkpoint, CommunityId, FileRef, Hash, Height, NumberedSignature, ServerSecret, TimeMs,
    };

    use super::*;

    fn secrets() -> Vec<ServerSecret> {
        let mut secrets: Vec<_> = (1..=3).map(|byte| ServerSecret::from_bytes(&[byte; 32])).collect();
        secrets.sort_by_key(ServerSecret::public);
        secrets
    }

    fn trust() -> TrustFile {
        let keys: Vec<_> = secrets().iter().map(|secret| secret.public().to_string()).collect();
        keys.join("\n").parse().expect("a trust file")
    }

    fn certified(epoch: u64, supply: u64, signers: &[u8]) -> Certified {
        let checkpoint = Checkpoint {
            community: CommunityId([1; 32]),
            epoch: Epoch(epoch),
            height: Height(epoch),
            time: TimeMs(epoch),
            root: Hash([2; 32]),
            count: 3,
            supply: Amount(supply),
            closing_header: Hash([3; 32]),
            previous: Hash([4; 32]),
            servers: trust().servers.hash(),
            snapshot: FileRef::NONE,
            delta: FileRef::NONE,
        };
        let signature = |number: u8| checkpoint.sign(&secrets()[usize::from(number)]);
        let signatures =
            signers.iter().map(|number| NumberedSignature { number: *number, signature: signature(*number) }).collect();
        Certified::of(&Certificate { checkpoint: checkpoint.clone(), signatures })
    }

    #[test]
    fn one_checkpoint_by_different_signers_is_no_fork() {
        let mut witness = Witness::default();
        for signers in [&[0, 1][..], &[1, 2], &[0, 1, 2]] {
            witness.take(&trust(), &certified(7, 10, signers)).expect("the same checkpoint");
        }
        assert_eq!((witness.newest_epoch(), witness.epochs()), (7, 1));
    }

    #[test]
    fn two_checkpoints_of_one_epoch_are_a_fork() {
        let mut witness = Witness::default();
        witness.take(&trust(), &certified(7, 10, &[0, 1])).expect("the first");
        witness.take(&trust(), &certified(8, 10, &[0, 1])).expect("another epoch");
        let fork = witness.take(&trust(), &certified(7, 11, &[1, 2])).expect_err("another supply");
        assert!(fork.to_string().contains("a fork: epoch 7"), "{fork}");
    }

    #[test]
    fn a_certificate_of_too_few_is_not_taken() {
        assert!(Witness::default().take(&trust(), &certified(7, 10, &[1])).is_err());
    }
}
