//! A conversation of strangers with a node, spelt by arbitrary bytes: packets, answers to what the node
//! asked, tokens it gave, jobs and time. Whatever is said, the node keeps its promises.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use seedbank_dht_proto::krpc::{Body, KrpcError, Message, Method, Query, Response, TransactionId, Want};
use seedbank_dht_proto::{Config, Effect, Id, Input, Item, Job, MutableItem, Node, NodeInfo, Report, TaskId, Time};
use seedbank_types::ServerSecret;

/// What is remembered of the node's words.
const REMEMBERED: usize = 64;
/// The longest packet that fits through everywhere.
const PACKET_BYTES_MAX: usize = 1_472;
const UNPROVED_BURST: u64 = 1 << 20;
const UNPROVED_A_SECOND: u64 = 128 << 10;
/// After this time every task is over, if nobody says anything any more.
const SILENCE: Duration = Duration::from_secs(600);

/// Says to a new node what these bytes spell.
pub(crate) fn converse(bytes: &[u8]) {
    let mut conversation = Conversation::new(Spelt(bytes));
    while conversation.step() {
        conversation.check();
    }
    conversation.fall_silent();
}

/// Bytes that are used up; none left is all zeros.
struct Spelt<'a>(&'a [u8]);

impl<'a> Spelt<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn some(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte());
        self.take(count).to_vec()
    }

    /// One of 256 points, some of them near each other.
    fn id(&mut self) -> Id {
        let byte = self.byte();
        let mut id = [byte & 0xf0; 20];
        id[19] = byte;
        Id(id)
    }

    fn ip(&mut self) -> IpAddr {
        let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        match self.byte() {
            0 => v4(0, 0, 0, 0),
            1 => v4(127, 0, 0, 1),
            2 => v4(224, 0, 0, 1),
            3 => v4(255, 255, 255, 255),
            4 => v4(10, 0, 0, 1),
            5 => IpAddr::V6(Ipv6Addr::LOCALHOST),
            6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            7 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
            8 => IpAddr::V6(Ipv4Addr::new(127, 0, 0, 1).to_ipv6_mapped()),
            9 => IpAddr::V6(Ipv4Addr::new(224, 0, 0, 1).to_ipv6_mapped()),
            10 => IpAddr::V6(Ipv4Addr::new(5, 5, 5, 5).to_ipv6_mapped()),
            byte @ 11..=63 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, byte.into(), 0, 0, 0, 1)),
            byte @ 64..=127 => v4(127, 0, 0, byte),
            byte => v4(5, byte, byte, 1),
        }
    }

    fn address(&mut self) -> SocketAddr {
        let port = self.byte();
        SocketAddr::new(self.ip(), u16::from(port % 4) * 1_000)
    }

    fn node(&mut self) -> NodeInfo {
        NodeInfo { id: self.id(), address: self.address() }
    }

    fn item(&mut self) -> Item {
        let number = self.byte();
        let value = format!("{}:{}", number, "v".repeat(number.into())).into_bytes();
        match number % 4 {
            0 => Item::Immutable { value },
            1 => Item::Mutable(MutableItem { seq: 9, ..signed(number, value) }),
            _ => Item::Mutable(signed(number, value)),
        }
    }
}

/// One of few keys signs.
fn signed(number: u8, value: Vec<u8>) -> MutableItem {
    let secret = ServerSecret::from_bytes(&[number % 8; 32]);
    MutableItem::sign(&secret, vec![], i64::from(number), value)
}

struct Conversation<'a> {
    spelt: Spelt<'a>,
    node: Node,
    loopback_only: bool,
    now: Time,
    /// What the node asked, and of whom.
    asked: VecDeque<(SocketAddr, TransactionId, Query)>,
    /// Tokens it gave, and to whom.
    tokens: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Who may have shown that it receives what is sent to it.
    proved: BTreeSet<IpAddr>,
    received: u64,
    replied: u64,
    /// Whether each task is over.
    tasks: BTreeMap<TaskId, bool>,
}

impl<'a> Conversation<'a> {
    fn new(mut spelt: Spelt<'a>) -> Self {
        let flags = spelt.byte();
        let loopback_only = flags & 1 == 1;
        let bootstrap = (0..flags >> 5).map(|_| spelt.address()).collect();
        let (v4, v6, serve) = (flags & 2 == 0, flags & 4 == 4, flags & 8 == 0);
        let config = Config { v4, v6, loopback_only, request_timeout: Duration::from_secs(2), serve, bootstrap };
        let node = Node::new(config, [7; 32], None, Time::default());
        let (asked, tokens, proved, tasks) = (VecDeque::new(), VecDeque::new(), BTreeSet::new(), BTreeMap::new());
        let (received, replied, now) = (0, 0, Time::default());
        Self { spelt, node, loopback_only, now, asked, tokens, proved, received, replied, tasks }
    }

    /// False when all is said.
    fn step(&mut self) -> bool {
        if self.spelt.0.is_empty() {
            return false;
        }
        match self.spelt.byte() % 11 {
            0 => self.say_anything(),
            1 => self.say_query(1),
            2 => self.answer(),
            3 => self.refuse(),
            4 => self.wait(),
            5 => self.start(),
            6 => self.cancel(),
            7 => self.use_token(),
            8 => self.unsent(),
            9 => self.bootstrap(),
            _ => {
                let times = usize::from(self.spelt.byte());
                self.say_query(times * 8);
            }
        }
        true
    }

    fn say_anything(&mut self) {
        let (from, bytes) = (self.spelt.address(), self.spelt.some());
        if matches!(Message::decode(&bytes), Ok(Message { body: Body::Response(_) | Body::Error(_), .. })) {
            self.proved.insert(from.ip());
        }
        self.packet(from, &bytes);
    }

    fn say_query(&mut self, times: usize) {
        let (from, id, target) = (self.spelt.address(), self.spelt.id(), self.spelt.id());
        let method = match self.spelt.byte() % 6 {
            0 => Method::Ping,
            1 => Method::FindNode { target },
            2 => Method::GetPeers { info_hash: target },
            3 => Method::Get { target, seq: None },
            4 => Method::Get { target: self.spelt.item().target(), seq: Some(5) },
            _ => Method::Unknown { target: Some(target) },
        };
        let bytes = self.query(id, method);
        (0..times).for_each(|_| self.packet(from, &bytes));
    }

    /// Somebody answers what the node asked: usually whoever was asked.
    fn answer(&mut self) {
        let Some((from, transaction, query)) = self.recall() else { return };
        let target = match query.method {
            Method::FindNode { target } | Method::GetPeers { info_hash: target } | Method::Get { target, .. } => target,
            _ => self.spelt.id(),
        };
        let flags = self.spelt.byte();
        let from = if flags & 1 == 1 { self.spelt.address() } else { from };
        let mut response = Response::new(if flags & 2 == 2 { target } else { self.spelt.id() });
        let nodes: Vec<_> = (0..flags >> 4).map(|_| self.spelt.node()).collect();
        (response.nodes, response.nodes6) = nodes.into_iter().partition(|node| node.address.is_ipv4());
        response.token = (flags & 4 == 4).then(|| b"token".to_vec());
        response.item = (flags & 8 == 8).then(|| self.spelt.item());
        response.values = (0..flags & 3).map(|_| self.spelt.address()).collect();
        self.reply(from, transaction, Body::Response(response));
    }

    fn refuse(&mut self) {
        let Some((from, transaction, _)) = self.recall() else { return };
        let error = KrpcError { code: self.spelt.byte().into(), text: "no".to_owned() };
        self.reply(from, transaction, Body::Error(error));
    }

    fn reply(&mut self, from: SocketAddr, transaction: TransactionId, body: Body) {
        self.proved.insert(from.ip());
        let ip = Some(self.spelt.address());
        let bytes = Message { transaction, version: None, read_only: false, ip, body }.encode();
        self.packet(from, &bytes);
    }

    fn use_token(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let place = usize::from(self.spelt.byte()) % self.tokens.len();
        let (from, token) = self.tokens[place].clone();
        self.proved.insert(from.ip());
        let item = self.spelt.item();
        let method = match self.spelt.byte() % 3 {
            0 => Method::Put { token, item, cas: Some(1) },
            1 => Method::Put { token, item, cas: None },
            _ => Method::AnnouncePeer { info_hash: self.spelt.id(), port: None, token },
        };
        let id = self.spelt.id();
        let bytes = self.query(id, method);
        self.packet(from, &bytes);
    }

    fn wait(&mut self) {
        let pause = u64::from(self.spelt.byte());
        self.now = self.now + Duration::from_millis(pause * pause * 20);
        self.handle_wake();
    }

    fn start(&mut self) {
        let job = match self.spelt.byte() % 6 {
            0 => Job::Ping(self.spelt.address()),
            1 => Job::FindNode(self.spelt.id()),
            2 => Job::Peers(self.spelt.id()),
            3 => Job::Announce { info_hash: self.spelt.id(), port: None },
            4 => Job::Get { target: self.spelt.item().target(), salt: vec![] },
            _ => Job::Put { item: self.spelt.item(), cas: None },
        };
        let task = TaskId(u64::try_from(self.tasks.len()).expect("few"));
        self.tasks.insert(task, false);
        let effects = self.node.handle(self.now, Input::Start { task, job });
        self.look_at(effects);
    }

    fn cancel(&mut self) {
        let task = TaskId(self.spelt.byte().into());
        if let Some(is_over) = self.tasks.get_mut(&task) {
            *is_over = true;
            let effects = self.node.handle(self.now, Input::Cancel(task));
            self.look_at(effects);
        }
    }

    /// The system did not send what the node asked.
    fn unsent(&mut self) {
        let to = self.recall().map_or_else(|| self.spelt.address(), |(to, ..)| to);
        let effects = self.node.handle(self.now, Input::Unsent(to));
        self.look_at(effects);
    }

    fn bootstrap(&mut self) {
        let hosts = (0..self.spelt.byte() % 4).map(|_| self.spelt.address()).collect();
        let effects = self.node.handle(self.now, Input::Bootstrap(hosts));
        self.look_at(effects);
    }

    fn recall(&mut self) -> Option<(SocketAddr, TransactionId, Query)> {
        let place = usize::from(self.spelt.byte()) % self.asked.len().max(1);
        self.asked.remove(place)
    }

    fn query(&mut self, id: Id, method: Method) -> Vec<u8> {
        let want = Want { v4: true, v6: self.spelt.byte() % 2 == 1 };
        let body = Body::Query(Query { id, want, method });
        let transaction = TransactionId::new(b"ab").expect("two bytes are allowed");
        Message { transaction, version: None, read_only: false, ip: None, body }.encode()
    }

    fn packet(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.received += length(bytes);
        let effects = self.node.handle(self.now, Input::Packet { from, bytes });
        self.look_at(effects);
    }

    fn handle_wake(&mut self) {
        let effects = self.node.handle(self.now, Input::Wake);
        self.look_at(effects);
        assert!(self.node.wake_at() > self.now, "a node that was woken rests a while");
    }

    fn look_at(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, bytes } => self.look_at_packet(to, &bytes),
                Effect::Report { task, report } => {
                    let is_over = self.tasks.get_mut(&task).expect("a task that was started");
                    assert!(!*is_over, "nothing comes after the last report");
                    *is_over = matches!(report, Report::Done(_));
                }
            }
        }
    }

    fn look_at_packet(&mut self, to: SocketAddr, bytes: &[u8]) {
        let ip = to.ip().to_canonical();
        let nobody = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]);
        assert!(to.port() != 0 && !nobody, "nothing is sent to {to}");
        assert!(!self.loopback_only || ip.is_loopback(), "nothing leaves loopback for {to}");
        assert!(bytes.len() <= PACKET_BYTES_MAX, "{} bytes in one packet", bytes.len());
        let message = Message::decode(bytes).expect("a node understands what it says");
        match message.body {
            Body::Query(query) => remember(&mut self.asked, (to, message.transaction, query)),
            Body::Response(response) => {
                self.count_reply(to, bytes);
                if let Some(token) = response.token {
                    remember(&mut self.tokens, (to, token));
                }
            }
            Body::Error(_) => self.count_reply(to, bytes),
        }
    }

    fn count_reply(&mut self, to: SocketAddr, bytes: &[u8]) {
        if !self.proved.contains(&to.ip()) {
            self.replied += length(bytes);
        }
    }

    fn check(&self) {
        let refilled = UNPROVED_A_SECOND * (self.now.0.as_secs() + 1);
        assert!(self.replied <= UNPROVED_BURST + refilled + self.received / 2, "{} bytes to strangers", self.replied);
        let health = self.node.health(self.now);
        let known: usize = health.nodes.iter().map(|counts| counts.good + counts.questionable).sum();
        assert!(known <= 4_000 && health.items <= 8_000 && health.peers <= 20_000, "{health:?}");
        assert!(health.tasks <= self.tasks.len() + 100, "{health:?}");
    }

    /// Nobody says anything any more: all tasks end.
    fn fall_silent(&mut self) {
        let end = self.now + SILENCE;
        while self.now < end {
            self.now = self.node.wake_at().clamp(self.now + Duration::from_millis(1), end);
            self.handle_wake();
            self.check();
        }
        assert!(self.tasks.values().all(|is_over| *is_over), "every task ends");
    }
}

fn remember<T>(memory: &mut VecDeque<T>, new: T) {
    memory.push_back(new);
    if memory.len() > REMEMBERED {
        memory.pop_front();
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("64 bits at most")
}
