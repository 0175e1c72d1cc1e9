//! From a packet to a [`Message`].
use std::net::SocketAddr;

use seedbank_types::{ServerKey, Signature};

use super::compact::{self, V4_BYTES, V6_BYTES};
use super::{
    Body, DecodeError, ERROR_TEXT_BYTES_MAX, KrpcError, Malformed, Message, Method, PACKET_BYTES_MAX, PEERS_MAX, Query,
    Response, TOKEN_BYTES_MAX, TransactionId, VERSION_BYTES_MAX, Want,
};
use crate::bencode::{self, Dictionary, Value};
use crate::item::{MutableItem, SALT_BYTES_MAX, check_value};
use crate::{ID_BYTES, Id, Item};

/// Values in a packet: as many as fit, since the shortest has two bytes.
const VALUES_MAX: usize = PACKET_BYTES_MAX / 2;

pub(super) fn message(bytes: &[u8]) -> Result<Message, DecodeError> {
    let nobody = |kind: Malformed| kind.in_query(None);
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(nobody(Malformed::TooLong { bytes: bytes.len() }));
    }
    let packet = bencode::parse(bytes, VALUES_MAX).map_err(|error| nobody(error.into()))?;
    let packet = packet.as_dictionary().ok_or(nobody(Malformed::NotDictionary))?;
    let transaction = transaction(packet).map_err(nobody)?;
    let body = match kind(packet).map_err(nobody)? {
        b'q' => query(packet).map(Body::Query).map_err(|error| error.in_query(Some(transaction.clone())))?,
        b'r' => response(packet).map(Body::Response).map_err(nobody)?,
        _ => Body::Error(error(packet)),
    };
    let version = bytes_of(packet, b"v").filter(|version| version.len() <= VERSION_BYTES_MAX).map(<[u8]>::to_vec);
    let read_only = integer_of(packet, b"ro").is_some_and(|number| number != 0);
    let ip = bytes_of(packet, b"ip").and_then(compact::read_address);
    Ok(Message { transaction, version, read_only, ip, body })
}

fn transaction(packet: &Dictionary<'_>) -> Result<TransactionId, Malformed> {
    let bytes = required(packet, "t")?.as_bytes();
    bytes.and_then(TransactionId::new).ok_or(Malformed::Wrong { key: "t", expected: "1 to 16 bytes" })
}

fn kind(packet: &Dictionary<'_>) -> Result<u8, Malformed> {
    match required(packet, "y")?.as_bytes() {
        Some([kind @ (b'q' | b'r' | b'e')]) => Ok(*kind),
        _ => Err(Malformed::Wrong { key: "y", expected: "one of `q`, `r`, `e`" }),
    }
}

fn query(packet: &Dictionary<'_>) -> Result<Query, Malformed> {
    let name = required(packet, "q")?.as_bytes().ok_or(Malformed::Wrong { key: "q", expected: "a string" })?;
    let arguments = dictionary(packet, "a")?;
    Ok(Query { id: id(arguments, "id")?, want: want(arguments), method: method(name, arguments)? })
}

fn method(name: &[u8], arguments: &Dictionary<'_>) -> Result<Method, Malformed> {
    Ok(match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: id(arguments, "target")? },
        b"get_peers" => Method::GetPeers { info_hash: id(arguments, "info_hash")? },
        b"announce_peer" => Method::AnnouncePeer {
            info_hash: id(arguments, "info_hash")?,
            port: port(arguments)?,
            token: token(arguments)?,
        },
        b"get" => Method::Get { target: id(arguments, "target")?, seq: optional_integer(arguments, "seq")? },
        b"put" => Method::Put {
            token: token(arguments)?,
            item: item_to_put(arguments)?,
            cas: optional_integer(arguments, "cas")?,
        },
        _ => Method::Unknown { target: id(arguments, "target").or_else(|_none| id(arguments, "info_hash")).ok() },
    })
}

/// Other strings than those two are for later extensions (BEP32).
fn want(arguments: &Dictionary<'_>) -> Want {
    let families = arguments.get(b"want").and_then(Value::as_list).unwrap_or_default();
    let has = |name: &[u8]| families.iter().any(|family| family.as_bytes() == Some(name));
    Want { v4: has(b"n4"), v6: has(b"n6") }
}

fn port(arguments: &Dictionary<'_>) -> Result<Option<u16>, Malformed> {
    if optional_integer(arguments, "implied_port")?.is_some_and(|implied| implied != 0) {
        return Ok(None);
    }
    let port = required(arguments, "port")?.as_integer().and_then(|port| u16::try_from(port).ok());
    match port {
        Some(1..) => Ok(port),
        _ => Err(Malformed::Wrong { key: "port", expected: "a number from 1 to 65535" }),
    }
}

fn token(arguments: &Dictionary<'_>) -> Result<Vec<u8>, Malformed> {
    let token = required(arguments, "token")?.as_bytes().filter(|token| token.len() <= TOKEN_BYTES_MAX);
    token.map(<[u8]>::to_vec).ok_or(Malformed::Wrong { key: "token", expected: "at most 128 bytes" })
}

/// An item with a key, a signature, a number or a salt is mutable, and then needs the first three.
fn item_to_put(arguments: &Dictionary<'_>) -> Result<Item, Malformed> {
    let value = arguments.raw(b"v").ok_or(Malformed::Missing { key: "v" })?;
    check_value(value)?;
    let salt = salt(arguments)?;
    let is_mutable = !salt.is_empty() || [&b"k"[..], b"sig", b"seq"].iter().any(|key| arguments.get(key).is_some());
    if !is_mutable {
        return Ok(Item::Immutable { value: value.to_vec() });
    }
    let key = ServerKey(array(arguments, "k", "a key of 32 bytes")?);
    let signature = Signature(array(arguments, "sig", "a signature of 64 bytes")?);
    let seq = required(arguments, "seq")?.as_integer().filter(|seq| *seq >= 0);
    let seq = seq.ok_or(Malformed::Wrong { key: "seq", expected: "a number that is not negative" })?;
    Ok(Item::Mutable(MutableItem { key, salt, seq, signature, value: value.to_vec() }))
}

fn salt(arguments: &Dictionary<'_>) -> Result<Vec<u8>, Malformed> {
    match arguments.get(b"salt").map(Value::as_bytes) {
        None => Ok(vec![]),
        Some(None) => Err(Malformed::Wrong { key: "salt", expected: "a string" }),
        Some(Some(salt)) if salt.len() > SALT_BYTES_MAX => Err(Malformed::Salt),
        Some(Some(salt)) => Ok(salt.to_vec()),
    }
}

fn response(packet: &Dictionary<'_>) -> Result<Response, Malformed> {
    let results = dictionary(packet, "r")?;
    Ok(Response {
        id: id(results, "id")?,
        nodes: bytes_of(results, b"nodes").map_or(vec![], |nodes| compact::read_nodes(nodes, V4_BYTES)),
        nodes6: bytes_of(results, b"nodes6").map_or(vec![], |nodes| compact::read_nodes(nodes, V6_BYTES)),
        values: peers(results),
        token: token(results).ok(),
        item: item_shown(results),
        seq: integer_of(results, b"seq"),
    })
}

fn peers(results: &Dictionary<'_>) -> Vec<SocketAddr> {
    let values = results.get(b"values").and_then(Value::as_list).unwrap_or_default();
    values.iter().filter_map(Value::as_bytes).filter_map(compact::read_contact).take(PEERS_MAX).collect()
}

fn item_shown(results: &Dictionary<'_>) -> Option<Item> {
    let value = results.raw(b"v").filter(|value| check_value(value).is_ok())?.to_vec();
    if results.get(b"k").is_none() && results.get(b"sig").is_none() {
        return Some(Item::Immutable { value });
    }
    let key = ServerKey(array(results, "k", "").ok()?);
    let signature = Signature(array(results, "sig", "").ok()?);
    Some(Item::Mutable(MutableItem { key, salt: vec![], seq: integer_of(results, b"seq")?, signature, value }))
}

/// Whoever says that it fails, fails, however badly it is said.
fn error(packet: &Dictionary<'_>) -> KrpcError {
    let said = packet.get(b"e").and_then(Value::as_list).unwrap_or_default();
    let code = said.first().and_then(Value::as_integer).unwrap_or(KrpcError::GENERIC);
    let text = said.get(1).and_then(Value::as_bytes).unwrap_or_default();
    KrpcError { code, text: legible(text) }
}

/// As much of a text as is kept; replaced bytes are longer than the ones that were there.
fn legible(text: &[u8]) -> String {
    let mut legible = String::new();
    for character in String::from_utf8_lossy(text).chars() {
        if legible.len() + character.len_utf8() > ERROR_TEXT_BYTES_MAX {
            break;
        }
        legible.push(character);
    }
    legible
}

fn required<'d, 'a>(from: &'d Dictionary<'a>, key: &'static str) -> Result<&'d Value<'a>, Malformed> {
    from.get(key.as_bytes()).ok_or(Malformed::Missing { key })
}

fn dictionary<'d, 'a>(from: &'d Dictionary<'a>, key: &'static str) -> Result<&'d Dictionary<'a>, Malformed> {
    required(from, key)?.as_dictionary().ok_or(Malformed::Wrong { key, expected: "a dictionary" })
}

fn id(from: &Dictionary<'_>, key: &'static str) -> Result<Id, Malformed> {
    array::<ID_BYTES>(from, key, "20 bytes").map(Id)
}

fn array<const LENGTH: usize>(
    from: &Dictionary<'_>,
    key: &'static str,
    expected: &'static str,
) -> Result<[u8; LENGTH], Malformed> {
    let bytes = required(from, key)?.as_bytes().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(Malformed::Wrong { key, expected })
}

fn optional_integer(from: &Dictionary<'_>, key: &'static str) -> Result<Option<i64>, Malformed> {
    let wrong = Malformed::Wrong { key, expected: "a number" };
    from.get(key.as_bytes()).map(|value| value.as_integer().ok_or(wrong)).transpose()
}

fn bytes_of<'a>(from: &Dictionary<'a>, key: &[u8]) -> Option<&'a [u8]> {
    from.get(key).and_then(Value::as_bytes)
}

fn integer_of(from: &Dictionary<'_>, key: &[u8]) -> Option<i64> {
    from.get(key).and_then(Value::as_integer)
}
