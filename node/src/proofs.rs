//! Proofs of single accounts, made from the newest certified snapshot.
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use seedbank_snapshot::{BucketTable, Expected, FullFile, Proof, bucket_of};
use seedbank_types::{AccountId, AccountRecord, Certificate};

/// A certified state with its file.
#[derive(Debug)]
pub(crate) struct ProofSource {
    pub(crate) certificate: Certificate,
    pub(crate) table: Arc<BucketTable>,
    pub(crate) path: PathBuf,
}

/// An account at the end of a certified epoch.
#[derive(Debug)]
pub(crate) struct ProvenAccount {
    pub(crate) record: Option<AccountRecord>,
    pub(crate) proof: Vec<u8>,
    pub(crate) certificate: Certificate,
}

/// The newest source, once a snapshot that was cut here is certified.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<Option<Arc<ProofSource>>>);

impl Proofs {
    pub(crate) fn use_from_now(&self, source: ProofSource) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(source));
    }

    /// Reads one bucket of the file; `None` if there is no certified file here.
    pub(crate) fn prove(&self, id: &AccountId) -> anyhow::Result<Option<ProvenAccount>> {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(source) = source else { return Ok(None) };
        let file = File::open(&source.path).with_context(|| source.path.display().to_string())?;
        let mut file = FullFile::open(file, &Expected::of_checkpoint(&source.certificate.checkpoint))?;
        let records = file.bucket(bucket_of(id, source.table.bits()))?;
        let proof = Proof::build(id, &source.table, &records, source.certificate.clone())?.encode();
        let record = records.binary_search_by_key(id, |record| record.id).ok().map(|index| records[index]);
        Ok(Some(ProvenAccount { record, proof, certificate: source.certificate.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use seedbank_snapshot::Proof;
    use seedbank_types::{
        Amount, Checkpoint, CommunityId, Epoch, FileRef, Hash, Height, NumberedSignature, Rule, ServerSecret,
        ServerSet, TimeMs,
    };

    use super::*;
    use crate::snapshots;

    #[test]
    fn accounts_that_are_there_and_that_are_not_are_proven() {
        let dir = tempfile::tempdir().expect("a directory");
        let (community, secret) = (CommunityId([1; 32]), ServerSecret::from_bytes(&[1; 32]));
        let records = || (0..100).map(|n| AccountRecord { id: AccountId([n; 20]), balance: Amount(5), sequence: 0 });
        let file = snapshots::cut(dir.path(), community, Height(7), 100, records(), records()).expect("cut");
        let checkpoint = Checkpoint {
            community,
            epoch: Epoch(1),
            height: Height(8),
            time: TimeMs(9),
            root: file.table.root(),
            count: 100,
            supply: Amount(500),
            closing_header: Hash::ZERO,
            previous: Hash::ZERO,
            servers: Hash::ZERO,
            snapshot: file.file_ref(),
            delta: FileRef::NONE,
        };
        let signature = NumberedSignature { number: 0, signature: checkpoint.sign(&secret) };
        let certificate = Certificate { checkpoint, signatures: vec![signature] };
        let servers = ServerSet::new([(secret.public(), 1)]).expect("one server");
        let proofs = Proofs::default();
        assert!(proofs.prove(&AccountId([3; 20])).expect("nothing to read").is_none());
        proofs.use_from_now(ProofSource { certificate, table: Arc::clone(&file.table), path: file.path.clone() });
        for (id, balance) in [(AccountId([3; 20]), Some(Amount(5))), (AccountId([200; 20]), None)] {
            let proven = proofs.prove(&id).expect("readable").expect("certified");
            assert_eq!(proven.record.map(|record| record.balance), balance);
            let proof = Proof::decode(&proven.proof).expect("just made");
            let verified = proof.verify(&id, &community, &servers, Rule::Majority).expect("true");
            assert_eq!(verified.record, proven.record);
        }
    }
}
