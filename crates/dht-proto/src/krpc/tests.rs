use std::fmt::Write;

use seedbank_types::ServerSecret;

use super::compact::{V4_BYTES, V6_BYTES};
use super::{
    Body, DecodeError, ERROR_TEXT_BYTES_MAX, KrpcError, Malformed, Message, Method, NODES_MAX, PACKET_BYTES_MAX,
    PEERS_MAX, Query, Response, TOKEN_BYTES_MAX, TransactionId, Want,
};
use crate::bencode::{self, Writer};
use crate::{ID_BYTES, Id, Item, MutableItem, VALUE_BYTES_MAX};

const ID: &[u8] = &[1; ID_BYTES];
const TARGET: &[u8] = &[2; ID_BYTES];

fn packet(kind: &[u8], key: &'static [u8], body: Vec<u8>) -> Vec<u8> {
    let name: &[u8] = if kind == b"q" { b"ping" } else { b"" };
    Writer::default().bytes(b"q", name).bytes(b"t", b"aa").bytes(b"y", kind).encoded(key, body).finish()
}

fn query_packet(name: &[u8], arguments: &Writer<'_>) -> Vec<u8> {
    Writer::default().bytes(b"t", b"aa").bytes(b"y", b"q").bytes(b"q", name).encoded(b"a", arguments.finish()).finish()
}

fn with_id<'k>() -> Writer<'k> {
    Writer::default().bytes(b"id", ID)
}

fn query(name: &[u8], arguments: &Writer<'_>) -> Result<Query, DecodeError> {
    match Message::decode(&query_packet(name, arguments))?.body {
        Body::Query(query) => Ok(query),
        other => panic!("not a query: {other:?}"),
    }
}

fn response(results: &Writer<'_>) -> Response {
    match Message::decode(&packet(b"r", b"r", results.finish())).expect("a response").body {
        Body::Response(response) => response,
        other => panic!("not a response: {other:?}"),
    }
}

/// The code that a query with these arguments deserves, and that its transaction is known.
fn refusal(name: &[u8], arguments: &Writer<'_>) -> i64 {
    let error = query(name, arguments).expect_err("a malformed query");
    assert_eq!(error.transaction, TransactionId::new(b"aa"));
    assert_eq!(error.error.text, error.kind.to_string());
    error.error.code
}

fn put() -> Writer<'static> {
    with_id().bytes(b"token", b"t").bytes(b"v", b"value")
}

fn mutable() -> Writer<'static> {
    put().bytes(b"k", &[3; 32]).bytes(b"sig", &[4; 64]).integer(b"seq", 5)
}

fn node(number: u8, address: &[u8], port: u16) -> Vec<u8> {
    [&[number; ID_BYTES][..], address, &port.to_be_bytes()].concat()
}

#[test]
fn packets_beyond_the_maximum_are_refused() {
    let at_length = |length: usize| {
        let padding = vec![b'x'; length - query_packet(b"ping", &with_id().bytes(b"pad", &[b'x'; 1000])).len() + 1000];
        query_packet(b"ping", &with_id().bytes(b"pad", &padding))
    };
    assert_eq!(at_length(PACKET_BYTES_MAX).len(), PACKET_BYTES_MAX);
    assert!(Message::decode(&at_length(PACKET_BYTES_MAX)).is_ok());
    let error = Message::decode(&at_length(PACKET_BYTES_MAX + 1)).expect_err("too long");
    assert_eq!(error.kind, Malformed::TooLong { bytes: PACKET_BYTES_MAX + 1 });
    assert_eq!(error.transaction, None);
}

#[test]
fn a_transaction_id_has_one_to_sixteen_bytes() {
    for length in 0..20 {
        let bytes = vec![0xff; length];
        let ping = Writer::default().bytes(b"t", &bytes).bytes(b"y", b"q").bytes(b"q", b"ping");
        let ping = ping.encoded(b"a", with_id().finish()).finish();
        let transaction = Message::decode(&ping).ok().map(|message| message.transaction.as_bytes().to_vec());
        assert_eq!(transaction, (1..=16).contains(&length).then_some(bytes));
    }
}

#[test]
fn only_a_malformed_query_is_to_be_answered() {
    let due = |bytes: &[u8]| Message::decode(bytes).expect_err("malformed").transaction.is_some();
    assert!(due(b"d1:ade1:q4:ping1:t2:aa1:y1:qe"), "no id");
    assert!(due(b"d1:q4:ping1:t2:aa1:y1:qe"), "no arguments");
    assert!(due(b"d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe"), "no method");
    assert!(!due(b"d1:ade1:q4:ping1:y1:qe"), "no transaction");
    assert!(!due(b"d1:rde1:t2:aa1:y1:re"), "a response");
    assert!(!due(b"d1:t2:aa1:y1:xe"), "another kind");
    assert!(!due(b"d1:t2:aae"), "no kind");
    assert!(!due(b"li1ee"), "no dictionary");
    assert!(!due(b"GET / HTTP/1.1"), "something else");
}

#[test]
fn a_malformed_argument_is_a_protocol_error() {
    let short = with_id().bytes(b"target", &[0; 19]).bytes(b"info_hash", &[0; 21]);
    for name in [&b"find_node"[..], b"get_peers", b"announce_peer", b"get", b"put"] {
        assert_eq!(refusal(name, &with_id()), KrpcError::PROTOCOL, "{}", name.escape_ascii());
        assert_eq!(refusal(name, &short), KrpcError::PROTOCOL, "{}", name.escape_ascii());
    }
    let get = with_id().bytes(b"target", TARGET).bytes(b"seq", b"1");
    assert_eq!(refusal(b"get", &get), KrpcError::PROTOCOL);
}

#[test]
fn an_announced_port_is_one_unless_it_is_implied() {
    let announce = || with_id().bytes(b"info_hash", TARGET).bytes(b"token", b"t");
    let port = |arguments: &Writer<'_>| match query(b"announce_peer", arguments).ok()?.method {
        Method::AnnouncePeer { port, .. } => Some(port),
        other => panic!("not an announcement: {other:?}"),
    };
    assert_eq!(port(&announce().integer(b"port", 6881)), Some(Some(6881)));
    assert_eq!(port(&announce().integer(b"port", 6881).integer(b"implied_port", 0)), Some(Some(6881)));
    assert_eq!(port(&announce().integer(b"port", 0).integer(b"implied_port", 1)), Some(None));
    assert_eq!(port(&announce().integer(b"implied_port", 1)), Some(None));
    for wrong in [0, -1, 65_536, 1 << 40] {
        assert_eq!(port(&announce().integer(b"port", wrong)), None, "{wrong}");
    }
    assert_eq!(port(&announce()), None);
}

#[test]
fn tokens_are_bounded() {
    let announce = |length| with_id().bytes(b"info_hash", TARGET).integer(b"port", 1).bytes(b"token", &vec![0; length]);
    assert!(query(b"announce_peer", &announce(TOKEN_BYTES_MAX)).is_ok());
    assert_eq!(refusal(b"announce_peer", &announce(TOKEN_BYTES_MAX + 1)), KrpcError::PROTOCOL);
    assert_eq!(response(&with_id().bytes(b"token", &[0; TOKEN_BYTES_MAX])).token, Some(vec![0; TOKEN_BYTES_MAX]));
    assert_eq!(response(&with_id().bytes(b"token", &[0; TOKEN_BYTES_MAX + 1])).token, None);
}

#[test]
fn an_unknown_query_is_one_about_its_target() {
    let target = |arguments: &Writer<'_>| match query(b"vote", arguments).expect("a query").method {
        Method::Unknown { target } => target,
        other => panic!("known: {other:?}"),
    };
    assert_eq!(target(&with_id()), None);
    assert_eq!(target(&with_id().bytes(b"target", TARGET)), Some(Id([2; 20])));
    assert_eq!(target(&with_id().bytes(b"info_hash", TARGET)), Some(Id([2; 20])));
    assert_eq!(target(&with_id().bytes(b"target", &[0; 19])), None);
}

#[test]
fn other_families_than_two_are_for_later() {
    let want = |families: Vec<u8>| query(b"ping", &with_id().encoded(b"want", families)).expect("a query").want;
    let named = |names: &[&str]| bencode::list(names.iter().map(|name| bencode::bytes(name.as_bytes())));
    assert_eq!(want(named(&["n4", "n6"])), Want { v4: true, v6: true });
    assert_eq!(want(named(&["n8", "n6"])), Want { v4: false, v6: true });
    assert_eq!(want(named(&[])), Want::default());
    assert_eq!(want(bencode::bytes(b"n4")), Want::default());
    assert_eq!(want(bencode::list([bencode::integer(4)])), Want::default());
}

#[test]
fn an_item_without_key_is_immutable() {
    let Method::Put { item, cas, .. } = query(b"put", &put()).expect("a put").method else { panic!("a put") };
    assert_eq!((item, cas), (Item::Immutable { value: b"5:value".to_vec() }, None));
    let Method::Put { item, cas, .. } = query(b"put", &mutable().integer(b"cas", 4)).expect("a put").method else {
        panic!("a put")
    };
    assert_eq!((item.seq(), cas), (Some(5), Some(4)));
}

#[test]
fn half_a_mutable_item_is_refused() {
    let parts = [
        with_id().bytes(b"token", b"t").bytes(b"k", &[3; 32]),
        put().bytes(b"k", &[3; 32]),
        put().bytes(b"sig", &[4; 64]),
        put().integer(b"seq", 1),
        put().bytes(b"salt", b"salt"),
        mutable().bytes(b"k", &[3; 31]),
        mutable().bytes(b"sig", &[4; 65]),
        mutable().bytes(b"seq", b"5"),
        mutable().integer(b"seq", -1),
        mutable().integer(b"salt", 1),
        mutable().bytes(b"cas", b"1"),
    ];
    for part in parts {
        assert_eq!(refusal(b"put", &part), KrpcError::PROTOCOL, "{part:?}");
    }
}

#[test]
fn items_that_are_too_big_have_errors_of_their_own() {
    let long = put().bytes(b"v", &[0; VALUE_BYTES_MAX]);
    assert_eq!(refusal(b"put", &long), KrpcError::TOO_BIG);
    assert_eq!(refusal(b"put", &mutable().bytes(b"salt", &[0; 65])), KrpcError::SALT_TOO_BIG);
    assert!(query(b"put", &mutable().bytes(b"salt", &[0; 64])).is_ok());
    let twisted = put().encoded(b"v", b"d1:bi1e1:ai1ee".to_vec());
    assert_eq!(refusal(b"put", &twisted), KrpcError::PROTOCOL);
}

#[test]
fn a_malformed_part_of_a_response_is_left_out() {
    let whole = node(1, &[10, 0, 0, 1], 6881);
    let results = with_id()
        .bytes(b"nodes", &[&whole[..], &whole[..25]].concat())
        .bytes(b"nodes6", &whole)
        .integer(b"token", 1)
        .bytes(b"values", b"axje.u")
        .bytes(b"seq", b"1")
        .encoded(b"v", b"d1:bi1e1:ai1ee".to_vec());
    assert_eq!(response(&results), Response::new(Id([1; 20])));
}

#[test]
fn values_of_wrong_length_are_left_out() {
    let lengths = [0, 5, 6, 7, 18, 19].map(|length| bencode::bytes(&vec![9; length]));
    let values = bencode::list(lengths.into_iter().chain([bencode::integer(6)]));
    let peers = response(&with_id().encoded(b"values", values)).values;
    assert_eq!(peers.iter().map(|peer| peer.is_ipv6()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn addresses_that_reach_nobody_are_dropped() {
    let mapped = "::ffff:10.0.0.1".parse::<std::net::Ipv6Addr>().expect("an address").octets();
    let good = "2001:db8::1".parse::<std::net::Ipv6Addr>().expect("an address").octets();
    let nodes = [node(1, &[10, 0, 0, 1], 0), node(2, &[10, 0, 0, 1], 1)].concat();
    let nodes6 = [node(1, &mapped, 1), node(2, &good, 0), node(3, &good, 1)].concat();
    let found = response(&with_id().bytes(b"nodes", &nodes).bytes(b"nodes6", &nodes6));
    assert_eq!(found.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [Id([2; 20])]);
    assert_eq!(found.nodes6.iter().map(|node| node.id).collect::<Vec<_>>(), [Id([3; 20])]);
}

#[test]
fn nodes_and_peers_are_bounded() {
    let nodes = node(1, &[10, 0, 0, 1], 1).repeat(NODES_MAX + 1);
    assert_eq!(response(&with_id().bytes(b"nodes", &nodes)).nodes.len(), NODES_MAX);
    assert_eq!(super::compact::read_nodes(&nodes[..26 * NODES_MAX], V4_BYTES).len(), NODES_MAX);
    assert_eq!(super::compact::read_nodes(&nodes[..25], V6_BYTES), []);
    let many = PACKET_BYTES_MAX / (V4_BYTES + 2);
    assert!(many <= PEERS_MAX, "so many fit into no packet");
}

#[test]
fn an_item_is_shown_only_whole() {
    let shown = |results: &Writer<'_>| response(results).item;
    let mutable = || with_id().bytes(b"v", b"x").bytes(b"k", &[3; 32]).bytes(b"sig", &[4; 64]);
    assert!(matches!(shown(&mutable().integer(b"seq", 5)), Some(Item::Mutable(item)) if item.seq == 5));
    assert_eq!(shown(&with_id().bytes(b"v", b"x")), Some(Item::Immutable { value: b"1:x".to_vec() }));
    assert_eq!(shown(&mutable()), None, "no number");
    assert_eq!(shown(&mutable().integer(b"seq", 5).bytes(b"k", b"")), None);
    assert_eq!(shown(&mutable().integer(b"seq", 5).bytes(b"sig", b"")), None);
    assert_eq!(shown(&with_id().bytes(b"v", &[0; VALUE_BYTES_MAX])), None, "too long");
}

#[test]
fn the_number_stands_without_the_item() {
    let results = response(&with_id().integer(b"seq", 7));
    assert_eq!((results.seq, results.item), (Some(7), None));
}

#[test]
fn the_salt_is_sent_to_store_and_never_shown() {
    let item = MutableItem::sign(&ServerSecret::from_bytes(&[7; 32]), b"pepper".to_vec(), 1, b"1:x".to_vec());
    let shown = Response { item: Some(Item::Mutable(item.clone())), ..Response::default() };
    let has_salt = |body| encoded(body).windows(6).any(|bytes| bytes == b"pepper");
    assert!(!has_salt(Body::Response(shown)));
    let method = Method::Put { token: vec![], item: Item::Mutable(item), cas: None };
    assert!(has_salt(Body::Query(Query { id: Id::default(), want: Want::default(), method })));
}

fn encoded(body: Body) -> Vec<u8> {
    let transaction = TransactionId::new(b"aa").expect("two bytes");
    Message { transaction, version: None, read_only: false, ip: None, body }.encode()
}

#[test]
fn errors_are_understood_however_badly_they_are_said() {
    let error = |said: Vec<u8>| match Message::decode(&packet(b"e", b"e", said)).expect("an error").body {
        Body::Error(error) => (error.code, error.text),
        other => panic!("not an error: {other:?}"),
    };
    let generic = |text: &str| (KrpcError::GENERIC, text.to_owned());
    assert_eq!(error(b"li203e3:bade".to_vec()), (203, "bad".to_owned()));
    assert_eq!(error(b"li203ee".to_vec()), (203, String::new()));
    assert_eq!(error(b"l3:bade".to_vec()), generic(""));
    assert_eq!(error(b"3:bad".to_vec()), generic(""));
    assert_eq!(error(b"l0:2:\xff\xc3e".to_vec()), generic("\u{fffd}\u{fffd}"));
    let (_, text) = error(bencode::list([bencode::integer(1), bencode::bytes(&[0xff; 500])]));
    assert_eq!(text, "\u{fffd}".repeat(ERROR_TEXT_BYTES_MAX / 3));
}

#[test]
fn what_stands_beside_the_body_is_optional() {
    let ping = |beside: fn(Writer<'static>) -> Writer<'static>| {
        let packet = Writer::default().bytes(b"t", b"aa").bytes(b"y", b"r").encoded(b"r", with_id().finish());
        Message::decode(&beside(packet).finish()).expect("a response")
    };
    let good = ping(|packet| packet.bytes(b"v", b"LT\x01\x02").integer(b"ro", 1).bytes(b"ip", &[1; 6]));
    assert_eq!(good.version.as_deref(), Some(&b"LT\x01\x02"[..]));
    assert_eq!((good.read_only, good.ip), (true, "1.1.1.1:257".parse().ok()));
    let bad = ping(|packet| packet.bytes(b"v", &[0; 17]).bytes(b"ro", b"1").bytes(b"ip", &[1; 4]));
    assert_eq!((bad.version, bad.read_only, bad.ip), (None, false, None));
    assert!(!ping(|packet| packet.integer(b"ro", 0)).read_only);
}

#[test]
fn errors_say_what_is_wrong() {
    let mut said = String::new();
    for bytes in [&b"d1:t2:aae"[..], b"d1:ade1:q4:ping1:t2:aa1:y1:qe", b"i1ei2e", b"le"] {
        let error = Message::decode(bytes).expect_err("malformed");
        writeln!(said, "{error}").expect("text");
    }
    assert_eq!(
        said,
        "a packet makes no sense: `y` is missing\n\
         a packet makes no sense: `id` is missing\n\
         a packet makes no sense: it is not bencoded: something follows the value, at byte 3\n\
         a packet makes no sense: it is not a dictionary\n"
    );
}
