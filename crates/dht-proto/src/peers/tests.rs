use std::collections::BTreeSet;

use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::Strategy;

use super::*;
use crate::place::{Host, is_local};

const TORRENT: Id = Id([1; 20]);
const SMALL: PeerBounds = PeerBounds { torrent: 6, place_in_torrent: 3, place: 4, all: 10 };

fn at(minutes: u64) -> Time {
    Time(Duration::from_secs(60 * minutes))
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn peer(host: u8, port: u16) -> SocketAddr {
    ([9, 0, 0, host], port).into()
}

fn all_of(store: &PeerStore, info_hash: &Id, now: Time) -> BTreeSet<SocketAddr> {
    [false, true].into_iter().flat_map(|v6| store.find(info_hash, v6, true, usize::MAX, 0, now)).collect()
}

#[test]
fn peers_are_found_by_infohash_and_family() {
    let mut store = PeerStore::new();
    let (v4, v6) = (peer(1, 6881), address("[2001:db8::1]:6881"));
    store.announce(TORRENT, v4, at(0));
    store.announce(TORRENT, v6, at(0));
    assert_eq!(store.find(&TORRENT, false, true, 10, 7, at(0)), [v4]);
    assert_eq!(store.find(&TORRENT, true, true, 10, 7, at(0)), [v6]);
    assert_eq!(store.find(&Id([2; 20]), false, true, 10, 7, at(0)), []);
}

#[test]
fn peer_is_forgotten_half_an_hour_after_its_last_announcement() {
    let mut store = PeerStore::new();
    store.announce(TORRENT, peer(1, 1), at(0));
    store.announce(TORRENT, peer(2, 2), at(0));
    store.announce(TORRENT, peer(1, 1), at(20));
    assert_eq!(store.len(), 2, "announced again is not announced twice");
    assert_eq!(all_of(&store, &TORRENT, at(31)), [peer(1, 1)].into());
    store.expire(at(31));
    assert_eq!(store.len(), 1);
    store.expire(at(51));
    assert_eq!(store.len(), 0);
    assert!(store.swarms.is_empty() && store.places.is_empty() && store.crowds.is_empty(), "nothing stays behind");
}

#[test]
fn peer_without_port_is_not_kept() {
    let mut store = PeerStore::new();
    store.announce(TORRENT, peer(1, 0), at(0));
    assert_eq!(store.len(), 0);
}

#[test]
fn sample_is_random_whatever_the_addresses() {
    let mut store = PeerStore::new();
    (0..100).for_each(|host| store.announce(TORRENT, peer(host, 1), at(0)));
    let samples: Vec<Vec<_>> = (0..2_000).map(|pick| store.find(&TORRENT, false, false, 5, pick, at(0))).collect();
    assert!(samples.iter().all(|sample| sample.len() == 5));
    let named = |host| samples.iter().filter(|sample| sample.contains(&peer(host, 1))).count();
    (0..100).for_each(|host| assert!((50..=150).contains(&named(host)), "{host} is named {} times", named(host)));
    let hosts_apart = samples.iter().filter(|sample| {
        let found: BTreeSet<_> = sample.iter().collect();
        let [first, .., last] = found.into_iter().collect::<Vec<_>>()[..] else { panic!("five of them") };
        Host::of(last.ip()) > Host::of(peer(50, 1).ip()) && Host::of(first.ip()) < Host::of(peer(30, 1).ip())
    });
    assert!(hosts_apart.count() > 1_000, "neighbours do not come together");
    assert_eq!(store.find(&TORRENT, false, false, 50, u64::MAX, at(0)).len(), 50);
}

#[test]
fn strangers_are_named_no_local_peers_and_still_as_many_as_they_may_have() {
    let mut store = PeerStore::new();
    for host in 1..=100 {
        store.announce(TORRENT, ([127, 0, 0, 1], u16::from(host)).into(), at(0));
        store.announce(TORRENT, ([10, 0, 0, host], 1).into(), at(0));
        store.announce(TORRENT, address(&format!("[fd00:0:0:{host}::1]:1")), at(0));
    }
    (1..=50).for_each(|host| store.announce(TORRENT, peer(host, 1), at(0)));
    (1..=25).for_each(|net| store.announce(TORRENT, address(&format!("[2001:db8:0:{net}::1]:1")), at(0)));
    for (v6, count) in [(false, 50), (true, 25)] {
        for pick in 0..20 {
            let found = store.find(&TORRENT, v6, false, count, pick, at(0));
            assert_eq!(found.len(), count);
            assert!(found.iter().all(|peer| !is_local(peer.ip())), "{found:?}");
        }
        let all = store.find(&TORRENT, v6, true, usize::MAX, 0, at(0));
        assert!(all.iter().any(|peer| is_local(peer.ip())), "whoever is here hears of them");
    }
}

#[test]
fn one_host_has_eight_peers_of_a_torrent() {
    let mut store = PeerStore::new();
    (1..=100).for_each(|port| store.announce(TORRENT, peer(1, port), at(0)));
    assert_eq!(all_of(&store, &TORRENT, at(0)), (93..=100).map(|port| peer(1, port)).collect());
    (1..=100).for_each(|host| store.announce(TORRENT, address(&format!("[2001:db8::{host}]:1")), at(0)));
    assert_eq!(store.len(), 16, "one /64 is one host");
    store.announce(TORRENT, peer(1, 100), at(1));
    assert_eq!(store.len(), 16, "announced again is no other peer");
    (1..=100).for_each(|port| store.announce(Id([2; 20]), peer(1, port), at(0)));
    assert_eq!(store.len(), 24, "other torrents are not concerned");
}

#[test]
fn on_loopback_each_socket_is_a_host_of_its_own() {
    let mut store = PeerStore::new();
    for ip in ["127.0.0.1", "::1"] {
        let ip = ip.parse().expect("an address");
        (1..=200).for_each(|port| store.announce(TORRENT, SocketAddr::new(ip, port), at(0)));
    }
    assert_eq!(store.len(), 400);
    (1..=1_000).for_each(|port| store.announce(Id([2; 20]), ([127, 0, 0, 1], port).into(), at(0)));
    assert_eq!(store.len(), 900, "as many as a torrent has");
}

#[test]
fn host_over_its_quota_loses_its_own_oldest() {
    let mut store = PeerStore::bounded(SMALL);
    (1..=5).for_each(|port| store.announce(Id([port; 20]), peer(1, port.into()), at(0)));
    assert_eq!(store.len(), 4);
    assert_eq!(all_of(&store, &Id([1; 20]), at(0)), [].into());
    for number in 1..=5 {
        store.announce(Id([number; 20]), address(&format!("[2001:db8::{number}]:1")), at(0));
    }
    assert_eq!(store.len(), 8, "one /64 is one host");
}

#[test]
fn full_torrent_loses_the_oldest_of_the_host_with_most() {
    let mut store = PeerStore::bounded(SMALL);
    store.announce(TORRENT, peer(1, 1), at(0));
    (1..=3).for_each(|port| store.announce(TORRENT, peer(2, port), at(1)));
    store.announce(TORRENT, address("[2001:db8::1]:1"), at(1));
    store.announce(TORRENT, peer(3, 1), at(1));
    store.announce(TORRENT, peer(4, 1), at(1));
    let found = all_of(&store, &TORRENT, at(1));
    assert_eq!(found.len(), 6);
    assert!(!found.contains(&peer(2, 1)) && found.contains(&peer(1, 1)) && found.contains(&peer(4, 1)));
}

#[test]
fn full_torrent_of_single_peers_loses_the_oldest() {
    let mut store = PeerStore::bounded(SMALL);
    [5, 1, 2, 3, 4, 6, 7].into_iter().for_each(|host| store.announce(TORRENT, peer(host, 1), at(0)));
    assert_eq!(all_of(&store, &TORRENT, at(0)), [1, 2, 3, 4, 6, 7].map(|host| peer(host, 1)).into());
}

#[test]
fn full_store_loses_the_oldest_of_the_host_with_most() {
    let mut store = PeerStore::bounded(SMALL);
    store.announce(Id([7; 20]), peer(9, 1), at(1));
    (2..=4).for_each(|port| store.announce(Id([9; 20]), peer(9, port), at(1)));
    (1..=6).for_each(|host| store.announce(TORRENT, peer(host, 1), at(0)));
    store.announce(Id([8; 20]), peer(8, 1), at(2));
    assert_eq!(store.len(), 10);
    assert_eq!(all_of(&store, &TORRENT, at(2)).len(), 6);
    assert_eq!(all_of(&store, &Id([7; 20]), at(2)), [].into());
    assert_eq!(all_of(&store, &Id([9; 20]), at(2)), [2, 3, 4].map(|port| peer(9, port)).into());
}

/// Everything the store knows must be known on all its sides, and be within its bounds.
fn check(store: &PeerStore) {
    let bounds = store.bounds;
    assert!(store.len() <= bounds.all);
    assert_eq!(store.swarms.values().map(Swarm::len).sum::<usize>(), store.len());
    assert!(store.swarms.values().all(|swarm| (1..=bounds.torrent).contains(&swarm.len())));
    assert_eq!(store.places.values().map(BTreeSet::len).sum::<usize>(), store.len());
    assert!(store.places.values().all(|numbers| (1..=bounds.place).contains(&numbers.len())));
    assert_eq!(store.crowds, store.places.iter().map(|(place, numbers)| (numbers.len(), *place)).collect());
    let mut mates = BTreeMap::<_, usize>::new();
    for (number, announced) in &store.announced {
        assert_eq!(store.number(&announced.info_hash, announced.address), Some(*number));
        *mates.entry((announced.info_hash, Place::of(announced.address))).or_default() += 1;
    }
    assert!(mates.values().all(|count| *count <= bounds.place_in_torrent));
}

fn any_peer() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        3 => (0..6_u8, 0..6_u16).prop_map(|(host, port)| peer(host, port)),
        1 => (0..6_u16).prop_map(|port| ([127, 0, 0, 1], port).into()),
        1 => (0..3_u16, 0..6_u16).prop_map(|(net, port)| ([0x2001, 0xdb8, 0, net, 0, 0, 0, port], port).into()),
    ]
}

proptest! {
    #[test]
    fn bounds_hold_and_the_newest_is_there(
        events in prop::collection::vec((0..5_u8, any_peer(), 0..6_u64, any::<u64>()), 0..200)
    ) {
        let mut store = PeerStore::bounded(SMALL);
        let mut now = at(0);
        for (torrent, peer, minutes, pick) in events {
            now = now + at(minutes).0;
            store.announce(Id([torrent; 20]), peer, now);
            check(&store);
            let found = store.find(&Id([torrent; 20]), peer.is_ipv6(), pick % 2 == 0, 3, pick, now);
            assert!(found.len() <= 3 && found.iter().collect::<BTreeSet<_>>().len() == found.len());
            assert_eq!(all_of(&store, &Id([torrent; 20]), now).contains(&peer), peer.port() != 0);
        }
        store.expire(now + at(31).0);
        assert_eq!(store.len(), 0);
    }
}
