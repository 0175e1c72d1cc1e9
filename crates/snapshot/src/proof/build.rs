//! Making of proofs, by who holds the state.
use seedbank_types::{AccountId, AccountRecord, Certificate, Hash, tree};

use super::{BuildError, Place, Proof, ProofKind};
use crate::buckets::{bucket_hash_of_root, leaves};
use crate::{BucketTable, bucket_of};

impl Proof {
    /// Proves the record of `id`, or that there is none, to who believes `certificate`.
    /// `bucket_records` are all records of the account's bucket, ascending; `table` is of the state
    /// that the certificate is about.
    pub fn build(
        id: &AccountId,
        table: &BucketTable,
        bucket_records: &[AccountRecord],
        certificate: Certificate,
    ) -> Result<Self, BuildError> {
        if certificate.checkpoint.root != table.root() {
            return Err(BuildError::OtherState(certificate.checkpoint.epoch.0));
        }
        let bits = table.bits();
        let number = bucket_of(id, bits);
        let leaves = leaves(bucket_records);
        let bucket_count = count_of_bucket(table, number, &leaves)?;
        let (kind, indices) = places_of(id, bucket_records);
        let places = indices.into_iter().map(|index| place(bucket_records, &leaves, index)).collect();
        Ok(Self { kind, id: *id, bits, bucket_count, places, path: table.path(number), certificate })
    }
}

/// How many records the bucket has, if it has those with these leaves.
fn count_of_bucket(table: &BucketTable, number: u32, leaves: &[Hash]) -> Result<u32, BuildError> {
    let root = tree::root(leaves.to_vec());
    table
        .line(number)
        .filter(|line| line.count as usize == leaves.len() && line.hash == bucket_hash_of_root(line.count, &root))
        .map(|line| line.count)
        .ok_or(BuildError::OtherBucket(number))
}

/// The index of the account, or those around the place where it would be.
fn places_of(id: &AccountId, records: &[AccountRecord]) -> (ProofKind, Vec<usize>) {
    match records.binary_search_by_key(id, |record| record.id) {
        Ok(index) => (ProofKind::Present, vec![index]),
        Err(after) => {
            let around = after.saturating_sub(1)..records.len().min(after + 1);
            (ProofKind::Absent, around.collect())
        }
    }
}

fn place(records: &[AccountRecord], leaves: &[Hash], index: usize) -> Place {
    let path = tree::path(leaves, index);
    Place { record: records[index], index: u32::try_from(index).expect("below the bucket's count, which fits"), path }
}
