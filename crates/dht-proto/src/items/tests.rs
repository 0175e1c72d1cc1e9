use proptest::prelude::{any, prop, proptest};
use seedbank_types::{ServerKey, Signature};

use super::*;
use crate::{MutableItem, SavedItem};

const OWN: [Id; 2] = [Id([0; 20]), Id([0xff; 20])];
const SMALL: ItemBounds = ItemBounds { host: 4, all: 6 };

fn at(minutes: u64) -> Time {
    Time(Duration::from_secs(60 * minutes))
}

fn host(number: u8) -> IpAddr {
    [9, 0, 0, number].into()
}

/// The store does not look at signatures: who puts has proved them.
fn mutable(key: u8, seq: i64, value: &[u8]) -> Item {
    let (key, signature) = (ServerKey([key; 32]), Signature([0; 64]));
    Item::Mutable(MutableItem { key, salt: vec![], seq, signature, value: value.to_vec() })
}

fn immutable(number: usize) -> Item {
    Item::Immutable { value: format!("i{number}e").into_bytes() }
}

/// Items that differ, those nearest to the own ids first.
fn by_distance(count: usize) -> Vec<Item> {
    let mut items: Vec<Item> = (0..count).map(immutable).collect();
    items.sort_by_key(|item| distance(&OWN, &item.target()));
    items
}

fn code(result: Result<(), KrpcError>) -> Option<i64> {
    result.err().map(|error| error.code)
}

#[test]
fn item_is_found_until_two_hours_after_it_was_last_put() {
    let mut store = ItemStore::new(OWN);
    let (item, other) = (immutable(1), immutable(2));
    assert_eq!(store.put(item.clone(), None, host(1), at(0)), Ok(()));
    assert_eq!(store.put(other.clone(), None, host(1), at(0)), Ok(()));
    assert_eq!(store.put(item.clone(), None, host(2), at(60)), Ok(()));
    assert_eq!(store.len(), 2);
    assert_eq!(store.get(&other.target(), at(120)), None, "even before anybody clears it away");
    store.expire(at(120));
    assert_eq!(store.iter().collect::<Vec<_>>(), [(&item, at(180))]);
    store.expire(at(180));
    assert_eq!(store.len(), 0);
    assert!(store.hosts.is_empty() && store.by_distance.is_empty() && store.by_end.is_empty(), "nothing stays behind");
}

#[test]
fn only_a_higher_number_brings_another_value() {
    let mut store = ItemStore::new(OWN);
    let mut put = |item: &Item| code(store.put(item.clone(), None, host(1), at(0)));
    assert_eq!(put(&mutable(1, 5, b"1:a")), None);
    assert_eq!(put(&mutable(1, 4, b"1:b")), Some(KrpcError::SEQ_TOO_OLD));
    assert_eq!(put(&mutable(1, 5, b"1:b")), Some(KrpcError::SEQ_TOO_OLD));
    assert_eq!(put(&mutable(1, 5, b"1:a")), None, "the same again keeps it longer");
    assert_eq!(put(&mutable(1, 6, b"1:b")), None);
    assert_eq!(put(&mutable(2, 1, b"1:b")), None, "another key has its own numbers");
    assert_eq!(store.get(&mutable(1, 0, b"").target(), at(0)), Some(&mutable(1, 6, b"1:b")));
}

#[test]
fn cas_must_be_the_number_that_is_here() {
    let mut store = ItemStore::new(OWN);
    let mut put = |seq, cas| code(store.put(mutable(1, seq, b"1:a"), cas, host(1), at(0)));
    assert_eq!(put(5, Some(99)), None, "with nothing here there is nothing to compare");
    assert_eq!(put(7, Some(4)), Some(KrpcError::CAS_MISMATCH));
    assert_eq!(put(7, Some(7)), Some(KrpcError::CAS_MISMATCH));
    assert_eq!(put(7, Some(5)), None);
    assert_eq!(put(6, Some(7)), Some(KrpcError::SEQ_TOO_OLD));
}

#[test]
fn host_over_its_quota_may_only_keep_up_what_is_here() {
    let mut store = ItemStore::bounded(OWN, SMALL);
    let mut put = |key, from, seq| code(store.put(mutable(key, seq, b"1:a"), None, from, at(0)));
    (1..=4).for_each(|key| assert_eq!(put(key, host(1), 0), None));
    assert_eq!(put(5, host(1), 0), Some(KrpcError::SERVER));
    assert_eq!(put(4, host(1), 1), None);
    assert_eq!(put(5, host(2), 0), None);
    assert_eq!(put(5, host(1), 1), None, "another's item, too");
    assert_eq!(put(4, host(2), 2), None, "who puts it last takes it over");
    assert_eq!(put(6, host(1), 0), None);
}

#[test]
fn own_items_count_in_nobodys_share() {
    let mut store = ItemStore::bounded(OWN, SMALL);
    for number in 0..6 {
        assert_eq!(store.put(immutable(number), None, [0; 4].into(), at(0)), Ok(()));
    }
    assert!(store.hosts.is_empty());
}

#[test]
fn full_store_keeps_the_nearest() {
    let mut store = ItemStore::bounded(OWN, SMALL);
    let items = by_distance(8);
    let mut put = |index: u8| code(store.put(items[usize::from(index)].clone(), None, host(index), at(0)));
    (1..7).for_each(|index| assert_eq!(put(index), None));
    assert_eq!(put(7), Some(KrpcError::SERVER));
    assert_eq!(put(6), None, "what is here can be put again");
    assert_eq!(put(0), None);
    assert_eq!(put(6), Some(KrpcError::SERVER), "and made way for the nearest");
}

#[test]
fn full_store_goes_by_the_new_ids_after_a_move() {
    let mut store = ItemStore::bounded(OWN, SMALL);
    for item in by_distance(6) {
        assert_eq!(store.put(item, None, [0; 4].into(), at(0)), Ok(()));
    }
    let new = immutable(99);
    store.rehome([new.target(); 2]);
    assert_eq!(store.put(new.clone(), None, host(1), at(0)), Ok(()));
    assert_eq!(store.len(), 6);
    check(&store, at(0));
}

#[test]
fn restored_items_stay_no_longer_than_others_and_replace_nothing() {
    let mut store = ItemStore::bounded(OWN, SMALL);
    assert_eq!(store.put(mutable(1, 5, b"1:a"), None, host(1), at(0)), Ok(()));
    let saved = |item, minutes| SavedItem { item, own: false, remaining: at(minutes).0 };
    store.restore(vec![saved(mutable(1, 9, b"1:b"), 60), saved(immutable(1), 60), saved(immutable(2), 999)], at(10));
    assert_eq!(store.get(&mutable(1, 0, b"").target(), at(10)), Some(&mutable(1, 5, b"1:a")));
    assert!(store.get(&immutable(1).target(), at(69)).is_some());
    assert_eq!(store.get(&immutable(1).target(), at(70)), None);
    assert_eq!(store.get(&immutable(2).target(), at(130)), None);
    store.restore((10..99).map(|number| saved(immutable(number), 60)).collect(), at(10));
    check(&store, at(10));
}

/// Everything the store knows must be known on all its sides, and be within its bounds.
fn check(store: &ItemStore, now: Time) {
    assert!(store.len() <= store.bounds.all);
    let ends = store.items.iter().map(|(target, kept)| (kept.expires, *target)).collect();
    assert_eq!(store.by_end, ends);
    let distances = store.items.keys().map(|target| (distance(&store.own, target), *target)).collect();
    assert_eq!(store.by_distance, distances);
    let mut hosts = BTreeMap::new();
    store.items.values().filter_map(|kept| kept.host).for_each(|host| *hosts.entry(host).or_default() += 1);
    assert_eq!(store.hosts, hosts);
    assert!(hosts.values().all(|count| (1..=store.bounds.host).contains(count)));
    assert!(store.items.values().all(|kept| kept.expires <= now + ITEM_LASTS));
}

proptest! {
    #[test]
    fn bounds_hold_and_numbers_never_fall(
        events in prop::collection::vec((0..12_u8, 0..4_i64, any::<bool>(), 0..3_u8, 0..20_u64), 0..200)
    ) {
        let mut store = ItemStore::bounded(OWN, SMALL);
        let mut now = at(0);
        for (key, seq, other, from, minutes) in events {
            now = now + at(minutes).0;
            let item = mutable(key, seq, if other { b"1:b" } else { b"1:a" });
            let before = store.get(&item.target(), now).and_then(Item::seq);
            let stored = store.put(item.clone(), None, host(from), now).is_ok();
            check(&store, now);
            let here = store.get(&item.target(), now);
            assert!(!stored || here == Some(&item));
            assert!(before <= here.and_then(Item::seq));
        }
        store.expire(now + ITEM_LASTS);
        assert_eq!(store.len(), 0);
    }
}
