use super::*;

const TARGET: Id = Id([0; 20]);

/// A node of the own network, this far from the target.
fn node(distance: u16) -> NodeInfo {
    let mut id = [0; 20];
    id[..2].copy_from_slice(&distance.to_be_bytes());
    let [high, low] = distance.to_be_bytes();
    NodeInfo { id: Id(id), address: SocketAddr::from(([10, high, low, 1], 6881)) }
}

fn lookup(distances: std::ops::Range<u16>) -> Lookup {
    Lookup::new(Family::V4, TARGET, false, distances.map(node).collect(), vec![])
}

fn asked(lookup: &mut Lookup) -> Vec<SocketAddr> {
    std::iter::from_fn(|| lookup.next()).collect()
}

/// Everybody who is asked answers with a token, until nobody is left; how many that were.
fn all_answer(lookup: &mut Lookup, node_at: impl Fn(SocketAddr) -> NodeInfo) -> usize {
    let mut count = 0;
    while let Some(address) = lookup.next() {
        lookup.answered(node_at(address), Some(vec![1]));
        count += 1;
    }
    count
}

fn by_address(address: SocketAddr) -> NodeInfo {
    let std::net::IpAddr::V4(ip) = address.ip() else { panic!("an IPv4 address") };
    let [_, high, low, _] = ip.octets();
    node(u16::from_be_bytes([high, low]))
}

#[test]
fn the_nearest_are_asked_first_and_a_few_at_a_time() {
    let mut lookup = lookup(1..100);
    assert_eq!(asked(&mut lookup), (1..=8).map(|distance| node(distance).address).collect::<Vec<_>>());
    lookup.answered(node(3), None);
    assert_eq!(asked(&mut lookup), [node(9).address]);
}

#[test]
fn it_is_complete_when_the_nearest_twenty_have_answered() {
    let mut lookup = lookup(1..100);
    assert_eq!(all_answer(&mut lookup, by_address), WIDTH);
    assert!(lookup.is_complete());
    assert_eq!(lookup.storers().len(), WIDTH);
    assert_eq!(lookup.nearest(), (1..=20).map(node).collect::<Vec<_>>());
}

#[test]
fn nearer_nodes_that_are_named_are_asked_too() {
    let mut lookup = lookup(50..60);
    let first = lookup.next().expect("somebody");
    lookup.answered(by_address(first), None);
    lookup.hear(node(1).address, &[node(2), node(1)]);
    assert_eq!(lookup.next(), Some(node(1).address));
    assert_eq!(all_answer(&mut lookup, by_address), 10);
    assert!(!lookup.is_complete(), "the first one is still waited for");
    lookup.answered(node(1), None);
    assert!(lookup.is_complete());
}

#[test]
fn a_slow_node_is_not_waited_for_but_may_still_answer() {
    let mut lookup = lookup(1..3);
    assert_eq!(asked(&mut lookup).len(), 2);
    lookup.answered(node(1), None);
    assert!(!lookup.is_complete());
    lookup.is_slow(node(2).address);
    assert!(lookup.is_complete());
    lookup.answered(node(2), None);
    assert_eq!(lookup.nearest(), [node(1), node(2)]);
}

#[test]
fn while_nobody_has_answered_even_the_slow_are_waited_for() {
    let mut lookup = lookup(1..3);
    assert_eq!(asked(&mut lookup).len(), 2);
    lookup.is_slow(node(1).address);
    lookup.is_slow(node(2).address);
    assert!(!lookup.is_complete());
    lookup.failed(node(1).address);
    lookup.failed(node(2).address);
    assert!(lookup.is_complete());
}

#[test]
fn one_subnet_counts_twice_at_most() {
    let neighbours = (1..=50).map(|host| NodeInfo { id: Id([0; 20]), address: SocketAddr::from(([9, 9, 9, host], 1)) });
    let mut lookup = Lookup::new(Family::V4, TARGET, false, neighbours.collect(), vec![]);
    assert_eq!(asked(&mut lookup).len(), 2);
}

#[test]
fn ids_that_follow_from_no_address_take_half_the_width_at_most() {
    let sybil = |host: u8| NodeInfo { id: Id([0; 20]), address: SocketAddr::from(([9, 9, host, 1], 1)) };
    let nodes: Vec<NodeInfo> = (1..=200).map(sybil).chain((1000..1050).map(node)).collect();
    let mut lookup = Lookup::new(Family::V4, TARGET, false, nodes.clone(), vec![]);
    let told =
        all_answer(&mut lookup, |address| *nodes.iter().find(|node| node.address == address).expect("one of them"));
    assert_eq!(told, WIDTH);
    let honest = lookup.nearest().into_iter().filter(|node| node.id != TARGET).count();
    assert_eq!(honest, WIDTH - UNFOUNDED);
}

#[test]
fn hosts_without_an_id_are_asked_first_and_take_the_id_they_give() {
    let mut lookup = Lookup::new(Family::V4, TARGET, false, vec![node(5)], vec![node(1).address]);
    assert_eq!(lookup.next(), Some(node(1).address));
    lookup.answered(node(1), None);
    assert_eq!(lookup.nearest(), [node(1)]);
}

#[test]
fn candidates_and_questions_are_bounded_whatever_is_named() {
    let mut lookup = lookup(60_000..60_008);
    let mut nearest = 50_000;
    let mut count = 0;
    while let Some(address) = lookup.next() {
        lookup.answered(by_address(address), None);
        nearest -= 16;
        lookup.hear(node(1).address, &(nearest..nearest + 16).map(node).collect::<Vec<_>>());
        count += 1;
    }
    assert_eq!(count, ASKED_MAX);
    assert!(lookup.is_complete() && lookup.candidates.len() <= CANDIDATES_MAX);
}

/// A node on the public net whose id follows from its address.
fn founded(number: u32) -> NodeInfo {
    let ip = std::net::Ipv4Addr::from(0x0900_0000 + number * 256);
    NodeInfo {
        id: Id::following_from(ip.into(), [u8::try_from(number % 256).expect("a byte"); 20]),
        address: SocketAddr::new(ip.into(), 6881),
    }
}

#[test]
fn whoever_names_nodes_that_are_not_there_neither_hides_nor_replaces_the_others() {
    let honest: Vec<NodeInfo> = (0..60).map(founded).collect();
    let liars: Vec<NodeInfo> =
        (0..10).map(|host| NodeInfo { id: TARGET, address: SocketAddr::from(([8, 8, host, 1], 1)) }).collect();
    let mut made_up = (1_000..).map(founded).filter(|node| node.id.0[0] < 4);
    let all: Vec<NodeInfo> = honest.iter().chain(&liars).copied().collect();
    let mut lookup = Lookup::new(Family::V4, TARGET, true, all, vec![]);
    let mut silent = 0;
    while let Some(address) = lookup.next() {
        if let Some(node) = honest.iter().find(|node| node.address == address) {
            lookup.answered(*node, Some(vec![1]));
        } else if let Some(liar) = liars.iter().find(|node| node.address == address) {
            lookup.answered(*liar, Some(vec![1]));
            lookup.hear(address, &made_up.by_ref().take(8).collect::<Vec<_>>());
        } else {
            silent += 1;
            lookup.is_slow(address);
        }
    }
    let told = lookup.storers();
    let told_honest = told.iter().filter(|storer| honest.iter().any(|node| node.address == storer.address)).count();
    assert_eq!((told.len(), told_honest), (WIDTH, WIDTH - UNFOUNDED));
    assert!(silent <= 40, "{silent} questions were wasted");
}

#[test]
fn where_items_are_kept_those_without_a_token_do_not_count() {
    let mut lookup = Lookup::new(Family::V4, TARGET, true, (1..60).map(node).collect(), vec![]);
    let mut asked = 0;
    while let Some(address) = lookup.next() {
        asked += 1;
        let node = by_address(address);
        lookup.answered(node, (asked % 2 == 0).then(|| vec![1]));
    }
    assert_eq!((asked, lookup.storers().len()), (2 * WIDTH, WIDTH));
}

#[test]
fn while_more_are_slow_than_have_answered_it_is_the_network_that_is_slow() {
    let mut lookup = lookup(1..6);
    let asked = asked(&mut lookup);
    lookup.answered(node(1), None);
    asked[1..].iter().for_each(|address| lookup.is_slow(*address));
    assert!(!lookup.is_complete());
    lookup.answered(node(2), None);
    assert!(!lookup.is_complete());
    lookup.answered(node(3), None);
    assert!(lookup.is_complete());
}
