//! A packet in one line: what it is, and which of its parts were understood.
use seedbank_dht_proto::krpc::{Body, Message, Method, Query, Response};
use seedbank_dht_proto::{Item, MutableItem};

pub(crate) fn of(bytes: &[u8]) -> String {
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(error) => return error.to_string(),
    };
    let version = message.version.map(|version| format!(", from {}", version.escape_ascii()));
    let ip = message.ip.map(|ip| format!(", to {ip}"));
    let body = match message.body {
        Body::Query(query) => query_shape(&query),
        Body::Response(response) => response_shape(&response),
        Body::Error(error) => format!("error {error}"),
    };
    let transaction = message.transaction.as_bytes().len();
    format!("{body}; {transaction} bytes{}{}", version.unwrap_or_default(), ip.unwrap_or_default())
}

fn query_shape(query: &Query) -> String {
    match &query.method {
        Method::Ping => "ping".to_owned(),
        Method::FindNode { target } => format!("find_node {target}"),
        Method::GetPeers { info_hash } => format!("get_peers {info_hash}"),
        Method::AnnouncePeer { info_hash, port, token } => {
            format!("announce_peer {info_hash} at {port:?}, token {}", token.escape_ascii())
        }
        Method::Get { target, seq } => format!("get {target}, {seq:?}"),
        Method::Put { token, item, cas } => {
            format!("put {}, {cas:?}, token {}", item_shape(item), token.escape_ascii())
        }
        Method::Unknown { target } => format!("unknown {target:?}"),
    }
}

fn response_shape(response: &Response) -> String {
    let token = response.token.as_ref().map_or(0, Vec::len);
    let item = response.item.as_ref().map_or("no item".to_owned(), item_shape);
    let nodes = response.nodes.iter().filter(|node| node.address.port() == 6881).count();
    format!("{nodes} nodes, peers {:?}, token of {token}, {item}, {:?}", response.values, response.seq)
}

fn item_shape(item: &Item) -> String {
    let value = item.value().escape_ascii();
    match item {
        Item::Immutable { .. } => format!("`{value}`"),
        Item::Mutable(MutableItem { salt, seq, .. }) => {
            let genuine = if item.is_genuine() { "genuine" } else { "forged" };
            format!("{genuine} `{value}` number {seq} under `{}`", salt.escape_ascii())
        }
    }
}
