use std::collections::BTreeSet;

use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::Strategy;

use super::*;

const OWN: Id = Id([0; 20]);

fn at(seconds: u64) -> Time {
    Time(Duration::from_secs(seconds))
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// An id in the given bucket of [`OWN`].
fn id(bucket: u32, number: u8) -> Id {
    let mut random = [0; 20];
    random[19] = number;
    Id(random).with_prefix_of(&OWN, bucket)
}

/// A node on loopback, where addresses are no reason to refuse anybody.
fn local(bucket: u32, number: u8) -> NodeInfo {
    let port = 1_000 + 256 * u16::try_from(bucket).expect("below 160") + u16::from(number);
    NodeInfo { id: id(bucket, number), address: ([127, 0, 0, 1], port).into() }
}

fn node(id: Id, text: &str) -> NodeInfo {
    NodeInfo { id, address: address(text) }
}

/// A node whose id follows from its address, wherever that is.
fn rightful(ip: [u8; 4], number: u8) -> NodeInfo {
    NodeInfo { id: Id::following_from(ip.into(), [number; 20]), address: (ip, 6881).into() }
}

/// A table whose bucket 5 is full of nodes that answered at the given second.
fn full(second: u64) -> RoutingTable {
    let mut table = RoutingTable::new(OWN);
    (0..8).for_each(|number| table.answered(local(5, number), at(second)));
    table
}

fn nodes(table: &RoutingTable) -> BTreeSet<NodeInfo> {
    table.nodes().collect()
}

fn fail(table: &mut RoutingTable, node: &NodeInfo, times: u32) {
    (0..times).for_each(|_| table.failed(node.address));
}

#[test]
fn own_id_never_enters() {
    let mut table = RoutingTable::new(OWN);
    table.answered(node(OWN, "9.0.0.1:1"), at(0));
    assert!(!table.wants(&node(OWN, "9.0.0.1:1"), at(0)));
    assert_eq!(table.nodes().count(), 0);
}

#[test]
fn buckets_have_more_room_near_the_root() {
    assert_eq!([0, 1, 2, 3, 4, 63, 64, 159].map(capacity), [64, 32, 16, 8, 8, 8, 8, 8]);
    let mut table = RoutingTable::new(OWN);
    for number in 0..=255 {
        (0..5).for_each(|bucket| table.answered(local(bucket, number), at(0)));
    }
    assert_eq!([0, 1, 2, 3, 4].map(|bucket| table.buckets[bucket].entries.len()), [64, 32, 16, 8, 8]);
}

#[test]
fn who_only_asks_does_not_enter() {
    let mut table = RoutingTable::new(OWN);
    table.asked(&local(5, 1), at(0));
    assert_eq!(table.nodes().count(), 0);
    assert!(table.wants(&local(5, 1), at(0)), "but may be asked back");
}

#[test]
fn node_that_answered_is_good_for_fifteen_minutes_and_for_as_long_after_each_query() {
    let mut table = RoutingTable::new(OWN);
    table.answered(local(5, 1), at(0));
    assert_eq!(table.counts(at(900)), NodeCounts { good: 1, questionable: 0 });
    assert_eq!(table.counts(at(901)), NodeCounts { good: 0, questionable: 1 });
    table.asked(&local(5, 1), at(901));
    assert_eq!(table.counts(at(1_800)), NodeCounts { good: 1, questionable: 0 });
    table.failed(local(5, 1).address);
    assert_eq!(table.counts(at(1_800)), NodeCounts { good: 0, questionable: 1 });
    table.failed(local(5, 1).address);
    assert_eq!(table.counts(at(1_800)), NodeCounts { good: 0, questionable: 0 });
    table.answered(local(5, 1), at(1_800));
    assert_eq!(table.counts(at(1_800)), NodeCounts { good: 1, questionable: 0 });
}

#[test]
fn good_nodes_keep_their_entries_and_the_new_one_waits() {
    let mut table = full(0);
    assert!(!table.wants(&local(5, 9), at(900)));
    table.answered(local(5, 9), at(900));
    assert_eq!(nodes(&table), (0..8).map(|number| local(5, number)).collect());
    fail(&mut table, &local(5, 3), 1);
    assert!(nodes(&table).contains(&local(5, 3)), "one lost packet is no proof");
    fail(&mut table, &local(5, 3), 1);
    assert_eq!(nodes(&table), [0, 1, 2, 4, 5, 6, 7, 9].map(|number| local(5, number)).into());
}

#[test]
fn youngest_of_those_that_wait_comes_first_and_a_dead_one_not_at_all() {
    let mut table = full(0);
    (10..30).for_each(|number| table.answered(local(5, number), at(0)));
    assert_eq!(table.buckets[5].spare.len(), 8);
    fail(&mut table, &local(5, 29), 1);
    fail(&mut table, &local(5, 0), 2);
    assert!(nodes(&table).contains(&local(5, 28)));
}

#[test]
fn node_that_failed_gives_way_and_the_worst_first() {
    let mut table = full(0);
    fail(&mut table, &local(5, 1), 1);
    fail(&mut table, &local(5, 2), 2);
    table.answered(local(5, 10), at(0));
    assert!(!nodes(&table).contains(&local(5, 2)));
    table.answered(local(5, 11), at(0));
    assert!(!nodes(&table).contains(&local(5, 1)));
    table.answered(local(5, 12), at(0));
    assert!(!nodes(&table).contains(&local(5, 12)));
}

#[test]
fn three_failures_remove_a_node_for_which_nobody_waits() {
    let mut table = RoutingTable::new(OWN);
    table.answered(local(5, 1), at(0));
    fail(&mut table, &local(5, 1), 2);
    assert_eq!((table.nodes().count(), table.closest(&OWN, 8)), (1, vec![]));
    fail(&mut table, &local(5, 1), 1);
    assert_eq!(table.nodes().count(), 0);
    assert!(table.places.is_empty());
}

#[test]
fn silence_makes_a_full_bucket_want_others_but_keeps_it_until_they_fail() {
    let mut table = full(0);
    assert!(table.wants(&local(5, 9), at(901)));
    table.answered(local(5, 9), at(901));
    assert!(!nodes(&table).contains(&local(5, 9)));
    assert!(!table.wants(&local(5, 9), at(902)), "it waits already");
}

#[test]
fn known_node_is_not_wanted() {
    let table = full(0);
    assert!(!table.wants(&local(5, 1), at(0)));
    assert!(!table.wants(&local(5, 1), at(9_999)), "there are better ways to see whether it is there");
}

/// Those who claim the address or the id of the node that was there first: neither has an id that follows.
const HONEST: &str = "9.0.0.1:1";

fn thieves() -> [NodeInfo; 3] {
    [node(id(6, 2), "9.0.0.1:3"), node(id(5, 1), "9.9.9.9:1"), node(id(5, 1), "9.0.0.1:2")]
}

#[test]
fn good_node_cannot_be_displaced_from_its_address_or_its_id() {
    let mut table = RoutingTable::new(OWN);
    let honest = node(id(5, 1), HONEST);
    table.answered(honest, at(0));
    for thief in thieves() {
        assert!(!table.wants(&thief, at(900)));
        table.answered(thief, at(900));
        assert_eq!(nodes(&table), [honest].into());
    }
}

#[test]
fn quiet_node_keeps_its_entry_until_it_fails_and_is_asked_at_once_when_somebody_claims_it() {
    let honest = node(id(5, 1), HONEST);
    for thief in thieves() {
        let mut table = RoutingTable::new(OWN);
        table.answered(honest, at(0));
        table.answered(local(5, 2), at(0));
        table.answered(local(5, 2), at(0));
        assert!(!table.wants(&thief, at(5_000)));
        table.answered(thief, at(5_000));
        assert_eq!(nodes(&table), [honest, local(5, 2)].into(), "silence is no proof");
        assert_eq!(table.check_next(at(5_000)), Some(honest));
        table.answered(honest, at(5_000));
        assert_eq!(table.check_next(at(5_000)), Some(local(5, 2)), "now it is known to be there");
        fail(&mut table, &honest, 1);
        assert!(table.wants(&thief, at(5_001)));
        table.answered(thief, at(5_001));
        assert_eq!(nodes(&table), [thief, local(5, 2)].into(), "a node that is gone has no claim");
        check(&table);
    }
}

#[test]
fn claimed_node_is_asked_before_those_that_are_silent_for_longer() {
    let mut table = RoutingTable::new(OWN);
    (1..=8).for_each(|number| table.answered(local(5, number), at(number.into())));
    table.answered(node(local(5, 8).id, "9.9.9.9:1"), at(20));
    assert_eq!(table.check_next(at(20)), Some(local(5, 8)), "even if it is young");
    assert_eq!(table.check_next(at(20)), None, "but not twice within a minute");
    table.answered(node(local(5, 7).id, "9.9.9.9:1"), at(2_000));
    assert_eq!(table.check_next(at(2_000)), Some(local(5, 7)));
}

#[test]
fn chosen_id_takes_nothing_from_a_rightful_one_before_that_is_bad() {
    let honest = rightful([9, 0, 0, 1], 7);
    let mut table = RoutingTable::new(OWN);
    table.answered(honest, at(0));
    let thief = node(honest.id, "9.9.9.9:1");
    fail(&mut table, &honest, 1);
    assert!(!table.wants(&thief, at(0)));
    table.answered(thief, at(0));
    assert_eq!(nodes(&table), [honest].into(), "one lost packet is no proof");
    let heir = rightful([9, 0, 0, 1], 8);
    let heir = NodeInfo { address: address("9.0.0.1:2"), ..heir };
    assert!(table.wants(&heir, at(0)), "whose id follows as well need not wait for another one");
    fail(&mut table, &honest, 1);
    assert_eq!(nodes(&table), [thief].into(), "it waited");
    check(&table);
}

#[test]
fn whoever_waits_for_the_place_of_a_bad_node_gets_it_whatever_its_id() {
    for bucket in [5, 9] {
        let mut table = RoutingTable::new(OWN);
        let (old, new) = (node(id(5, 1), "9.0.0.1:1"), node(id(bucket, 2), "9.0.0.1:2"));
        table.answered(old, at(0));
        table.answered(new, at(0));
        assert_eq!(nodes(&table), [old].into());
        fail(&mut table, &old, 2);
        assert_eq!(nodes(&table), [new].into());
        check(&table);
    }
}

#[test]
fn node_that_answers_under_another_id_has_left_its_old_one() {
    for bucket in [5, 9] {
        let mut table = RoutingTable::new(OWN);
        let (old, new) = (node(id(5, 1), "9.0.0.1:1"), node(id(bucket, 2), "9.0.0.1:1"));
        table.answered(old, at(0));
        table.answered(new, at(1));
        assert_eq!(nodes(&table), [old].into(), "one answer is no proof");
        assert_eq!(table.check_next(at(1)), Some(old));
        table.answered(new, at(2));
        assert_eq!(nodes(&table), [new].into());
        check(&table);
    }
}

#[test]
fn rivals_stay_where_there_is_no_room_for_the_newcomer() {
    let mut table = full(0);
    let old = node(id(9, 1), "9.0.0.1:1");
    table.answered(old, at(0));
    fail(&mut table, &old, 2);
    let new = node(id(5, 50), "9.0.0.1:2");
    assert!(!table.wants(&new, at(0)));
    table.answered(new, at(0));
    assert!(nodes(&table).contains(&old), "bad, but the only one there");
    assert_eq!(table.nodes().count(), 9);
    check(&table);
}

#[test]
fn newcomer_takes_the_entry_of_its_rival_and_of_nobody_else() {
    let mut table = full(0);
    fail(&mut table, &local(5, 1), 1);
    fail(&mut table, &local(5, 2), 2);
    let new = node(local(5, 1).id, "127.0.0.1:9");
    table.answered(new, at(0));
    let others = [0, 2, 3, 4, 5, 6, 7].map(|number| local(5, number));
    assert_eq!(nodes(&table), others.into_iter().chain([new]).collect());
}

#[test]
fn node_that_waits_is_dropped_when_it_fails_even_if_another_port_has_its_place() {
    let mut table = RoutingTable::new(OWN);
    let (old, new) = (node(id(5, 1), "9.0.0.1:1"), node(id(5, 2), "9.0.0.1:2"));
    table.answered(old, at(0));
    table.answered(new, at(0));
    fail(&mut table, &new, 1);
    assert!(table.buckets.iter().all(|bucket| bucket.spare.is_empty()));
    fail(&mut table, &old, 2);
    assert_eq!(nodes(&table), [old].into());
}

#[test]
fn only_who_answered_at_exactly_this_address_is_known() {
    let mut table = RoutingTable::new(OWN);
    let known = node(id(5, 1), "9.0.0.1:1");
    table.asked(&known, at(0));
    assert!(!table.knows(known.address));
    table.answered(known, at(0));
    assert!(table.knows(known.address));
    assert!(!table.knows(address("9.0.0.1:2")) && !table.knows(address("9.0.0.2:1")));
    fail(&mut table, &known, 3);
    assert!(!table.knows(known.address));
}

#[test]
fn failure_of_another_port_does_no_harm() {
    let mut table = RoutingTable::new(OWN);
    table.answered(node(id(5, 1), "9.0.0.1:1"), at(0));
    (0..9).for_each(|_| table.failed(address("9.0.0.1:2")));
    assert_eq!(table.counts(at(0)).good, 1);
}

#[test]
fn neighbours_have_two_entries_of_a_bucket() {
    let mut table = RoutingTable::new(OWN);
    (1..=9).for_each(|number| table.answered(node(id(5, number), &format!("9.0.0.{number}:1")), at(0)));
    assert_eq!(table.nodes().count(), 2);
    table.answered(node(id(6, 4), "9.0.0.14:1"), at(0));
    table.answered(node(id(5, 5), "9.0.1.5:1"), at(0));
    assert_eq!(table.nodes().count(), 4, "other buckets and other networks are not concerned");
    fail(&mut table, &node(id(5, 1), "9.0.0.1:1"), 1);
    table.answered(node(id(5, 9), "9.0.0.9:1"), at(0));
    assert!(!nodes(&table).contains(&node(id(5, 1), "9.0.0.1:1")), "among themselves they follow the usual rule");
    (1..=9).for_each(|number| table.answered(node(id(7, number), &format!("[2001:db8:0:{number}::1]:1")), at(0)));
    assert_eq!(table.buckets[7].entries.len(), 2);
}

#[test]
fn one_address_has_one_entry_but_on_loopback_one_for_each_port() {
    let mut table = RoutingTable::new(OWN);
    (1..=9).for_each(|number| table.answered(node(id(number, 0), &format!("9.0.0.1:{number}")), at(0)));
    assert_eq!(table.nodes().count(), 1);
    (1..=9).for_each(|number| table.answered(node(id(number, 1), &format!("127.0.0.1:{number}")), at(0)));
    assert_eq!(table.nodes().count(), 10);
}

#[test]
fn chosen_id_gives_way_to_a_rightful_one_in_a_full_bucket() {
    let rightful = (0..=255).map(|number| rightful([8, 8, 8, 8], number)).find(|node| capacity_of(node) == 8);
    let rightful = rightful.expect("one in eight is that near");
    let bucket = OWN.shared_prefix(&rightful.id);
    let mut table = RoutingTable::new(OWN);
    (0..7).for_each(|number| table.answered(local(bucket, number), at(0)));
    let chosen = node(id(bucket, 99), "9.9.9.9:1");
    table.answered(chosen, at(0));
    assert!(!table.wants(&node(id(bucket, 98), "7.7.7.7:1"), at(0)));
    table.answered(node(id(bucket, 98), "7.7.7.7:1"), at(0));
    assert!(nodes(&table).contains(&chosen));
    assert!(table.wants(&rightful, at(0)));
    table.answered(rightful, at(0));
    assert!(nodes(&table).contains(&rightful) && !nodes(&table).contains(&chosen));
}

fn capacity_of(node: &NodeInfo) -> usize {
    capacity(bucket_index(&OWN, &node.id))
}

#[test]
fn longest_silent_node_is_checked_first_and_none_twice_within_a_minute() {
    let mut table = RoutingTable::new(OWN);
    for number in 0..3 {
        table.answered(local(5, number), at(number.into()));
        table.answered(local(5, number), at(number.into()));
    }
    assert_eq!(table.check_next(at(900)), None);
    assert_eq!(table.check_next(at(902)), Some(local(5, 0)));
    assert_eq!(table.check_next(at(902)), Some(local(5, 1)));
    assert_eq!(table.check_next(at(902)), None);
    assert_eq!(table.check_next(at(961)), Some(local(5, 2)));
    assert_eq!(table.check_next(at(962)), Some(local(5, 0)));
}

#[test]
fn young_node_is_checked_after_a_minute_and_a_failing_one_at_once() {
    let mut table = RoutingTable::new(OWN);
    table.answered(local(5, 1), at(0));
    table.answered(local(5, 2), at(10));
    table.answered(local(5, 2), at(20));
    assert_eq!(table.check_next(at(59)), None);
    assert_eq!(table.check_next(at(60)), Some(local(5, 1)));
    table.answered(local(5, 1), at(60));
    assert_eq!(table.check_next(at(200)), None);
    table.failed(local(5, 2).address);
    assert_eq!(table.check_next(at(200)), Some(local(5, 2)));
}

#[test]
fn node_that_only_asks_is_asked_once_an_hour() {
    let mut table = RoutingTable::new(OWN);
    table.answered(local(5, 1), at(0));
    table.answered(local(5, 1), at(0));
    (0..=3_600).step_by(600).for_each(|second| table.asked(&local(5, 1), at(second)));
    assert_eq!(table.check_next(at(3_600)), None);
    assert_eq!(table.check_next(at(3_601)), Some(local(5, 1)));
}

#[test]
fn bucket_without_answers_is_refreshed_once_in_fifteen_minutes() {
    let mut table = RoutingTable::new(OWN);
    assert_eq!(table.stale_bucket(at(9_999)), None, "an empty table has no buckets to refresh");
    table.answered(local(2, 1), at(0));
    table.answered(local(0, 1), at(100));
    assert_eq!(table.stale_bucket(at(900)), None);
    assert_eq!(table.stale_bucket(at(901)), Some(1));
    assert_eq!(table.stale_bucket(at(901)), Some(2));
    assert_eq!(table.stale_bucket(at(901)), None);
    assert_eq!(table.stale_bucket(at(1_001)), Some(0));
    assert_eq!(table.stale_bucket(at(1_801)), None);
    assert_eq!(table.stale_bucket(at(1_802)), Some(1));
}

#[test]
fn nodes_stay_after_a_move_as_far_as_they_fit() {
    let mut table = RoutingTable::new(OWN);
    for number in 0..=255 {
        table.answered(local(0, number), at(0));
    }
    table.answered(local(5, 1), at(0));
    fail(&mut table, &local(0, 3), 1);
    let own = local(0, 7).id;
    table.rehome(own, at(10));
    assert_eq!(table.own(), own);
    assert!(nodes(&table).contains(&local(5, 1)) && !nodes(&table).contains(&local(0, 7)));
    check(&table);
    assert_eq!(table.stale_bucket(at(901)), None);
}

/// What holds of every table, whatever happened to it.
fn check(table: &RoutingTable) {
    let mut places = BTreeMap::new();
    for (index, bucket) in table.buckets.iter().enumerate() {
        assert!(bucket.entries.len() <= capacity(index) && bucket.spare.len() <= 8);
        for entry in &bucket.entries {
            assert_ne!(entry.node.id, table.own);
            assert_eq!(bucket_index(&table.own, &entry.node.id), index);
            assert_eq!(places.insert(Place::of(entry.node.address), entry.node.id), None, "one entry for each place");
            let network = crate::place::Network::of(entry.node.address.ip());
            let networks = bucket.entries.iter().map(|other| crate::place::Network::of(other.node.address.ip()));
            assert!(network.is_none() || networks.filter(|other| *other == network).count() <= 2);
        }
    }
    assert_eq!(table.places, places);
    assert_eq!(places.values().collect::<BTreeSet<_>>().len(), places.len(), "one entry for each id");
}

#[derive(Debug, Clone)]
enum Event {
    Answer(NodeInfo),
    Query(NodeInfo),
    Failure(SocketAddr),
    Pause(u64),
    Move(Id),
}

fn any_id() -> impl Strategy<Value = Id> {
    prop_oneof![
        (0..12_u32, 0..12_u8).prop_map(|(bucket, number)| id(bucket, number)),
        any::<[u8; 20]>().prop_map(Id),
        proptest::strategy::Just(OWN),
    ]
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (0..4_u8, 0..6_u8, 1..3_u16).prop_map(|(net, host, port)| ([9, 0, net, host], port).into()),
        (1..60_u16).prop_map(|port| ([127, 0, 0, 1], port).into()),
        any::<[u8; 4]>().prop_map(|ip| (ip, 1).into()),
        (0..3_u16, 0..3_u16).prop_map(|(net, host)| ([0x2001, 0xdb8, 0, net, 0, 0, 0, host], 1).into()),
    ]
}

fn any_node() -> impl Strategy<Value = NodeInfo> {
    let chosen = (any_id(), any_address()).prop_map(|(id, address)| NodeInfo { id, address });
    prop_oneof![3 => chosen, 1 => (any::<[u8; 4]>(), any::<u8>()).prop_map(|(ip, number)| rightful(ip, number))]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => any_node().prop_map(Event::Answer),
        5 => any_node().prop_map(Event::Query),
        10 => any_address().prop_map(Event::Failure),
        2 => (0..1_000_u64).prop_map(Event::Pause),
        1 => any_id().prop_map(Event::Move),
    ]
}

proptest! {
    #[test]
    fn no_event_breaks_the_rules_of_the_table(events in prop::collection::vec(event(), 0..300)) {
        let mut table = RoutingTable::new(OWN);
        let mut now = at(0);
        for event in events {
            match event {
                Event::Answer(node) => table.answered(node, now),
                Event::Query(node) => {
                    table.asked(&node, now);
                    let (entries, wanted) = (nodes(&table), table.wants(&node, now));
                    assert!(!wanted || !entries.contains(&node));
                }
                Event::Failure(address) => table.failed(address),
                Event::Pause(seconds) => now = now + at(seconds).0,
                Event::Move(id) => table.rehome(id, now),
            }
            check(&table);
        }
        assert!(table.counts(now).good + table.counts(now).questionable <= table.nodes().count());
    }

    #[test]
    fn nearest_are_those_that_a_look_at_all_would_find(
        known in prop::collection::vec(any_id(), 0..200), targets in prop::collection::vec(any_id(), 1..20), count in 0..20_usize
    ) {
        let mut table = RoutingTable::new(OWN);
        for (port, id) in (1..).zip(known) {
            table.answered(NodeInfo { id, address: ([127, 0, 0, 1], port).into() }, at(0));
        }
        for target in targets {
            let mut all: Vec<NodeInfo> = table.nodes().collect();
            all.sort_by_key(|node| node.id.distance(&target));
            all.truncate(count);
            assert_eq!(table.closest(&target, count), all);
        }
    }

    #[test]
    fn answer_from_elsewhere_never_removes_a_node_with_a_rightful_id_that_did_not_fail(
        honest in prop::collection::vec(any_node(), 1..100), strangers in prop::collection::vec(any_node(), 1..100)
    ) {
        let mut table = RoutingTable::new(OWN);
        honest.into_iter().for_each(|node| table.answered(node, at(0)));
        let is_rightful = |entry: &&Entry| entry.is_good(at(0)) && entry.node.id.follows_from(entry.node.address.ip());
        let before: BTreeSet<NodeInfo> = table.entries().filter(is_rightful).map(|entry| entry.node).collect();
        let theirs: BTreeSet<SocketAddr> = before.iter().map(|node| node.address).collect();
        let strangers = strangers.into_iter().filter(|node| !theirs.contains(&node.address));
        strangers.for_each(|node| table.answered(node, at(9_000)));
        assert!(nodes(&table).is_superset(&before));
    }
}
