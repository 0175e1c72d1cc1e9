//! Intents, certificates and evidence.
use rocksdb::IteratorMode;
use seedbank_types::{Certificate, Checkpoint, Epoch, Evidence};

use super::{Store, last_numbered, lock, numbered};
use crate::StoreError;
use crate::columns::{CHECKPOINTS, EVIDENCE};

const INTENT: u8 = 0;
const CERTIFICATE: u8 = 1;

/// Where the certificate of an epoch stands.
pub(super) fn certificate_key(epoch: Epoch) -> [u8; 9] {
    numbered(CERTIFICATE, epoch.0)
}

impl Store {
    /// Writes down the checkpoint that this server is about to sign; it is on the disk when this
    /// returns. One epoch has one intent for ever: signing two would be proof of a lie.
    pub fn put_intent(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let _only_writer = lock(&self.inner.checkpoints);
        match self.intent(checkpoint.epoch)? {
            Some(before) if before == *checkpoint => Ok(()),
            Some(_) => Err(StoreError::OtherIntent(checkpoint.epoch)),
            None => {
                let key = numbered(INTENT, checkpoint.epoch.0);
                self.inner.put_synced(CHECKPOINTS, &key, &checkpoint.encode())
            }
        }
    }

    /// The checkpoint of an epoch that this server decided to sign.
    pub fn intent(&self, epoch: Epoch) -> Result<Option<Checkpoint>, StoreError> {
        let value = self.inner.get(CHECKPOINTS, &numbered(INTENT, epoch.0))?;
        Ok(value.map(|value| Checkpoint::decode(&value)).transpose()?)
    }

    /// The intent of the highest epoch.
    pub fn newest_intent(&self) -> Result<Option<Checkpoint>, StoreError> {
        let last = last_numbered(&self.inner.db, CHECKPOINTS, INTENT)?;
        Ok(last.map(|(_, value)| Checkpoint::decode(&value)).transpose()?)
    }

    /// Stores a certificate, or replaces it by one of the same checkpoint. It must have been verified.
    pub fn put_certificate(&self, certificate: &Certificate) -> Result<(), StoreError> {
        let _only_writer = lock(&self.inner.checkpoints);
        let epoch = certificate.checkpoint.epoch;
        match self.certificate(epoch)? {
            Some(before) if before.checkpoint != certificate.checkpoint => Err(StoreError::OtherCertificate(epoch)),
            Some(before) if before == *certificate => Ok(()),
            _ => self.inner.put_synced(CHECKPOINTS, &numbered(CERTIFICATE, epoch.0), &certificate.encode()),
        }
    }

    /// The certificate of an epoch.
    pub fn certificate(&self, epoch: Epoch) -> Result<Option<Certificate>, StoreError> {
        let value = self.inner.get(CHECKPOINTS, &numbered(CERTIFICATE, epoch.0))?;
        Ok(value.map(|value| Certificate::decode(&value)).transpose()?)
    }

    /// The certificate of the highest epoch.
    pub fn newest_certificate(&self) -> Result<Option<Certificate>, StoreError> {
        let last = last_numbered(&self.inner.db, CHECKPOINTS, CERTIFICATE)?;
        Ok(last.map(|(_, value)| Certificate::decode(&value)).transpose()?)
    }

    /// Keeps evidence, one of each server and epoch; says whether it is new. It must have been verified.
    pub fn put_evidence(&self, evidence: &Evidence) -> Result<bool, StoreError> {
        let _only_writer = lock(&self.inner.checkpoints);
        let key = [&evidence.key.0[..], &evidence.a.epoch.0.to_be_bytes()].concat();
        if self.inner.get(EVIDENCE, &key)?.is_some() {
            return Ok(false);
        }
        self.inner.put_synced(EVIDENCE, &key, &evidence.encode())?;
        Ok(true)
    }

    /// All evidence, by server, then epoch.
    pub fn evidence(&self) -> Result<Vec<Evidence>, StoreError> {
        let entries = self.inner.db.iterator_cf(self.inner.column(EVIDENCE), IteratorMode::Start);
        entries.map(|entry| Ok(Evidence::decode(&entry.map_err(StoreError::read)?.1)?)).collect()
    }
}
