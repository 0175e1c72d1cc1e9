//! A witness: remembers every certificate that any server ever showed, and notices a fork.
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use seedbank_types::{Epoch, ServerKey};

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
                self.take(testnet, &newest)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, testnet: &Testnet, newest: &Certified) -> Result<()> {
        let certificate = newest.certificate()?;
        certificate.verify(&testnet.trust().servers, testnet.trust().quorum, &BTreeSet::new())?;
        let Epoch(epoch) = certificate.checkpoint.epoch;
        let hash = certificate.checkpoint.hash().to_string();
        let first = self.checkpoints.entry(epoch).or_insert_with(|| hash.clone());
        ensure!(*first == hash, "a fork: epoch {epoch} has the checkpoints {first} and {hash}");
        for one in &certificate.signatures {
            let Some((key, _power)) = testnet.trust().servers.member(one.number) else { continue };
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
