//! What holds for all packets and values: they are read as they were written, and no bytes whatever
//! make the reader panic or build more than it was allowed to.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use proptest::prelude::{Just, Strategy, any};
use proptest::{collection::vec, option, prop_assert, prop_assert_eq, prop_oneof, proptest};
use seedbank_dht_proto::bencode::{self, Value, Writer};
use seedbank_dht_proto::krpc::{
    Body, ERROR_TEXT_BYTES_MAX, KrpcError, Message, Method, NODES_MAX, PACKET_BYTES_MAX, Query, Response,
    TOKEN_BYTES_MAX, TransactionId, Want,
};
use seedbank_dht_proto::{Id, Item, MutableItem, NodeInfo, SALT_BYTES_MAX, check_value};
use seedbank_types::{ServerKey, Signature};

const VALUES_MAX: usize = 200;

fn id() -> impl Strategy<Value = Id> {
    any::<[u8; 20]>().prop_map(Id)
}

fn v4() -> impl Strategy<Value = SocketAddr> {
    (any::<[u8; 4]>(), 1..=u16::MAX).prop_map(|(ip, port)| (ip, port).into())
}

fn v6() -> impl Strategy<Value = SocketAddr> {
    let not_mapped = |ip: &[u8; 16]| Ipv6Addr::from(*ip).to_canonical() == IpAddr::from(*ip);
    (any::<[u8; 16]>().prop_filter("IPv4 in IPv6 is dropped", not_mapped), 1..=u16::MAX)
        .prop_map(|(ip, port)| (ip, port).into())
}

fn nodes(address: impl Strategy<Value = SocketAddr>) -> impl Strategy<Value = Vec<NodeInfo>> {
    vec((id(), address).prop_map(|(id, address)| NodeInfo { id, address }), 0..12)
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=TOKEN_BYTES_MAX)
}

/// Canonical values of some depth.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(bencode::integer),
        vec(any::<u8>(), 0..20).prop_map(|string| bencode::bytes(&string)),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(bencode::list),
            vec((vec(any::<u8>(), 0..4), inner), 0..4).prop_map(|entries| {
                let writer = Writer::default();
                entries.iter().fold(writer, |writer, (key, value)| writer.encoded(key, value.clone())).finish()
            }),
        ]
    })
}

fn mutable(salt: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Item> {
    (any::<[u8; 32]>(), salt, 0..i64::MAX, any::<[u8; 64]>(), value()).prop_map(|(key, salt, seq, signature, value)| {
        Item::Mutable(MutableItem { key: ServerKey(key), salt, seq, signature: Signature(signature), value })
    })
}

fn immutable() -> impl Strategy<Value = Item> {
    value().prop_map(|value| Item::Immutable { value })
}

fn method() -> impl Strategy<Value = Method> {
    let item = prop_oneof![immutable(), mutable(vec(any::<u8>(), 0..=SALT_BYTES_MAX))];
    prop_oneof![
        Just(Method::Ping),
        id().prop_map(|target| Method::FindNode { target }),
        id().prop_map(|info_hash| Method::GetPeers { info_hash }),
        (id(), option::of(1..=u16::MAX), token()).prop_map(|(info_hash, port, token)| Method::AnnouncePeer {
            info_hash,
            port,
            token
        }),
        (id(), option::of(any::<i64>())).prop_map(|(target, seq)| Method::Get { target, seq }),
        (token(), item, option::of(any::<i64>())).prop_map(|(token, item, cas)| Method::Put { token, item, cas }),
        option::of(id()).prop_map(|target| Method::Unknown { target }),
    ]
}

fn query() -> impl Strategy<Value = Body> {
    (id(), any::<(bool, bool)>(), method())
        .prop_map(|(id, (v4, v6), method)| Body::Query(Query { id, want: Want { v4, v6 }, method }))
}

fn response() -> impl Strategy<Value = Body> {
    let values = vec(prop_oneof![v4(), v6()], 0..12);
    let item = option::of(prop_oneof![immutable(), mutable(Just(vec![]))]);
    let parts = (id(), nodes(v4()), nodes(v6()), values, option::of(token()), item, option::of(any::<i64>()));
    parts.prop_map(|(id, nodes, nodes6, values, token, item, seq)| {
        let seq = item.as_ref().and_then(Item::seq).or(seq);
        Body::Response(Response { id, nodes, nodes6, values, token, item, seq })
    })
}

fn body() -> impl Strategy<Value = Body> {
    let error = (any::<i64>(), "\\PC{0,50}").prop_map(|(code, text)| Body::Error(KrpcError { code, text }));
    prop_oneof![query(), response(), error]
}

fn message() -> impl Strategy<Value = Message> {
    let transaction =
        vec(any::<u8>(), 1..=16).prop_map(|bytes| TransactionId::new(&bytes).expect("as many bytes as one may have"));
    let version = option::of(vec(any::<u8>(), 0..=16));
    (transaction, version, any::<bool>(), option::of(prop_oneof![v4(), v6()]), body())
        .prop_map(|(transaction, version, read_only, ip, body)| Message { transaction, version, read_only, ip, body })
}

/// Packets that were right before something happened to them.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4);
    (message(), damage, any::<proptest::sample::Index>(), any::<bool>()).prop_map(|(message, damage, end, cut)| {
        let mut bytes = message.encode();
        let length = bytes.len();
        damage.into_iter().for_each(|(at, byte)| bytes[at.index(length)] = byte);
        bytes.truncate(if cut { end.index(length) } else { length });
        bytes
    })
}

/// What must hold for whatever is read.
fn is_bounded(message: &Message) -> bool {
    let body = match &message.body {
        Body::Query(query) => match &query.method {
            Method::AnnouncePeer { port, token, .. } => *port != Some(0) && token.len() <= TOKEN_BYTES_MAX,
            Method::Put { token, item, .. } => token.len() <= TOKEN_BYTES_MAX && check_value(item.value()).is_ok(),
            _ => true,
        },
        Body::Response(response) => {
            let nodes = [&response.nodes, &response.nodes6];
            nodes.iter().all(|nodes| nodes.len() <= NODES_MAX && nodes.iter().all(|node| node.address.port() != 0))
                && response.item.as_ref().is_none_or(|item| check_value(item.value()).is_ok())
        }
        Body::Error(error) => error.text.len() <= ERROR_TEXT_BYTES_MAX,
    };
    body && (1..=16).contains(&message.transaction.as_bytes().len())
}

fn count(value: &Value<'_>) -> usize {
    1 + value.as_list().map_or(0, |values| values.iter().map(count).sum())
}

proptest! {
    #[test]
    fn a_packet_is_read_as_it_was_written(message in message()) {
        let bytes = message.encode();
        prop_assert!(bytes.len() <= PACKET_BYTES_MAX);
        prop_assert!(bencode::parse(&bytes, PACKET_BYTES_MAX).is_ok_and(|value| value.is_canonical()));
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn a_packet_that_is_cut_off_is_refused(message in message(), end in any::<proptest::sample::Index>()) {
        let bytes = message.encode();
        prop_assert!(Message::decode(&bytes[..end.index(bytes.len())]).is_err());
    }

    #[test]
    fn whatever_is_read_of_damaged_packets_is_within_bounds(bytes in damaged()) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert!(is_bounded(&message));
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Message::decode(&bytes).is_ok_and(|message| is_bounded(&message)) || Message::decode(&bytes).is_err());
    }

    #[test]
    fn letters_of_bencoding_are_read_or_refused(text in "[ilde0-9:-]{0,60}") {
        if let Ok(value) = bencode::parse(text.as_bytes(), VALUES_MAX) {
            prop_assert!(count(&value) <= VALUES_MAX);
        }
    }

    #[test]
    fn a_value_is_canonical_as_it_is_written(raw in value()) {
        prop_assert_eq!(check_value(&raw), Ok(()));
    }

    #[test]
    fn an_id_follows_from_its_address(ip in prop_oneof![v4(), v6()], random in any::<[u8; 20]>()) {
        prop_assert!(Id::following_from(ip.ip(), random).follows_from(ip.ip()));
    }

    #[test]
    fn the_nearer_shares_more_bits(a in id(), b in id(), target in id(), bits in 0..160_u32) {
        let (a, b) = (a.with_prefix_of(&target, bits), b.with_prefix_of(&target, bits / 2));
        prop_assert_eq!(a.shared_prefix(&target), bits);
        prop_assert!(bits / 2 == bits || a.distance(&target) < b.distance(&target));
    }
}
