use std::net::SocketAddr;

use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};
use seedbank_types::ServerSecret;

use super::*;
use crate::table;

const GOLDEN: &str = include_str!("../../tests/golden/saved.hex");

fn golden() -> Vec<u8> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    hex::decode(lines.collect::<String>()).expect("hex digits")
}

fn mutable(salt: &[u8], seq: i64, value: &[u8]) -> Item {
    let secret = ServerSecret::from_bytes(&[7; 32]);
    Item::Mutable(MutableItem::sign(&secret, salt.to_vec(), seq, value.to_vec()))
}

fn saved_item(item: Item, own: bool, seconds: u64) -> SavedItem {
    SavedItem { item, own, remaining: Duration::from_secs(seconds) }
}

/// One of everything.
fn example() -> Saved {
    let node = |id, address: &str| NodeInfo { id: Id([id; 20]), address: address.parse().expect("an address") };
    Saved {
        ids: [Some(Id([0x11; 20])), Some(Id([0x22; 20]))],
        nodes: vec![node(0x33, "192.0.2.1:6881"), node(0x44, "[2001:db8::1]:6882")],
        items: vec![
            saved_item(Item::Immutable { value: b"5:value".to_vec() }, false, 7_200),
            saved_item(mutable(b"", -1, b"de"), false, 1),
            saved_item(mutable(b"salt", 42, b"d1:ai1ee"), true, 0),
        ],
    }
}

#[test]
fn golden_bytes_are_written_and_read() {
    assert_eq!(hex::encode(example().encode()), hex::encode(golden()));
    assert_eq!(Saved::decode(&golden()), Ok(example()));
}

#[test]
fn nothing_saved_is_read_as_nothing() {
    assert_eq!(Saved::default().encode(), b"d5:itemsle5:nodesle7:versioni1ee");
    assert_eq!(Saved::decode(b"d7:versioni1ee"), Ok(Saved::default()));
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let foreign = [b"le".as_slice(), b"de", b"d7:version1:1e", b"i1e"];
    foreign.iter().for_each(|bytes| assert_eq!(Saved::decode(bytes), Err(SavedError::Foreign)));
    assert_eq!(Saved::decode(b"d7:versioni2ee"), Err(SavedError::Version { found: 2 }));
    assert!(matches!(Saved::decode(b""), Err(SavedError::Malformed(_))));
    assert!(matches!(Saved::decode(b"d7:versioni1ee "), Err(SavedError::Malformed(_))));
    let long = vec![b'0'; BYTES_MAX + 1];
    assert_eq!(Saved::decode(&long), Err(SavedError::TooLong { bytes: BYTES_MAX + 1 }));
}

#[test]
fn forged_items_are_left_out() {
    let mut saved = example();
    let Item::Mutable(item) = &mut saved.items[1].item else { panic!("the second one is mutable") };
    item.seq += 1;
    let expected = [saved.items[0].clone(), saved.items[2].clone()];
    assert_eq!(Saved::decode(&saved.encode()).expect("the rest is whole").items, expected);
}

#[test]
fn what_no_node_may_keep_is_left_out() {
    let mut saved = example();
    let long = format!("998:{}", "x".repeat(998)).into_bytes();
    let values = [b"".as_slice(), b"5:valu", b"i01e", b"d1:bi1e1:ai1ee", b"1:a1:b", &long];
    saved.items = values.map(|value| saved_item(Item::Immutable { value: value.to_vec() }, false, 1)).into();
    saved.items.push(saved_item(mutable(&[b's'; 65], 1, b"de"), false, 1));
    assert_eq!(Saved::decode(&saved.encode()).expect("the rest is whole").items, []);
}

#[test]
fn single_damaged_entries_cost_only_themselves() {
    let bytes =
        b"d3:id42:xx5:itemsli1ede4:nodee5:nodesl3:xxxi4e26:aaaaaaaaaaaaaaaaaaaa\x01\x02\x03\x04\x00\x05e7:versioni1ee";
    let saved = Saved::decode(bytes).expect("it is bencoded and has the version");
    assert_eq!((saved.ids, saved.items.len()), ([None, None], 0));
    assert_eq!(saved.nodes, [NodeInfo { id: Id([b'a'; 20]), address: ([1, 2, 3, 4], 5).into() }]);
}

/// So many nodes of a family.
fn many(count: u16, v6: bool) -> Vec<NodeInfo> {
    let ip = if v6 { "2001:db8::1" } else { "9.9.9.9" }.parse().expect("an address");
    (1..=count).map(|port| NodeInfo { id: Id([1; 20]), address: SocketAddr::new(ip, port) }).collect()
}

#[test]
fn no_more_is_written_than_is_read() {
    let value = format!("996:{}", "x".repeat(996)).into_bytes();
    let item = saved_item(Item::Immutable { value }, false, 1);
    let saved = Saved { nodes: many(3_000, false), items: vec![item; 10_100], ..Saved::default() };
    let read = Saved::decode(&saved.encode()).expect("it is within the bounds");
    assert_eq!((read.nodes.len(), read.items.len()), (table::NODES_MAX, ITEMS_MAX));
    assert_eq!(read.nodes, saved.nodes[..table::NODES_MAX]);
}

#[test]
fn two_full_tables_are_saved_whole() {
    assert_eq!(table::NODES_MAX, 64 + 32 + 16 + 157 * 8);
    let full = u16::try_from(table::NODES_MAX).expect("few");
    let saved = Saved { nodes: [many(full, false), many(full, true)].concat(), ..Saved::default() };
    assert_eq!(Saved::decode(&saved.encode()), Ok(saved));
}

#[test]
fn too_many_nodes_of_one_family_cost_the_other_none() {
    for first in [false, true] {
        let nodes = [many(5_000, first), many(100, !first)].concat();
        let read = Saved::decode(&Saved { nodes, ..Saved::default() }.encode()).expect("it is within the bounds");
        let other = read.nodes.iter().filter(|node| node.address.is_ipv6() != first).count();
        assert_eq!(other, 100);
    }
}

fn any_item() -> impl Strategy<Value = Item> {
    let value = || any::<Vec<u8>>().prop_map(|bytes| bencode::bytes(&bytes));
    let salt = || prop::collection::vec(any::<u8>(), 0..=SALT_BYTES_MAX);
    prop_oneof![
        value().prop_map(|value| Item::Immutable { value }),
        (salt(), any::<i64>(), value()).prop_map(|(salt, seq, value)| mutable(&salt, seq, &value)),
    ]
}

fn any_saved() -> impl Strategy<Value = Saved> {
    let id = || any::<Option<[u8; 20]>>().prop_map(|id| id.map(Id));
    let address = prop_oneof![
        (any::<[u8; 4]>(), 1..=u16::MAX).prop_map(Into::into),
        // Not of IPv4 in disguise.
        (any::<[u16; 7]>(), 1..=u16::MAX)
            .prop_map(|([a, b, c, d, e, f, g], port)| ([1, a, b, c, d, e, f, g], port).into()),
    ];
    let node = (any::<[u8; 20]>(), address).prop_map(|(id, address)| NodeInfo { id: Id(id), address });
    let item = (any_item(), any::<bool>(), 0..10_000_u64).prop_map(|(item, own, left)| saved_item(item, own, left));
    ([id(), id()], prop::collection::vec(node, 0..20), prop::collection::vec(item, 0..6))
        .prop_map(|(ids, nodes, items)| Saved { ids, nodes, items })
}

/// Golden bytes with some of them changed.
fn nearly_golden() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (Just(golden()), changes).prop_map(|(mut bytes, changes)| {
        changes.into_iter().for_each(|(at, byte)| bytes[at.index(golden().len())] = byte);
        bytes
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(saved in any_saved()) {
        assert_eq!(Saved::decode(&saved.encode()), Ok(saved));
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_what_is_read_can_be_written(
        bytes in prop_oneof![nearly_golden(), any::<Vec<u8>>()]
    ) {
        if let Ok(saved) = Saved::decode(&bytes) {
            assert!(saved.items.iter().all(|saved| saved.item.is_genuine()));
            assert_eq!(Saved::decode(&saved.encode()), Ok(saved));
        }
    }
}
