//! Golden bytes: packets as the BEPs show them, as other programs send them, and the items of BEP44.
//!
//! Files under `tests/golden/` have sections `[name]` of hex lines; `#` begins a comment.
use std::collections::BTreeMap;
use std::net::SocketAddr;

use seedbank_dht_proto::bencode::{self, BencodeError, DEPTH_MAX};
use seedbank_dht_proto::krpc::{Body, KrpcError, Message, Method, Query, Response, TransactionId, Want};
use seedbank_dht_proto::{Id, Item, MutableItem, NodeInfo, check_value};
use seedbank_types::{ServerKey, ServerSecret, Signature};

#[path = "golden/shape.rs"]
mod shape;

const A: Id = Id(*b"abcdefghij0123456789");
const M: Id = Id(*b"mnopqrstuvwxyz123456");
const HELLO: &[u8] = b"12:Hello World!";
const TARGET: &str = "e5f96f6f38320f0f33959cb4d3d656452117aadb";
const KEY: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
const SIGNATURE: &str = "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
                         1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01";
const SIGNATURE_WITH_SALT: &str = "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
                                   df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08";

fn sections(file: &str) -> BTreeMap<String, Vec<u8>> {
    let mut sections: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut section = String::new();
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(title) => title.clone_into(&mut section),
            None => sections.entry(section.clone()).or_default().extend(hex::decode(line).expect("hex digits")),
        }
    }
    sections
}

fn packets() -> BTreeMap<String, Vec<u8>> {
    sections(include_str!("golden/krpc.hex"))
}

fn id(text: &str) -> Id {
    Id::from_hex(text).expect("an id")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn item(salt: &[u8], signature: &str) -> MutableItem {
    MutableItem {
        key: KEY.parse::<ServerKey>().expect("a key"),
        salt: salt.to_vec(),
        seq: 1,
        signature: signature.parse::<Signature>().expect("a signature"),
        value: HELLO.to_vec(),
    }
}

fn immutable() -> Item {
    Item::Immutable { value: HELLO.to_vec() }
}

fn message(body: Body) -> Message {
    let transaction = TransactionId::new(b"aa").expect("two bytes");
    Message { transaction, version: None, read_only: false, ip: None, body }
}

fn query(method: Method) -> Message {
    message(Body::Query(Query { id: A, want: Want::default(), method }))
}

fn response(response: Response) -> Message {
    message(Body::Response(response))
}

fn given(token: bool) -> Response {
    Response { token: token.then(|| b"aoeusnth".to_vec()), ..Response::new(A) }
}

/// Both directions: the packet is read as `expected`, which is written as the packet.
#[track_caller]
fn is_packet(section: &str, expected: &Message) {
    let packets = packets();
    let bytes = packets.get(section).unwrap_or_else(|| panic!("no section [{section}]"));
    assert_eq!(Message::decode(bytes).as_ref(), Ok(expected), "[{section}]");
    assert_eq!(expected.encode().escape_ascii().to_string(), bytes.escape_ascii().to_string(), "[{section}]");
}

#[test]
fn queries_and_responses_of_bep5() {
    is_packet("bep5 ping query", &query(Method::Ping));
    is_packet("bep5 ping response", &response(Response::new(M)));
    is_packet("bep5 find_node query", &query(Method::FindNode { target: M }));
    is_packet("bep5 get_peers query", &query(Method::GetPeers { info_hash: M }));
    let values = vec![address("97.120.106.101:11893"), address("105.100.104.116:28269")];
    is_packet("bep5 get_peers response with peers", &response(Response { values, ..given(true) }));
    let announce = |port| query(Method::AnnouncePeer { info_hash: M, port, token: b"aoeusnth".to_vec() });
    is_packet("bep5 announce_peer query, port", &announce(Some(6881)));
    is_packet("bep5 announce_peer query, implied port", &announce(None));
    let error = KrpcError::new(KrpcError::GENERIC, "A Generic Error Ocurred");
    is_packet("bep5 error", &message(Body::Error(error)));
}

#[test]
fn both_families_of_bep32() {
    let node = |id, at| NodeInfo { id, address: address(at) };
    let want = Want { v4: true, v6: true };
    let method = Method::FindNode { target: M };
    is_packet("bep32 find_node query", &message(Body::Query(Query { id: A, want, method })));
    let nodes = vec![node(M, "192.0.2.1:6881"), node(A, "198.51.100.2:1")];
    let nodes6 = vec![node(M, "[2001:db8::1]:6881")];
    is_packet("bep32 find_node response", &response(Response { nodes, nodes6, ..given(false) }));
    let values = vec![address("[2001:db8::1]:6881"), address("192.0.2.1:6881")];
    is_packet("bep32 get_peers response", &response(Response { values, ..given(true) }));
}

#[test]
fn addresses_of_bep42_and_read_only_nodes_of_bep43() {
    let seen = |ip| Message { ip: Some(address(ip)), version: Some(b"SB\x00\x01".to_vec()), ..response(given(false)) };
    is_packet("bep42 response", &seen("192.0.2.1:6881"));
    is_packet("bep42 response to ipv6", &seen("[2001:db8::1]:6881"));
    let transaction = TransactionId::new(b"\x00\x01\xfe\xff").expect("four bytes");
    is_packet("bep43 query", &Message { transaction, read_only: true, ..query(Method::Ping) });
}

#[test]
fn packets_of_bep44() {
    let get = |seq| query(Method::Get { target: id(TARGET), seq });
    is_packet("bep44 get query", &get(None));
    is_packet("bep44 get query, seq", &get(Some(1)));
    is_packet("bep44 get response, immutable", &response(Response { item: Some(immutable()), ..given(true) }));
    let shown = Some(Item::Mutable(item(b"", SIGNATURE)));
    is_packet("bep44 get response, mutable", &response(Response { item: shown, seq: Some(1), ..given(true) }));
    let put = |item, cas| query(Method::Put { token: b"aoeusnth".to_vec(), item, cas });
    is_packet("bep44 put query, immutable", &put(immutable(), None));
    let salted = Item::Mutable(item(b"foobar", SIGNATURE_WITH_SALT));
    is_packet("bep44 put query, mutable", &put(salted, Some(0)));
    let error = KrpcError::new(KrpcError::CAS_MISMATCH, "the CAS hash mismatched, re-read and try again");
    is_packet("bep44 error", &message(Body::Error(error)));
}

#[test]
fn test_vectors_of_bep44() {
    let plain = item(b"", SIGNATURE);
    assert_eq!(plain.signable(), b"3:seqi1e1:v12:Hello World!");
    assert!(plain.is_genuine());
    assert_eq!(Item::Mutable(plain).target(), id("4a533d47ec9c7d95b1ad75f576cffc641853b750"));

    let salted = item(b"foobar", SIGNATURE_WITH_SALT);
    assert_eq!(salted.signable(), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
    assert!(salted.is_genuine());
    assert_eq!(Item::Mutable(salted).target(), id("411eba73b6f087ca51a3795d9c8c938d365e32c1"));

    assert_eq!(immutable().target(), id(TARGET));
    assert!(immutable().is_genuine());
    assert_eq!(check_value(HELLO), Ok(()));
}

#[test]
fn signatures_are_the_same_ones_for_ever() {
    let signed = MutableItem::sign(&ServerSecret::from_bytes(&[7; 32]), b"foobar".to_vec(), 1, HELLO.to_vec());
    assert_eq!(signed.key.to_string(), "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
    assert_eq!(
        signed.signature.to_string(),
        "10aaa6110c96a1d3c550993aaf72434d2012022651efeb387fdb2aa4c2fcb169\
         67921bb1d51d602dfe52d9d9efbb61cb9493be059c8b9d2aacb6eef758549409"
    );
    assert!(signed.is_genuine());
}

#[test]
fn packets_of_other_programs() {
    let packets = packets();
    let foreign = packets.iter().filter(|(section, _)| !section.starts_with("bep"));
    let seen: String = foreign.map(|(section, bytes)| format!("{section}: {}\n", shape::of(bytes))).collect();
    assert_eq!(seen, include_str!("golden/foreign.txt"));
}

#[test]
fn values_in_bencoding() {
    let values = sections(include_str!("golden/bencode.hex"));
    let read = |section: &str| bencode::parse(values.get(section).expect("the section"), 100);
    for (section, canonical) in [
        ("number", true),
        ("string", true),
        ("list", true),
        ("dictionary", true),
        ("deepest", true),
        ("unsorted", false),
        ("equal keys", false),
    ] {
        assert_eq!(read(section).map(|value| value.is_canonical()), Ok(canonical), "[{section}]");
    }
    let deeper = [b"l".repeat(DEPTH_MAX + 1), b"e".repeat(DEPTH_MAX + 1)].concat();
    assert_eq!(bencode::parse(&deeper, 100), Err(BencodeError::TooDeep));
}
