//! Full files: written, verified, looked up in, and refused when anything in them changed.
use std::io::Cursor;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use seedbank_snapshot::{
    Expected, FileError, FileHeader, FileKind, FullFile, Part, Verified, WriteError, full_length, verify_full,
    write_full,
};
use seedbank_types::{AccountId, Amount, CommunityId, Hash, Height};

use crate::fixtures::{COMMUNITY, HEIGHT, any_records, expected, full_file, records, table};

/// Bytes 44 to 51 of the header are the height.
const HEIGHT_BITS: std::ops::Range<usize> = 44 * 8..52 * 8;

fn verify(file: &[u8], expected: &Expected) -> Result<Verified, FileError> {
    verify_full(file, file.len() as u64, expected, |_| ())
}

fn flipped(file: &[u8], bit: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    file[bit / 8] ^= 1 << (bit % 8);
    file
}

#[test]
fn every_flipped_bit_of_a_file_is_refused() {
    let records = records(12);
    let (file, expected) = (full_file(&records), expected(&records));
    for bit in 0..8 * file.len() {
        let changed = flipped(&file, bit);
        let lower = HEIGHT_BITS.contains(&bit) && changed[44..52] < file[44..52];
        assert_eq!(verify(&changed, &expected).is_ok(), lower, "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_a_genesis_file_is_refused() {
    let records = records(5);
    let mut file = Vec::new();
    write_full(COMMUNITY, Height(0), &table(&records), records.iter().copied(), &mut file).expect("the same records");
    let expected = Expected { height_max: Height(0), ..expected(&records) };
    assert!(verify(&file, &expected).is_ok());
    for bit in 0..8 * file.len() {
        assert!(verify(&flipped(&file, bit), &expected).is_err(), "bit {bit}");
    }
}

#[test]
fn every_missing_or_added_byte_is_refused() {
    let records = records(12);
    let (file, expected) = (full_file(&records), expected(&records));
    let length = file.len() as u64;
    for end in 0..file.len() {
        assert!(matches!(verify(&file[..end], &expected), Err(FileError::Length { .. } | FileError::EndsEarly(_))));
        // A file that shrinks, or grows, after its length was read.
        assert!(matches!(verify_full(&file[..end], length, &expected, |_| ()), Err(FileError::EndsEarly(_))));
    }
    let longer = [&file[..], &[0]].concat();
    assert!(matches!(verify(&longer, &expected), Err(FileError::Length { .. })));
    assert!(matches!(verify_full(&longer[..], length, &expected, |_| ()), Err(FileError::TrailingBytes)));
}

#[test]
fn the_part_that_is_wrong_is_named() {
    let records = records(1100);
    let (file, expected) = (full_file(&records), expected(&records));
    let table = table(&records);
    assert_eq!(table.bits(), 3, "4 groups of 2 buckets");
    let error = |at: usize| verify(&flipped(&file, 8 * at), &expected).expect_err("a bit was flipped");
    assert!(matches!(error(0), FileError::Header(error) if error.field == "magic"));
    assert!(matches!(error(8), FileError::Header(error) if error.field == "version"));
    assert!(matches!(error(11), FileError::Header(error) if error.field == "b"));
    assert!(matches!(error(12), FileError::HeaderField { field: "community", .. }));
    assert!(matches!(error(44), FileError::HeaderField { field: "height", .. }));
    assert!(matches!(error(52), FileError::Header(error) if error.field == "base height"));
    assert!(matches!(error(67), FileError::Header(error) if error.field == "records in this file"));
    assert!(matches!(error(68), FileError::HeaderField { field: "supply", .. }));
    assert!(matches!(error(84 + 7), FileError::Group(0)));
    assert!(matches!(error(84 + 40 + 7), FileError::Group(0)));
    assert!(matches!(error(84 + 40 + 8), FileError::Root));
    let lines = 84 + 4 * 40;
    assert!(matches!(error(lines + 5 * 40), FileError::BucketLine { number: 5, .. }));
    assert!(matches!(error(lines + 5 * 40 + 8), FileError::Group(2)));
    let first = table.line(0).expect("the first of 8").count as usize;
    let second = lines + 8 * 40 + 36 * first;
    assert!(matches!(error(second + 1), FileError::Records { number: 1, .. } | FileError::Bucket(1)));
    assert!(matches!(error(second + 35), FileError::Bucket(1)));
    let mut other_bucket = file.clone();
    other_bucket[second] = 0xff;
    assert!(matches!(verify(&other_bucket, &expected), Err(FileError::OtherBucket { number: 1, .. })));
}

#[test]
fn a_file_of_another_statement_is_refused() {
    let records = records(300);
    let (file, expected) = (full_file(&records), expected(&records));
    let others = [
        Expected { community: CommunityId([9; 32]), ..expected.clone() },
        Expected { root: Hash([9; 32]), ..expected.clone() },
        Expected { count: 299, ..expected.clone() },
        Expected { supply: Amount(1), ..expected.clone() },
        Expected { height_max: Height(HEIGHT.0 - 1), ..expected.clone() },
    ];
    for other in others {
        assert!(verify(&file, &other).is_err(), "{other:?}");
        assert!(FullFile::open(Cursor::new(&file), &other).is_err(), "{other:?}");
    }
}

#[test]
fn a_signed_supply_that_is_not_the_sum_is_refused() {
    let records = records(3);
    let mut table = table(&records);
    table.set_supply(Amount(1));
    let refused = write_full(COMMUNITY, HEIGHT, &table, records.iter().copied(), Vec::new());
    assert!(matches!(refused, Err(WriteError::Supply { .. })));
    let mut file = full_file(&records);
    file[68..76].copy_from_slice(&1_u64.to_be_bytes());
    let expected = Expected { supply: Amount(1), root: table.root(), ..expected(&records) };
    assert!(matches!(verify(&file, &expected), Err(FileError::Supply { expected: 1, .. })));
}

#[test]
fn records_of_another_state_than_the_table_are_not_written() {
    let all = records(600);
    let table = table(&all);
    let fewer = write_full(COMMUNITY, HEIGHT, &table, all[1..].iter().copied(), Vec::new());
    assert!(matches!(fewer, Err(WriteError::OtherBucketCount(0))));
    let fewer = write_full(COMMUNITY, HEIGHT, &table, all[..599].iter().copied(), Vec::new());
    assert!(matches!(fewer, Err(WriteError::OtherBucketCount(3))));
    let back = write_full(COMMUNITY, HEIGHT, &table, [all[1], all[0]], Vec::new());
    assert!(matches!(back, Err(WriteError::Records(_))));
}

#[test]
fn header_of_a_delta_is_read_and_is_no_full_file() {
    let full = FileHeader::full(COMMUNITY, HEIGHT, 300, Amount(7));
    let delta = FileHeader { kind: FileKind::Delta, base_height: Height(60), records: 2, ..full };
    assert_eq!(FileHeader::decode(&delta.encode()), Ok(delta));
    let expected =
        Expected { community: COMMUNITY, root: Hash::ZERO, count: 300, supply: Amount(7), height_max: HEIGHT };
    assert!(matches!(delta.check(FileKind::Full, &expected), Err(FileError::HeaderField { field: "kind", .. })));
    for wrong in [FileHeader { base_height: HEIGHT, ..delta }, FileHeader { records: 301, ..delta }] {
        assert!(FileHeader::decode(&wrong.encode()).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_changed_record_is_noticed_by_its_look_up_alone() {
    let records = records(1100);
    let mut file = full_file(&records);
    let last = file.len() - 1;
    file[last] ^= 1;
    let mut file = FullFile::open(Cursor::new(file), &expected(&records)).expect("head and lines are right");
    assert_eq!(file.account(&records[0].id).expect("in another bucket"), Some(records[0]));
    assert!(matches!(file.account(&records[1099].id), Err(FileError::Bucket(7))));
    assert!(matches!(file.records().expect("lines are right").last(), Some(Err(FileError::Bucket(7)))));
}

#[test]
fn group_lines_that_point_nowhere_are_refused_by_look_ups() {
    let records = records(1100);
    let good = full_file(&records);
    for before in [1, u64::MAX, u64::MAX / 36] {
        let mut file = good.clone();
        for group in 0..4 {
            file[84 + 40 * group..][..8].copy_from_slice(&before.to_be_bytes());
        }
        let mut file = FullFile::open(Cursor::new(file), &expected(&records)).expect("the root does not cover them");
        for record in [&records[0], &records[500], &records[1099]] {
            assert!(matches!(file.account(&record.id), Err(FileError::Group(_))));
        }
    }
}

#[test]
fn a_failing_reader_is_told_from_a_short_file() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk gone"))
        }
    }
    let expected = expected(&records(3));
    let length = full_length(3).expect("few");
    assert!(matches!(verify_full(Broken, length, &expected, |_| ()), Err(FileError::Read { part: Part::Header, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read(records in any_records()) {
        let (file, expected) = (full_file(&records), expected(&records));
        prop_assert_eq!(Some(file.len() as u64), full_length(records.len() as u64));
        let mut seen = Vec::new();
        let verified = verify_full(&file[..], file.len() as u64, &expected, |record| seen.push(*record))?;
        prop_assert_eq!(&seen, &records);
        prop_assert_eq!(verified.table, table(&records));
        prop_assert_eq!(verified.header, FileHeader::full(COMMUNITY, HEIGHT, records.len() as u64, expected.supply));
        let mut opened = FullFile::open(Cursor::new(file), &expected)?;
        let read: Vec<_> = opened.records()?.collect::<Result<_, _>>()?;
        prop_assert_eq!(&read, &records);
        for record in records.iter().step_by(97) {
            prop_assert_eq!(opened.account(&record.id)?, Some(*record));
            let mut other: AccountId = record.id;
            other.0[19] ^= 1;
            let there = records.iter().find(|record| record.id == other).copied();
            prop_assert_eq!(opened.account(&other)?, there);
        }
    }

    #[test]
    fn any_changed_byte_of_any_file_is_refused(records in any_records(), place: usize, change in 1..=u8::MAX) {
        let (mut file, expected) = (full_file(&records), expected(&records));
        let place = place % file.len();
        file[place] ^= change;
        let lower_height = (44..52).contains(&place) && verify(&file, &expected).is_ok_and(|file| file.header.height < HEIGHT);
        prop_assert!(lower_height || verify(&file, &expected).is_err(), "byte {}", place);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, header in any::<bool>()) {
        let records = records(3);
        let bytes = if header { [&full_file(&records)[..84], &bytes].concat() } else { bytes };
        prop_assert!(verify(&bytes, &expected(&records)).is_err());
        prop_assert!(FullFile::open(Cursor::new(bytes), &expected(&records)).is_err());
    }
}
