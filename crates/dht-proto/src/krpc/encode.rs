//! From a [`Message`] to a packet.
use super::{Body, KrpcError, Message, Method, Query, Response, Want, compact};
use crate::bencode::{self, Writer};
use crate::{Id, Item};

pub(super) fn message(message: &Message) -> Vec<u8> {
    let packet = Writer::default()
        .bytes(b"t", message.transaction.as_bytes())
        .maybe(b"v", message.version.as_deref().map(bencode::bytes))
        .maybe(b"ro", message.read_only.then(|| bencode::integer(1)))
        .maybe(b"ip", message.ip.map(|ip| bencode::bytes(&compact::address(&ip))));
    let packet = match &message.body {
        Body::Query(query) => {
            packet.bytes(b"y", b"q").bytes(b"q", name(&query.method)).encoded(b"a", arguments(query).finish())
        }
        Body::Response(response) => packet.bytes(b"y", b"r").encoded(b"r", results(response).finish()),
        Body::Error(error) => packet.bytes(b"y", b"e").encoded(b"e", code_and_text(error)),
    };
    packet.finish()
}

const fn name(method: &Method) -> &'static [u8] {
    match method {
        Method::Ping => b"ping",
        Method::FindNode { .. } => b"find_node",
        Method::GetPeers { .. } => b"get_peers",
        Method::AnnouncePeer { .. } => b"announce_peer",
        Method::Get { .. } => b"get",
        Method::Put { .. } => b"put",
        Method::Unknown { .. } => b"unknown",
    }
}

fn arguments(query: &Query) -> Writer<'static> {
    let arguments = Writer::default().bytes(b"id", &query.id.0).maybe(b"want", families(query.want));
    match &query.method {
        Method::Ping | Method::Unknown { target: None } => arguments,
        Method::FindNode { target } | Method::Unknown { target: Some(target) } => arguments.bytes(b"target", &target.0),
        Method::GetPeers { info_hash } => arguments.bytes(b"info_hash", &info_hash.0),
        Method::AnnouncePeer { info_hash, port, token } => {
            announcement(arguments, info_hash, *port).bytes(b"token", token)
        }
        Method::Get { target, seq } => arguments.bytes(b"target", &target.0).maybe(b"seq", seq.map(bencode::integer)),
        Method::Put { token, item, cas } => {
            item_with_salt(arguments, item).bytes(b"token", token).maybe(b"cas", cas.map(bencode::integer))
        }
    }
}

/// Who does not know `implied_port` refuses port 0, which is better than to keep a port that is none.
fn announcement(arguments: Writer<'static>, info_hash: &Id, port: Option<u16>) -> Writer<'static> {
    arguments
        .bytes(b"info_hash", &info_hash.0)
        .maybe(b"implied_port", port.is_none().then(|| bencode::integer(1)))
        .integer(b"port", i64::from(port.unwrap_or(0)))
}

fn families(want: Want) -> Option<Vec<u8>> {
    let names = [(want.v4, b"n4"), (want.v6, b"n6")];
    let wanted = names.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| bencode::bytes(name));
    (want != Want::default()).then(|| bencode::list(wanted))
}

fn results(response: &Response) -> Writer<'static> {
    let values = || bencode::list(response.values.iter().map(|peer| bencode::bytes(&compact::address(peer))));
    let results = Writer::default()
        .bytes(b"id", &response.id.0)
        .maybe(b"nodes", compact::nodes(&response.nodes, false).as_deref().map(bencode::bytes))
        .maybe(b"nodes6", compact::nodes(&response.nodes6, true).as_deref().map(bencode::bytes))
        .maybe(b"values", (!response.values.is_empty()).then(values))
        .maybe(b"token", response.token.as_deref().map(bencode::bytes))
        .maybe(b"seq", response.seq.map(bencode::integer));
    match &response.item {
        Some(shown) => item(results, shown),
        None => results,
    }
}

fn item_with_salt(to: Writer<'static>, shown: &Item) -> Writer<'static> {
    let salt = match shown {
        Item::Mutable(mutable) if !mutable.salt.is_empty() => Some(bencode::bytes(&mutable.salt)),
        _ => None,
    };
    item(to, shown).maybe(b"salt", salt)
}

fn item(to: Writer<'static>, item: &Item) -> Writer<'static> {
    let to = to.encoded(b"v", item.value().to_vec());
    match item {
        Item::Immutable { .. } => to,
        Item::Mutable(item) => to.bytes(b"k", &item.key.0).integer(b"seq", item.seq).bytes(b"sig", &item.signature.0),
    }
}

fn code_and_text(error: &KrpcError) -> Vec<u8> {
    bencode::list([bencode::integer(error.code), bencode::bytes(error.text.as_bytes())])
}
