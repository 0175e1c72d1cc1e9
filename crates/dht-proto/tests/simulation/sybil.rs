//! A host that wants a key forgotten: it stays near the key, names only its accomplices, takes
//! whatever it is told to store, and gives nothing or an old item.
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use seedbank_dht_proto::krpc::{Body, Message, Method, Query, Response, TransactionId, Want};
use seedbank_dht_proto::{Effect, Id, Input, Item, NodeInfo, Time};

/// It shows itself to some nodes so often, that they take it into their tables and keep it.
const SHOW_EVERY: Duration = Duration::from_secs(5);
const SHOWN_TO: usize = 8;
const KNOWN_MAX: usize = 2_000;

/// The host.
#[derive(Debug, Clone)]
pub(crate) struct Sybil {
    pub(crate) me: NodeInfo,
    /// What it attacks.
    target: Id,
    accomplices: Vec<NodeInfo>,
    /// What it gives to those who ask for the target.
    gives: Option<Item>,
    known: BTreeMap<SocketAddr, Id>,
    /// To whom it showed itself last.
    shown: Option<SocketAddr>,
    pub(crate) wakes: Time,
}

impl Sybil {
    pub(crate) fn new(me: NodeInfo, target: Id, accomplices: Vec<NodeInfo>, gives: Option<Item>) -> Self {
        let (known, shown) = (BTreeMap::new(), None);
        Self { me, target, accomplices, gives, known, shown, wakes: Time::default() }
    }

    pub(crate) fn meet(&mut self, hosts: Vec<SocketAddr>) {
        self.known.extend(hosts.into_iter().map(|host| (host, Id::default())));
    }

    pub(crate) fn handle(&mut self, now: Time, input: &Input<'_>) -> Vec<Effect> {
        match input {
            Input::Packet { from, bytes } => self.packet(*from, bytes),
            Input::Wake => {
                self.wakes = now + SHOW_EVERY;
                self.show()
            }
            _ => vec![],
        }
    }

    fn packet(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Effect> {
        let Ok(message) = Message::decode(bytes) else { return vec![] };
        match message.body {
            Body::Query(query) => {
                let body = Body::Response(self.answer(&query.method));
                vec![send(from, message.transaction, body)]
            }
            Body::Response(response) => {
                self.learn(&response);
                vec![]
            }
            Body::Error(_) => vec![],
        }
    }

    fn answer(&self, method: &Method) -> Response {
        let mut response = Response::new(self.me.id);
        if !matches!(method, Method::Ping | Method::AnnouncePeer { .. } | Method::Put { .. }) {
            response.nodes.clone_from(&self.accomplices);
            response.token = Some(b"token".to_vec());
        }
        if matches!(method, Method::Get { target, .. } if *target == self.target) {
            response.seq = self.gives.as_ref().and_then(Item::seq);
            response.item = self.gives.clone();
        }
        response
    }

    fn learn(&mut self, response: &Response) {
        for node in &response.nodes {
            if self.known.len() < KNOWN_MAX && self.accomplices.iter().all(|other| other.address != node.address) {
                self.known.insert(node.address, node.id);
            }
        }
    }

    /// Asks those nearest to the target first, then others, in turns.
    fn show(&mut self) -> Vec<Effect> {
        let mut nearest: Vec<_> = self.known.iter().collect();
        nearest.sort_by_key(|(_, id)| id.distance(&self.target));
        let near = nearest.into_iter().take(SHOWN_TO / 2).map(|(address, _)| *address);
        let after = self.shown.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let far: Vec<_> = self.known.range((after, std::ops::Bound::Unbounded)).map(|(address, _)| *address).collect();
        let far: Vec<_> = far.into_iter().take(SHOWN_TO / 2).collect();
        self.shown = far.last().copied();
        near.chain(far).map(|to| self.find(to)).collect()
    }

    fn find(&self, to: SocketAddr) -> Effect {
        let method = Method::FindNode { target: self.target };
        let query = Query { id: self.me.id, want: Want { v4: false, v6: false }, method };
        send(to, TransactionId::new(b"sy").expect("two bytes are allowed"), Body::Query(query))
    }
}

fn send(to: SocketAddr, transaction: TransactionId, body: Body) -> Effect {
    let message = Message { transaction, version: None, read_only: false, ip: None, body };
    Effect::Send { to, bytes: message.encode() }
}
