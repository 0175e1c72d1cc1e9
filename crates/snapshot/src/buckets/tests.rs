use seedbank_types::tree;

use super::*;

fn record(byte: u8) -> AccountRecord {
    AccountRecord { id: AccountId([byte; 20]), balance: Amount(u64::from(byte)), sequence: 1 }
}

/// `count` records that ascend, spread over all buckets.
fn spread(count: u32) -> Vec<AccountRecord> {
    let record = |number: u32| {
        let mut id = [0; 20];
        id[..4].copy_from_slice(&(number * (u32::MAX / count)).to_be_bytes());
        AccountRecord { id: AccountId(id), balance: Amount(1), sequence: 0 }
    };
    (0..count).map(record).collect()
}

fn table(records: &[AccountRecord]) -> BucketTable {
    BucketTable::from_records(records.len() as u64, records.iter().copied()).expect("ascending")
}

#[test]
fn bits_grow_when_buckets_would_hold_more_than_256_on_average() {
    let bits = [0, 1, 256, 257, 512, 513, 10_000_000, COUNT_MAX, COUNT_MAX + 1].map(bucket_bits);
    assert_eq!(bits, [0, 0, 0, 1, 1, 2, 16, BUCKET_BITS_MAX, BUCKET_BITS_MAX + 1]);
}

#[test]
fn bucket_is_the_first_bits_of_the_id() {
    let mut id = AccountId([0; 20]);
    id.0[..4].copy_from_slice(&[0b1010_0000, 0, 0, 0b11]);
    assert_eq!([0, 1, 3, 8, 31].map(|bits| bucket_of(&id, bits)), [0, 1, 5, 0b1010_0000, 0b101 << 28 | 1]);
}

#[test]
fn bucket_hash_in_one_pass_is_that_of_the_tree() {
    for count in (1..=300).chain([511, 512, 513, 767, 768, 769, 1023, 1024, 1025, 1281, 2047, 2050, 3333]) {
        let records = spread(count);
        let root = tree::root(leaves(&records));
        let expected = Hash::of(&[&[2], &count.to_be_bytes(), &root.0]);
        assert_eq!(bucket_hash(&records), expected, "{count} records");
    }
}

#[test]
fn hash_of_no_records_is_over_zeroes() {
    assert_eq!(bucket_hash(&[]), Hash::of(&[&[2], &[0; 4], &[0; 32]]));
}

#[test]
fn records_that_do_not_ascend_are_refused() {
    let refused = TableError::NotAscending { before: record(2).id, id: record(1).id };
    assert_eq!(BucketTable::from_records(2, [record(2), record(1)]), Err(refused));
    let twice = TableError::NotAscending { before: record(2).id, id: record(2).id };
    assert_eq!(BucketTable::from_records(2, [record(2), record(2)]), Err(twice));
}

#[test]
fn another_number_of_records_than_announced_is_refused() {
    for expected in [0, 1, 3] {
        let got = BucketTable::from_records(expected, [record(1), record(2)]);
        assert_eq!(got, Err(TableError::CountDiffers { expected, got: 2 }));
    }
    assert_eq!(BucketTable::from_records(COUNT_MAX + 1, []), Err(TableError::TooMany(COUNT_MAX + 1)));
}

#[test]
fn balances_beyond_64_bits_are_refused() {
    let rich = |byte| AccountRecord { balance: Amount(u64::MAX), ..record(byte) };
    assert_eq!(BucketTable::from_records(2, [rich(1), rich(2)]), Err(TableError::SupplyOverflow(rich(2).id)));
}

#[test]
fn replaced_buckets_give_the_table_of_all_records() {
    let mut records = spread(1000);
    let mut changed = table(&records);
    records[3].balance = Amount(7);
    records[999].sequence = 9;
    let mut opened = records[500];
    opened.id.0[19] = 1;
    records.insert(501, opened);
    for number in [0, 1, 3] {
        let bucket: Vec<_> = records.iter().filter(|record| bucket_of(&record.id, 2) == number).copied().collect();
        changed.replace_bucket(number, &bucket).expect("in order, in the bucket");
    }
    changed.set_supply(Amount(1007));
    assert_eq!(changed, table(&records));
}

#[test]
fn a_bucket_is_replaced_only_by_records_that_belong_into_it() {
    let records = spread(1000);
    let mut kept = table(&records);
    let refused = [
        kept.replace_bucket(4, &[]),
        kept.replace_bucket(0, &records[999..]),
        kept.replace_bucket(0, &[records[1], records[0]]),
    ];
    assert_eq!(refused[0], Err(TableError::NoSuchBucket { number: 4, count: 4 }));
    assert_eq!(refused[1], Err(TableError::OtherBucket { number: 0, id: records[999].id }));
    assert!(matches!(refused[2], Err(TableError::NotAscending { .. })));
    assert_eq!(kept, table(&records));
}

#[test]
fn a_count_that_needs_other_buckets_asks_for_a_new_table() {
    let records = spread(257);
    let mut kept = table(&records[..256]);
    let refused = kept.replace_bucket(0, &records);
    assert_eq!(refused, Err(TableError::BitsChange { count: 257, bits: 0, needed: 1 }));
    assert_eq!(kept, table(&records[..256]));
}
