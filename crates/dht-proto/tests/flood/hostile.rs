//! The hostile mix: random bytes, queries of each kind under false addresses, forged puts, answers
//! that nobody asked for, and some hosts at true addresses that fill the node with what it must take.
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use seedbank_dht_proto::krpc::{Body, KrpcError, Message, Method, Query, Response, TransactionId, Want};
use seedbank_dht_proto::{Id, Item, MutableItem, NodeInfo};
use seedbank_types::ServerSecret;

use super::random::Random;

/// Signing is the attacker's work, not what is tested: items are signed once and put again and again.
const SIGNED: usize = 500;
/// Tokens that wait for use.
const TOKENS_MAX: usize = 1_000;

/// Where hostile packets come from, and what they are.
pub(crate) struct Hostile {
    random: Random,
    /// So many hosts of its own.
    owned: usize,
    known: Vec<Id>,
    signed: Vec<Item>,
    /// Who got which token for which target, or item.
    tokens: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Whether there are only the queries that get most for least.
    smallest_only: bool,
}

impl Hostile {
    /// The attacker knows where some records are, and receives what is sent to so many hosts.
    pub(crate) fn new(seed: u64, known: Vec<Id>, owned: usize) -> Self {
        let mut random = Random::new(seed);
        let secret = ServerSecret::from_bytes(&random.bytes());
        let sign = |number: usize| {
            let seq = i64::try_from(number).expect("few");
            let value = [b"990:", [b'x'; 990].as_slice()].concat();
            Item::Mutable(MutableItem::sign(&secret, number.to_be_bytes().to_vec(), seq, value))
        };
        Self {
            random,
            owned,
            known,
            signed: (0..SIGNED).map(sign).collect(),
            tokens: VecDeque::new(),
            smallest_only: false,
        }
    }

    /// No mix, but only short questions with long answers, each from another false address.
    pub(crate) fn smallest_only(self) -> Self {
        Self { smallest_only: true, ..self }
    }

    /// Whether an address belongs to the attacker; all others it only pretends to be.
    pub(crate) fn owns(address: &SocketAddr) -> bool {
        matches!(address, SocketAddr::V4(v4) if v4.ip().octets()[0] == 77)
    }

    /// What was sent to one of its own addresses.
    pub(crate) fn hear(&mut self, at: SocketAddr, bytes: &[u8]) {
        if let Ok(Message { body: Body::Response(Response { token: Some(token), .. }), .. }) = Message::decode(bytes)
            && self.tokens.len() < TOKENS_MAX
        {
            self.tokens.push_back((at, token));
        }
    }

    pub(crate) fn packet(&mut self) -> (SocketAddr, Vec<u8>) {
        let from = self.false_address();
        let target = if self.random.chance(300_000) { self.known_target() } else { Id(self.random.bytes()) };
        if self.smallest_only {
            return (from, self.query(Method::FindNode { target }));
        }
        let method = match self.random.below(16) {
            0 | 1 => return (from, self.noise()),
            2 => Method::Ping,
            3 | 4 => Method::FindNode { target },
            5 | 6 => Method::GetPeers { info_hash: target },
            7 | 8 => Method::Get { target, seq: None },
            9 => Method::AnnouncePeer { info_hash: target, port: None, token: self.random.bytes::<8>().to_vec() },
            10 => Method::Put { token: self.random.bytes::<8>().to_vec(), item: self.forged(), cas: None },
            11 => Method::Unknown { target: Some(target) },
            12 => return (from, self.unasked()),
            13 => return (from, self.broken(target)),
            14 => return self.ask_truly(),
            _ => return self.put_truly(),
        };
        (from, self.query(method))
    }

    /// Any address, or always the same few: those the node's answers are to hurt.
    fn false_address(&mut self) -> SocketAddr {
        if self.random.chance(200_000) {
            return (Ipv4Addr::new(99, 0, 0, 1 + u8::from(self.random.chance(500_000))), 6881).into();
        }
        let [_, b, c, d] = self.random.bytes();
        let port = 1 + u16::try_from(self.random.below(65_535)).expect("16 bits");
        (Ipv4Addr::new(100 + b % 100, b, c, d), port).into()
    }

    fn own_address(&mut self) -> SocketAddr {
        let [high, low] = u16::try_from(self.random.below(self.owned)).expect("few").to_be_bytes();
        (Ipv4Addr::new(77, high, low, 1), 6881).into()
    }

    fn known_target(&mut self) -> Id {
        self.known[self.random.below(self.known.len())]
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = self.random.below(1_400);
        let mut bytes: Vec<u8> = (0..length / 8 + 1).flat_map(|_| self.random.next_u64().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// An item whose signature is of another one.
    fn forged(&mut self) -> Item {
        let mut item = self.signed[self.random.below(SIGNED)].clone();
        if let Item::Mutable(item) = &mut item {
            item.seq += 1;
        }
        item
    }

    fn unasked(&mut self) -> Vec<u8> {
        let node =
            |number: u8| NodeInfo { id: Id([number; 20]), address: (Ipv4Addr::new(99, 0, 0, number), 6881).into() };
        let mut response = Response::new(Id(self.random.bytes()));
        response.nodes = (1..=60).map(node).collect();
        let error = KrpcError::new(KrpcError::GENERIC, "no");
        let body = if self.random.chance(800_000) { Body::Response(response) } else { Body::Error(error) };
        self.message(body)
    }

    /// A query with some bytes changed.
    fn broken(&mut self, target: Id) -> Vec<u8> {
        let mut bytes = self.query(Method::Get { target, seq: Some(1) });
        for _ in 0..3 {
            let place = self.random.below(bytes.len());
            bytes[place] = self.random.bytes::<1>()[0];
        }
        bytes
    }

    /// Asks for a token, from where the answer is received.
    fn ask_truly(&mut self) -> (SocketAddr, Vec<u8>) {
        let from = self.own_address();
        let number = usize::from(Self::slot(&from)) % SIGNED;
        let target = self.signed[number].target();
        (from, self.query(Method::Get { target, seq: None }))
    }

    /// Stores something with the token of such an answer.
    fn put_truly(&mut self) -> (SocketAddr, Vec<u8>) {
        let Some((from, token)) = self.tokens.pop_front() else { return self.ask_truly() };
        let item = self.signed[usize::from(Self::slot(&from)) % SIGNED].clone();
        let method = if self.random.chance(500_000) {
            Method::Put { token, item, cas: None }
        } else {
            Method::AnnouncePeer { info_hash: item.target(), port: Some(self.random.bytes::<1>()[0].into()), token }
        };
        (from, self.query(method))
    }

    fn slot(address: &SocketAddr) -> u16 {
        let SocketAddr::V4(v4) = address else { return 0 };
        let [_, high, low, _] = v4.ip().octets();
        u16::from_be_bytes([high, low])
    }

    fn query(&mut self, method: Method) -> Vec<u8> {
        let query = Query { id: Id(self.random.bytes()), want: Want { v4: true, v6: true }, method };
        self.message(Body::Query(query))
    }

    fn message(&mut self, body: Body) -> Vec<u8> {
        let transaction = TransactionId::new(&self.random.bytes::<4>()).expect("four bytes are allowed");
        Message { transaction, version: None, read_only: false, ip: None, body }.encode()
    }
}
