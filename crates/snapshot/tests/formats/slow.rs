//! The state root once more, straight from the words of `docs/protocol.md` and sharing no code:
//! slow, and with other mistakes than the fast one, if any.
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
use seedbank_types::{AccountId, AccountRecord, Hash};

use crate::fixtures::{any_records, bucket, records, table};

/// "a level of odd length > 1 is padded with 32 zero bytes, a level of one is the root".
fn root(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        if level.len() % 2 == 1 {
            level.push(Hash([0; 32]));
        }
        level = level.chunks(2).map(|pair| Hash::of(&[&[0x01], &pair[0].0, &pair[1].0])).collect();
    }
    level[0]
}

/// "bucket hash = H(0x02 ‖ count u32 ‖ root of its leaves, 32 zero bytes if empty)".
fn bucket_hash(records: &[AccountRecord]) -> Hash {
    let leaf = |record: &AccountRecord| {
        let (balance, sequence) = (record.balance.0.to_be_bytes(), record.sequence.to_be_bytes());
        Hash::of(&[&[0x00], &record.id.0, &balance, &sequence])
    };
    let leaves: Vec<_> = records.iter().map(leaf).collect();
    let root = if leaves.is_empty() { Hash([0; 32]) } else { root(leaves) };
    let count = u32::try_from(records.len()).expect("few records");
    Hash::of(&[&[0x02], &count.to_be_bytes(), &root.0])
}

/// "Bucket i holds the records whose id starts with the b-bit number i".
fn bucket_number(id: &AccountId, b: usize) -> usize {
    (0..b).fold(0, |number, bit| 2 * number + usize::from(id.0[bit / 8] >> (7 - bit % 8) & 1))
}

/// H(`"seedbank/root/1"` ‖ b u8 ‖ count u64 ‖ supply u64 ‖ top).
pub(crate) fn state_root(records: &[AccountRecord]) -> Hash {
    let b = (0..).find(|b| records.len() <= 256 << b).expect("some b is large enough");
    let of_bucket = |number| records.iter().filter(move |record| bucket_number(&record.id, b) == number).copied();
    let top = root((0..1 << b).map(|number| bucket_hash(&of_bucket(number).collect::<Vec<_>>())).collect());
    let count = (records.len() as u64).to_be_bytes();
    let supply: u64 = records.iter().map(|record| record.balance.0).sum();
    let b = u8::try_from(b).expect("small");
    Hash::of(&[b"seedbank/root/1", &[b], &count, &supply.to_be_bytes(), &top.0])
}

#[test]
fn root_is_as_written_at_every_size_around_a_change_of_buckets() {
    for count in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1024, 1025, 2049] {
        let records = records(count);
        assert_eq!(table(&records).root(), state_root(&records), "{count} records");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn root_is_as_written_for_any_records(records in any_records()) {
        prop_assert_eq!(table(&records).root(), state_root(&records));
    }

    #[test]
    fn changed_buckets_give_the_root_of_all_records(mut records in any_records(), changes: Vec<(usize, u64)>) {
        let mut changed = table(&records);
        for (place, sequence) in changes {
            if records.is_empty() {
                break;
            }
            let place = place % records.len();
            records[place].sequence = sequence;
            let id = records[place].id;
            let of_bucket = bucket(&records, &changed, &id);
            changed.replace_bucket(seedbank_snapshot::bucket_of(&id, changed.bits()), &of_bucket)?;
        }
        prop_assert_eq!(changed.root(), state_root(&records));
        prop_assert_eq!(changed, table(&records));
    }
}
