//! Deltas: what changed since a full file, laid over it, and refused when anything in either changed.
use std::collections::BTreeMap;
use std::io::Cursor;

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use seedbank_snapshot::{
    BaseFile, DeltaFile, Expected, FileError, FileHeader, HEADER_BYTES, Verified, WriteError, delta_length,
    is_full_due, verify_delta, write_delta, write_full,
};
use seedbank_types::{AccountId, AccountRecord, Amount, CommunityId, Epoch, Height};

use crate::fixtures::{COMMUNITY, HEIGHT, any_records, expected, records, table};

const BASE_HEIGHT: Height = Height(60);

/// A base, what changed since, and the state that both give.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    base: Vec<AccountRecord>,
    changed: Vec<AccountRecord>,
    state: Vec<AccountRecord>,
}

impl Change {
    pub(crate) fn new(base: Vec<AccountRecord>, changed: impl IntoIterator<Item = AccountRecord>) -> Self {
        let mut state: BTreeMap<AccountId, AccountRecord> = base.iter().map(|one| (one.id, *one)).collect();
        let mut differing = BTreeMap::new();
        for record in changed {
            if state.insert(record.id, record) != Some(record) {
                differing.insert(record.id, record);
            }
        }
        Self { base, changed: differing.into_values().collect(), state: state.into_values().collect() }
    }

    pub(crate) fn base_file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let records = self.base.iter().copied();
        write_full(COMMUNITY, BASE_HEIGHT, &table(&self.base), records, &mut file).expect("the same records");
        file
    }

    pub(crate) fn delta(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let bytes = write_delta(COMMUNITY, HEIGHT, BASE_HEIGHT, &table(&self.state), &self.changed, &mut file);
        assert_eq!(bytes.expect("records of the table"), file.len() as u64);
        file
    }

    fn expected(&self) -> Expected {
        expected(&self.state)
    }
}

/// 700 accounts, of which every tenth changed, and 50 that are new.
fn change() -> Change {
    let all = records(750);
    let base: Vec<_> = all.iter().filter(|record| record.balance.0 < 1700).copied().collect();
    let newer = |record: &AccountRecord| AccountRecord { sequence: record.sequence + 1, ..*record };
    let changed: Vec<_> = base.iter().step_by(10).map(newer).collect();
    let opened = all.into_iter().filter(|record| record.balance.0 >= 1700);
    Change::new(base, changed.into_iter().chain(opened))
}

fn verify(delta: &[u8], base: &[u8], expected: &Expected) -> Result<(Verified, Vec<AccountRecord>), FileError> {
    let mut base = BaseFile::open(Cursor::new(base), COMMUNITY)?;
    let mut all = Vec::new();
    let verified = verify_delta(delta, delta.len() as u64, &mut base, expected, |record| all.push(*record))?;
    Ok((verified, all))
}

fn flipped(file: &[u8], bit: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    file[bit / 8] ^= 1 << (bit % 8);
    file
}

#[test]
fn a_delta_over_its_base_gives_the_signed_state() {
    let change = change();
    let (verified, all) = verify(&change.delta(), &change.base_file(), &change.expected()).expect("as written");
    assert_eq!(all, change.state);
    assert_eq!(verified.table, table(&change.state));
    assert_eq!((verified.header.base_height, verified.header.records), (BASE_HEIGHT, change.changed.len() as u64));
}

#[test]
fn a_delta_is_exactly_as_long_as_the_formula_says() {
    let change = change();
    let (length, records) = (change.delta().len() as u64, change.changed.len() as u64);
    // 750 accounts: four buckets in two groups.
    assert_eq!(length, 84 + 40 * 2 + 40 * 4 + 36 * records);
    assert_eq!(delta_length(750, records), Some(length));
    assert_eq!(delta_length(5, 6), None);
}

#[test]
fn every_flipped_bit_of_a_delta_is_refused_but_a_lower_height() {
    let change = Change::new(records(12), [AccountRecord { balance: Amount(1), ..records(12)[3] }]);
    let (delta, base, expected) = (change.delta(), change.base_file(), change.expected());
    for bit in 0..8 * delta.len() {
        let changed = flipped(&delta, bit);
        let lower = (44 * 8..52 * 8).contains(&bit) && changed[44..52] < delta[44..52];
        let is_above_base = FileHeader::decode(&changed[..HEADER_BYTES]).is_ok();
        assert_eq!(verify(&changed, &base, &expected).is_ok(), lower && is_above_base, "bit {bit}");
    }
}

#[test]
fn what_is_wrong_in_the_base_is_blamed_on_it_or_on_both() {
    let change = change();
    let (delta, base, expected) = (change.delta(), change.base_file(), change.expected());
    let untouched = |at: usize| verify(&delta, &flipped(&base, 8 * at), &expected);
    assert!(matches!(untouched(0), Err(FileError::Base(_))), "magic");
    assert!(matches!(untouched(51), Err(FileError::OtherBase { .. })), "height");
    // The second record is not among those that changed.
    let records = base.len() - 36 * change.base.len();
    assert!(matches!(untouched(records + 36 + 25), Err(FileError::OverlaidBucket(0))));
    let mut swapped = base.clone();
    swapped.copy_within(records + 72..records + 108, records + 36);
    assert!(matches!(verify(&delta, &swapped, &expected), Err(FileError::Base(_))), "one account twice");
    assert!(matches!(verify(&delta, &base[..base.len() - 1], &expected), Err(FileError::Base(_))));
    let other = BaseFile::open(Cursor::new(&base), CommunityId([9; 32]));
    assert!(matches!(other, Err(FileError::Base(_))));
    let no_full = BaseFile::open(Cursor::new(&delta), COMMUNITY);
    assert!(matches!(no_full, Err(FileError::Base(_))), "a delta is no base");
}

#[test]
fn a_delta_that_repeats_what_did_not_change_is_refused() {
    let mut change = change();
    change.changed.push(change.base[1]);
    change.changed.sort_by_key(|record| record.id);
    let refused = verify(&change.delta(), &change.base_file(), &change.expected());
    assert!(matches!(refused, Err(FileError::Unchanged(id)) if id == change.base[1].id));
}

#[test]
fn a_signed_count_that_is_not_that_of_the_buckets_is_refused() {
    let change = change();
    let mut delta = change.delta();
    delta[60..68].copy_from_slice(&751_u64.to_be_bytes());
    let table = table(&change.state);
    let top = seedbank_types::tree::root(table.lines().map(|line| line.hash).collect());
    let root = seedbank_snapshot::state_root(table.bits(), 751, table.supply(), &top);
    let expected = Expected { count: 751, root, ..change.expected() };
    let refused = verify(&delta, &change.base_file(), &expected);
    assert!(matches!(refused, Err(FileError::Count { expected: 751, got: 750 })));
}

#[test]
fn records_that_cannot_be_of_the_state_are_not_written() {
    let change = change();
    let write = |changed: &[AccountRecord]| {
        write_delta(COMMUNITY, HEIGHT, BASE_HEIGHT, &table(&change.state), changed, Vec::new())
    };
    assert!(matches!(write(&[change.changed[1], change.changed[0]]), Err(WriteError::Records(_))));
    let few = table(&change.state[..3]);
    let refused = write_delta(COMMUNITY, HEIGHT, BASE_HEIGHT, &few, &change.changed, Vec::new());
    assert!(matches!(refused, Err(WriteError::OtherBucketCount(0))));
}

#[test]
fn a_look_up_reads_what_it_needs_and_notices_a_changed_record() {
    let change = change();
    let (delta, base, expected) = (change.delta(), change.base_file(), change.expected());
    let open = |delta: &[u8], base: &[u8]| {
        let base = BaseFile::open(Cursor::new(base.to_vec()), COMMUNITY).expect("a full file");
        DeltaFile::open(Cursor::new(delta.to_vec()), base, &expected).expect("of this state")
    };
    let mut file = open(&delta, &base);
    for record in &change.state {
        assert_eq!(file.account(&record.id).expect("readable"), Some(*record));
    }
    assert_eq!(file.account(&AccountId([0; 20])).expect("readable"), None);
    let last = delta.len() - 1;
    let of_last = change.changed.last().expect("some").id;
    assert!(matches!(open(&flipped(&delta, 8 * last), &base).account(&of_last), Err(FileError::OverlaidBucket(_))));
    let last = base.len() - 1;
    assert!(open(&delta, &flipped(&base, 8 * last)).account(&change.base[0].id).is_ok(), "another bucket");
    assert!(open(&delta, &flipped(&base, 8 * last)).account(&of_last).is_err());
}

#[test]
fn a_full_file_is_due_in_turn_or_when_the_delta_is_large() {
    assert!(is_full_due(Epoch(1440), 1440, 1, 1_000_000));
    assert!(!is_full_due(Epoch(1441), 1440, 250, 1000));
    assert!(is_full_due(Epoch(1441), 1440, 251, 1000));
    assert!(!is_full_due(Epoch(7), 8, 250, 1003), "4 D = 1000 is not above 1003");
    assert!(is_full_due(Epoch(7), 1, 0, u64::MAX), "an interval of one has no deltas");
}

fn any_change() -> impl Strategy<Value = Change> {
    let some = prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 0..40);
    (any_records(), any_records(), some).prop_map(|(base, opened, some)| {
        let changed = some.iter().filter(|_| !base.is_empty()).map(|(index, balance)| {
            let record = base[index.index(base.len())];
            AccountRecord { balance: Amount(u64::from(*balance)), ..record }
        });
        let changed: Vec<_> = changed.chain(opened).collect();
        Change::new(base, changed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_is_read_back_whole_and_by_account(change in any_change()) {
        let (delta, base, expected) = (change.delta(), change.base_file(), change.expected());
        let (verified, all) = verify(&delta, &base, &expected).expect("as written");
        prop_assert_eq!(&all, &change.state);
        prop_assert_eq!(verified.table, table(&change.state));
        let base = BaseFile::open(Cursor::new(base), COMMUNITY).expect("a full file");
        let mut file = DeltaFile::open(Cursor::new(delta), base, &expected).expect("of this state");
        for record in change.state.iter().step_by(97) {
            prop_assert_eq!(file.account(&record.id).expect("readable"), Some(*record));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(mut delta in any_change().prop_map(|change| change.delta()), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let change = change();
        let at = at.index(delta.len());
        delta[at] = byte;
        prop_assert!(verify(&delta, &change.base_file(), &change.expected()).is_err());
    }
}
