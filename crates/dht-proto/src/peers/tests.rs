use std::collections::BTreeSet;

use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::Strategy;

use super::*;

const TORRENT: Id = Id([1; 20]);
const SMALL: PeerBounds = PeerBounds { torrent: 6, host: 4, all: 10 };

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
    [false, true].into_iter().flat_map(|v6| store.find(info_hash, v6, usize::MAX, 0, now)).collect()
}

#[test]
fn peers_are_found_by_infohash_and_family() {
    let mut store = PeerStore::new();
    let (v4, v6) = (peer(1, 6881), address("[2001:db8::1]:6881"));
    store.announce(TORRENT, v4, at(0));
    store.announce(TORRENT, v6, at(0));
    assert_eq!(store.find(&TORRENT, false, 10, 7, at(0)), [v4]);
    assert_eq!(store.find(&TORRENT, true, 10, 7, at(0)), [v6]);
    assert_eq!(store.find(&Id([2; 20]), false, 10, 7, at(0)), []);
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
    assert!(store.swarms.is_empty() && store.hosts.is_empty() && store.crowds.is_empty(), "nothing stays behind");
}

#[test]
fn peer_without_port_is_not_kept() {
    let mut store = PeerStore::new();
    store.announce(TORRENT, peer(1, 0), at(0));
    assert_eq!(store.len(), 0);
}

#[test]
fn every_peer_is_named_to_somebody() {
    let mut store = PeerStore::new();
    (0..100).for_each(|host| store.announce(TORRENT, peer(host, 1), at(0)));
    let named: BTreeSet<_> = (0..100).flat_map(|pick| store.find(&TORRENT, false, 5, pick, at(0))).collect();
    assert_eq!(named.len(), 100);
    assert_eq!(store.find(&TORRENT, false, 50, u64::MAX, at(0)).len(), 50);
}

#[test]
fn host_over_its_quota_loses_its_own_oldest() {
    let mut store = PeerStore::bounded(SMALL);
    (1..=5).for_each(|port| store.announce(Id([port; 20]), peer(1, port.into()), at(0)));
    assert_eq!(store.len(), 4);
    assert_eq!(all_of(&store, &Id([1; 20]), at(0)), [].into());
    store.announce(TORRENT, address("[2001:db8::1]:1"), at(0));
    (1..=5).for_each(|port| store.announce(TORRENT, address(&format!("[2001:db8::{port}]:1")), at(0)));
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
    (1..=4).for_each(|port| store.announce(Id([9; 20]), peer(9, port), at(1)));
    (1..=6).for_each(|host| store.announce(TORRENT, peer(host, 1), at(0)));
    store.announce(Id([8; 20]), peer(8, 1), at(2));
    assert_eq!(store.len(), 10);
    assert_eq!(all_of(&store, &TORRENT, at(2)).len(), 6);
    assert_eq!(all_of(&store, &Id([9; 20]), at(2)), [2, 3, 4].map(|port| peer(9, port)).into());
}

/// Everything the store knows must be known on all its sides, and be within its bounds.
fn check(store: &PeerStore) {
    let bounds = store.bounds;
    assert!(store.len() <= bounds.all);
    assert_eq!(store.swarms.values().map(Swarm::len).sum::<usize>(), store.len());
    assert!(store.swarms.values().all(|swarm| (1..=bounds.torrent).contains(&swarm.len())));
    assert_eq!(store.hosts.values().map(BTreeSet::len).sum::<usize>(), store.len());
    assert!(store.hosts.values().all(|numbers| (1..=bounds.host).contains(&numbers.len())));
    assert_eq!(store.crowds, store.hosts.iter().map(|(host, numbers)| (numbers.len(), *host)).collect());
    for (number, announced) in &store.announced {
        assert_eq!(store.number(&announced.info_hash, announced.address), Some(*number));
    }
}

fn any_peer() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        3 => (0..6_u8, 0..6_u16).prop_map(|(host, port)| peer(host, port)),
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
            let found = store.find(&Id([torrent; 20]), peer.is_ipv6(), 3, pick, now);
            assert!(found.len() <= 3 && found.iter().collect::<BTreeSet<_>>().len() == found.len());
            assert_eq!(all_of(&store, &Id([torrent; 20]), now).contains(&peer), peer.port() != 0);
        }
        store.expire(now + at(31).0);
        assert_eq!(store.len(), 0);
    }
}
