//! A small community with accounts, servers and a certificate.
use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, prop, prop_oneof};
use seedbank_snapshot::{BucketTable, Expected, bucket_of, write_full};
use seedbank_types::{
    AccountId, AccountRecord, Amount, Certificate, Checkpoint, CommunityId, Epoch, FileRef, Hash, Height, InfoHash,
    NumberedSignature, ServerSecret, ServerSet, TimeMs,
};

pub(crate) const COMMUNITY: CommunityId = CommunityId([0xc0; 32]);
pub(crate) const HEIGHT: Height = Height(70);
const HEIGHT_OF_CHECKPOINT: Height = Height(77);

/// `count` records with ids all over the place, ascending.
pub(crate) fn records(count: u64) -> Vec<AccountRecord> {
    let record = |number: u64| {
        let mut id = [0; 20];
        id.copy_from_slice(&Hash::of(&[&number.to_be_bytes()]).0[..20]);
        AccountRecord { id: AccountId(id), balance: Amount(1000 + number), sequence: number % 5 }
    };
    let mut records: Vec<_> = (0..count).map(record).collect();
    records.sort_by_key(|record| record.id);
    records
}

/// Any records, ascending; about half of the ids share their first byte, so that some buckets are
/// full and some empty.
pub(crate) fn any_records() -> impl Strategy<Value = Vec<AccountRecord>> {
    let id = prop_oneof![
        any::<[u8; 20]>(),
        any::<[u8; 20]>().prop_map(|mut id| {
            id[0] = 0x55;
            id
        })
    ];
    prop::collection::btree_map(id, (0..1_u64 << 40, any::<u64>()), 0..1400).prop_map(|map: BTreeMap<_, _>| {
        let record =
            |(id, (balance, sequence))| AccountRecord { id: AccountId(id), balance: Amount(balance), sequence };
        map.into_iter().map(record).collect()
    })
}

pub(crate) fn table(records: &[AccountRecord]) -> BucketTable {
    BucketTable::from_records(records.len() as u64, records.iter().copied()).expect("ascending and so many")
}

pub(crate) fn bucket(records: &[AccountRecord], table: &BucketTable, id: &AccountId) -> Vec<AccountRecord> {
    let number = |id| bucket_of(id, table.bits());
    records.iter().filter(|record| number(&record.id) == number(id)).copied().collect()
}

pub(crate) fn full_file(records: &[AccountRecord]) -> Vec<u8> {
    let mut file = Vec::new();
    let bytes = write_full(COMMUNITY, HEIGHT, &table(records), records.iter().copied(), &mut file);
    assert_eq!(bytes.expect("records of the table"), file.len() as u64);
    file
}

/// The file is of the last height that may be, so that only a lower one could go unnoticed.
pub(crate) fn expected(records: &[AccountRecord]) -> Expected {
    Expected { height_max: HEIGHT, ..Expected::of_checkpoint(&checkpoint(&table(records))) }
}

fn secrets() -> [ServerSecret; 3] {
    [1, 2, 3].map(|byte| ServerSecret::from_bytes(&[byte; 32]))
}

pub(crate) fn servers() -> ServerSet {
    ServerSet::new(secrets().map(|secret| (secret.public(), 1))).expect("three valid keys")
}

pub(crate) fn checkpoint(table: &BucketTable) -> Checkpoint {
    Checkpoint {
        community: COMMUNITY,
        epoch: Epoch(12),
        height: HEIGHT_OF_CHECKPOINT,
        time: TimeMs(1_790_000_000_000),
        root: table.root(),
        count: table.count(),
        supply: table.supply(),
        closing_header: Hash([3; 32]),
        previous: Hash([4; 32]),
        servers: servers().hash(),
        snapshot: FileRef { info_hash: InfoHash([5; 20]), length: 999 },
        delta: FileRef::NONE,
    }
}

/// Signed by all three servers.
pub(crate) fn certificate(checkpoint: Checkpoint) -> Certificate {
    let number = |secret: &ServerSecret| servers().number(&secret.public()).expect("a server of the set");
    let mut signatures: Vec<_> = secrets()
        .iter()
        .map(|secret| NumberedSignature { number: number(secret), signature: checkpoint.sign(secret) })
        .collect();
    signatures.sort_by_key(|one| one.number);
    Certificate { checkpoint, signatures }
}
