//! Forgeries by who knows the whole state: only the places of the records are lied about.
use seedbank_types::{Amount, Checkpoint, FileRef, Height, NumberedSignature, ServerSecret};

use super::*;
use crate::BucketTable;

const COMMUNITY: CommunityId = CommunityId([1; 32]);

fn records() -> Vec<AccountRecord> {
    let record = |byte| AccountRecord { id: AccountId([byte; 20]), balance: Amount(5), sequence: 0 };
    (1..=9).map(|number| record(10 * number)).collect()
}

fn certificate(table: &BucketTable, secret: &ServerSecret) -> Certificate {
    let checkpoint = Checkpoint {
        community: COMMUNITY,
        epoch: Epoch(3),
        height: Height(9),
        time: TimeMs(1000),
        root: table.root(),
        count: table.count(),
        supply: table.supply(),
        closing_header: Hash::ZERO,
        previous: Hash::ZERO,
        servers: Hash::ZERO,
        snapshot: FileRef::NONE,
        delta: FileRef::NONE,
    };
    let signature = checkpoint.sign(secret);
    Certificate { checkpoint, signatures: vec![NumberedSignature { number: 0, signature }] }
}

fn proof(id: AccountId) -> Proof {
    let records = records();
    let table = BucketTable::from_records(9, records.iter().copied()).expect("ascending");
    let certificate = certificate(&table, &ServerSecret::from_bytes(&[1; 32]));
    Proof::build(&id, &table, &records, certificate).expect("of this state")
}

fn verify(proof: &Proof) -> Result<Proven, ProofError> {
    let servers = ServerSet::new([(ServerSecret::from_bytes(&[1; 32]).public(), 1)]).expect("one valid key");
    proof.verify(&proof.id, &COMMUNITY, &servers, Rule::Majority)
}

#[test]
fn a_record_is_no_proof_that_another_account_is_present() {
    let mut forged = proof(AccountId([50; 20]));
    forged.id = AccountId([51; 20]);
    assert_eq!(verify(&forged), Err(ProofError::Places(forged.id)));
}

#[test]
fn one_neighbour_proves_absence_only_at_the_ends() {
    let mut forged = proof(AccountId([55; 20]));
    assert_eq!(verify(&forged).map(|proven| proven.record), Ok(None));
    let removed = forged.places.remove(0);
    assert_eq!(verify(&forged), Err(ProofError::Places(forged.id)));
    forged.places = vec![removed];
    assert_eq!(verify(&forged), Err(ProofError::Places(forged.id)));
}

#[test]
fn neighbours_with_a_record_between_prove_no_absence() {
    let (before, after) = (proof(AccountId([40; 20])), proof(AccountId([60; 20])));
    let mut forged = proof(AccountId([55; 20]));
    forged.id = AccountId([50; 20]);
    forged.places = vec![before.places[0].clone(), after.places[0].clone()];
    assert_eq!(verify(&forged), Err(ProofError::Places(forged.id)));
    forged.places[1].index -= 1;
    assert_eq!(verify(&forged), Err(ProofError::Root));
}

#[test]
fn the_record_itself_proves_no_absence() {
    for byte in [10, 50, 90] {
        let mut forged = proof(AccountId([byte; 20]));
        forged.kind = ProofKind::Absent;
        assert_eq!(verify(&forged), Err(ProofError::Places(forged.id)));
    }
}

#[test]
fn a_bucket_with_records_is_not_empty() {
    let mut forged = proof(AccountId([50; 20]));
    forged.kind = ProofKind::Absent;
    forged.places.clear();
    assert_eq!(verify(&forged), Err(ProofError::Places(forged.id)));
    forged.bucket_count = 0;
    assert_eq!(verify(&forged), Err(ProofError::Root));
}

#[test]
fn bits_that_do_not_follow_from_the_count_are_refused() {
    let mut forged = proof(AccountId([50; 20]));
    forged.bits = 1;
    forged.path = vec![Hash::ZERO];
    assert_eq!(verify(&forged), Err(ProofError::Bits { bits: 1, count: 9 }));
}
