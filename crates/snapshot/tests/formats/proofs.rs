//! Proofs: made for any account, small, and refused when anything in them changed.
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use seedbank_snapshot::{BuildError, Proof, ProofError, ProofKind, Proven};
use seedbank_types::{
    AccountId, AccountRecord, Amount, CertificateError, CommunityId, Grade, Rule, ServerSecret, ServerSet,
};

use crate::fixtures::{COMMUNITY, any_records, bucket, certificate, checkpoint, records, servers, table};

pub(crate) fn proof(id: &AccountId, records: &[AccountRecord]) -> Proof {
    let table = table(records);
    let of_bucket = bucket(records, &table, id);
    Proof::build(id, &table, &of_bucket, certificate(checkpoint(&table))).expect("all of one state")
}

fn verify(proof: &Proof, id: &AccountId) -> Result<Proven, ProofError> {
    proof.verify(id, &COMMUNITY, &servers(), Rule::TwoThirds)
}

/// The id after or before another.
fn beside(id: &AccountId, add: bool) -> AccountId {
    let mut id = *id;
    id.0[19] = if add { id.0[19].wrapping_add(1) } else { id.0[19].wrapping_sub(1) };
    id
}

fn assert_every_flipped_bit_is_refused(id: &AccountId, records: &[AccountRecord]) {
    let bytes = proof(id, records).encode();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let refused = Proof::decode(&changed).map_or(true, |proof| verify(&proof, id).is_err());
        assert!(refused, "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_refused() {
    let records = records(300);
    assert_every_flipped_bit_is_refused(&records[100].id, &records);
    assert_every_flipped_bit_is_refused(&beside(&records[100].id, true), &records);
}

#[test]
fn every_flipped_bit_of_a_proof_at_an_end_is_refused() {
    let records = records(3);
    assert_every_flipped_bit_is_refused(&AccountId([0; 20]), &records);
    assert_every_flipped_bit_is_refused(&AccountId([255; 20]), &records);
    assert_every_flipped_bit_is_refused(&AccountId([9; 20]), &[]);
}

#[test]
fn every_missing_or_added_byte_of_a_proof_is_refused() {
    let records = records(300);
    let bytes = proof(&records[7].id, &records).encode();
    for end in 0..bytes.len() {
        assert!(Proof::decode(&bytes[..end]).is_err(), "{end} bytes");
    }
    assert!(Proof::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_true_proof_about_somebody_else_is_no_answer() {
    let records = records(300);
    let (asked, got) = (records[1].id, records[0].id);
    assert_eq!(verify(&proof(&got, &records), &asked), Err(ProofError::OtherAccount { asked, got }));
}

#[test]
fn a_proof_of_another_community_or_of_other_servers_is_refused() {
    let records = records(300);
    let id = records[0].id;
    let proof = proof(&id, &records);
    let elsewhere = proof.verify(&id, &CommunityId([9; 32]), &servers(), Rule::Majority);
    assert_eq!(elsewhere, Err(ProofError::OtherCommunity(COMMUNITY)));
    let others = [7, 8, 9].map(|byte| (ServerSecret::from_bytes(&[byte; 32]).public(), 1));
    let others = ServerSet::new(others).expect("valid keys");
    let refused = proof.verify(&id, &COMMUNITY, &others, Rule::Majority);
    assert!(matches!(refused, Err(ProofError::Certificate(CertificateError::BadSignature(_)))));
}

#[test]
fn too_few_signatures_prove_nothing() {
    let records = records(300);
    let (id, table) = (records[0].id, table(&records));
    let mut certificate = certificate(checkpoint(&table));
    certificate.signatures.pop();
    let proof = Proof::build(&id, &table, &bucket(&records, &table, &id), certificate).expect("of one state");
    assert_eq!(proof.verify(&id, &COMMUNITY, &servers(), Rule::Majority).map(|proven| proven.grade), Ok(Grade::Crash));
    let refused = verify(&proof, &id);
    assert!(matches!(refused, Err(ProofError::Certificate(CertificateError::NoQuorum { power: 2, .. }))));
}

#[test]
fn a_proof_is_made_only_of_parts_of_one_state() {
    let records = records(300);
    let (id, table) = (records[0].id, table(&records));
    let certificate = certificate(checkpoint(&table));
    let of_bucket = bucket(&records, &table, &id);
    let mut changed = of_bucket.clone();
    changed[0].balance = Amount(1);
    for other in [&of_bucket[1..], &changed, &records[..]] {
        assert_eq!(Proof::build(&id, &table, other, certificate.clone()), Err(BuildError::OtherBucket(0)));
    }
    let mut other = table.clone();
    other.set_supply(Amount(1));
    assert_eq!(Proof::build(&id, &other, &of_bucket, certificate), Err(BuildError::OtherState(12)));
}

/// The sizes follow from the counts alone, so one bucket of 10,000,000 accounts is enough.
#[test]
fn sizes_at_ten_million_accounts_with_three_signatures() {
    let (header, record, certificate) = (1 + 1 + 20 + 1 + 4 + 1, 36 + 4, 257 + 1 + 3 * 65);
    let path_in_bucket = 32 * 8;
    let path_to_top = 32 * 16;
    let present = header + record + path_in_bucket + path_to_top + certificate;
    let absent = present + record + path_in_bucket;
    assert_eq!((present, absent), (1289, 1585));

    // The same formula against real proofs: 2 buckets of 129 to 256 records.
    let records = records(400);
    let smaller = 32 * 15;
    assert_eq!(table(&records).bits(), 1);
    assert_eq!(proof(&records[9].id, &records).encode().len(), present - smaller);
    assert_eq!(proof(&beside(&records[9].id, true), &records).encode().len(), absent - smaller);
}

fn assert_proves(records: &[AccountRecord], id: AccountId) -> Result<(), Box<dyn std::error::Error>> {
    let there = records.iter().find(|record| record.id == id).copied();
    let bytes = proof(&id, records).encode();
    let proof = Proof::decode(&bytes)?;
    assert_eq!(proof.encode(), bytes);
    assert_eq!(proof.kind(), if there.is_some() { ProofKind::Present } else { ProofKind::Absent });
    let proven = verify(&proof, &id)?;
    assert_eq!((proven.record, proven.grade), (there, Grade::Byzantine));
    Ok(())
}

#[test]
fn every_account_is_proven_and_so_are_its_gaps() {
    for records in [records(0), records(1), records(2), records(150), records(300)] {
        for record in records.iter().step_by(7) {
            for id in [record.id, beside(&record.id, true), beside(&record.id, false)] {
                assert_proves(&records, id).expect("true");
            }
        }
        for id in [AccountId([0; 20]), AccountId([255; 20])] {
            assert_proves(&records, id).expect("true");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_account_of_any_state_is_proven(records in any_records(), place: usize, other: [u8; 20]) {
        let id = if records.is_empty() { AccountId(other) } else { records[place % records.len()].id };
        for id in [id, beside(&id, true), AccountId(other)] {
            let proven = assert_proves(&records, id);
            prop_assert_eq!(proven.map_err(|error| error.to_string()), Ok(()));
        }
    }

    #[test]
    fn any_bytes_are_decoded_without_panic_and_canonically(bytes: Vec<u8>, good in any::<bool>(), place: usize, byte: u8) {
        let records = records(3);
        let mut bytes = if good { proof(&records[0].id, &records).encode() } else { bytes };
        if !bytes.is_empty() {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
        }
    }
}
