//! A handful of nodes on one machine, in virtual time.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seedbank_types::ServerSecret;

use super::*;
use crate::krpc::{KrpcError, Method, Query, Response, TransactionId};
use crate::{Job, MutableItem, Outcome, Report, TaskId};

const LATENCY: Duration = Duration::from_millis(1);

struct Net {
    now: Time,
    nodes: BTreeMap<SocketAddr, Node>,
    flying: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    reports: Vec<(SocketAddr, TaskId, Report)>,
    dead: BTreeSet<SocketAddr>,
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], 6881))
}

impl Net {
    /// Nodes that know nothing but the first of them.
    fn grown(count: u8) -> Self {
        let (now, nodes, flying) = (Time::default(), BTreeMap::new(), BTreeMap::new());
        let mut net = Self { now, nodes, flying, sent: 0, reports: vec![], dead: BTreeSet::new() };
        for host in 1..=count {
            net.join(host, true, if host == 1 { vec![] } else { vec![address(1)] });
        }
        net.run(Duration::from_secs(30));
        net
    }

    fn join(&mut self, host: u8, serve: bool, bootstrap: Vec<SocketAddr>) {
        let request_timeout = Duration::from_millis(500);
        let config = Config { v4: true, v6: false, loopback_only: true, request_timeout, serve, bootstrap };
        self.nodes.insert(address(host), Node::new(config, [host; 32], None, self.now));
        self.input(address(host), Input::Wake);
    }

    fn input(&mut self, to: SocketAddr, input: Input<'_>) {
        let effects = self.nodes.get_mut(&to).expect("it joined").handle(self.now, input);
        for effect in effects {
            match effect {
                Effect::Send { to: other, bytes } => {
                    self.sent += 1;
                    self.flying.insert((self.now + LATENCY, self.sent), (to, other, bytes));
                }
                Effect::Report { task, report } => self.reports.push((to, task, report)),
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let packet = self.flying.first_key_value().map(|((at, _), _)| *at);
            let wake = self.nodes.iter().map(|(address, node)| (node.wake_at(), *address)).min();
            let Some(next) = packet.into_iter().chain(wake.map(|(at, _)| at)).min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            match self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                Some(entry) => {
                    let (from, to, bytes) = entry.remove();
                    if self.nodes.contains_key(&to) && !self.dead.contains(&to) {
                        self.input(to, Input::Packet { from, bytes: &bytes });
                    }
                }
                None => self.input(wake.expect("something is next").1, Input::Wake),
            }
        }
    }

    /// What a task reports, and how long it takes until its end.
    fn job(&mut self, host: u8, job: Job) -> (Vec<Report>, Outcome, Duration) {
        let (start, task) = (self.now, TaskId(self.sent));
        self.input(address(host), Input::Start { task, job });
        for _ in 0..10_000 {
            let mine = |(_, of, _): &&(SocketAddr, TaskId, Report)| *of == task;
            if let Some((_, _, Report::Done(outcome))) =
                self.reports.iter().find(|report| mine(report) && matches!(report.2, Report::Done(_)))
            {
                let outcome = outcome.clone();
                let said = self.reports.iter().filter(mine).map(|(.., report)| report.clone()).collect();
                return (said, outcome, self.now.since(start));
            }
            self.run(LATENCY);
        }
        panic!("the task never ends");
    }
}

fn record(seq: i64, text: &str) -> Item {
    let value = format!("{}:{text}", text.len()).into_bytes();
    Item::Mutable(MutableItem::sign(&ServerSecret::from_bytes(&[7; 32]), vec![], seq, value))
}

fn get(item: &Item) -> Job {
    Job::Get { target: item.target(), salt: vec![] }
}

#[test]
fn a_net_grows_around_its_first_node() {
    let net = Net::grown(16);
    for node in net.nodes.values() {
        assert!(node.health(net.now).nodes[0].good >= 8, "{:?}", node.health(net.now));
    }
}

#[test]
fn what_one_puts_another_gets_and_newer_values_win() {
    let mut net = Net::grown(16);
    net.join(100, false, vec![address(1)]);
    net.join(101, false, vec![address(2)]);
    let (_, outcome, took) = net.job(100, Job::Put { item: record(1, "one"), cas: None });
    assert!(outcome.stored >= 8 && took < Duration::from_millis(50), "{outcome:?} {took:?}");
    let (said, outcome, took) = net.job(101, get(&record(1, "one")));
    assert_eq!(said[0], Report::Item(record(1, "one")));
    assert!(outcome.holders >= 8 && took < Duration::from_millis(50), "{outcome:?} {took:?}");

    net.job(100, Job::Put { item: record(2, "two"), cas: None });
    let (said, ..) = net.job(101, get(&record(1, "one")));
    assert_eq!(said[0], Report::Item(record(2, "two")));
    for (seq, text) in [(1, "one"), (2, "fork")] {
        let (_, outcome, _) = net.job(101, Job::Put { item: record(seq, text), cas: None });
        assert_eq!((outcome.newer, outcome.stored), (Some(record(2, "two")), 0));
    }
}

#[test]
fn peers_announced_by_one_are_found_by_another() {
    let mut net = Net::grown(8);
    net.join(100, false, vec![address(1)]);
    let info_hash = Id([9; 20]);
    let (_, outcome, _) = net.job(100, Job::Announce { info_hash, port: Some(7001) });
    assert_eq!(outcome.stored, 8);
    let (said, ..) = net.job(3, Job::Peers(info_hash));
    assert_eq!(said[0], Report::Peer(SocketAddr::from(([127, 0, 0, 100], 7001))));
    assert_eq!(said.len(), 2, "each once: {said:?}");
}

#[test]
fn nodes_that_are_gone_delay_nobody_for_long() {
    let mut net = Net::grown(16);
    net.join(100, false, vec![address(1)]);
    net.job(100, Job::Put { item: record(1, "one"), cas: None });
    net.dead = (3..=8).map(address).collect();
    let (said, _, took) = net.job(100, get(&record(1, "one")));
    assert!(said.len() == 2 && took < Duration::from_millis(300), "{said:?} {took:?}");
}

#[test]
fn whoever_knows_nobody_is_done_at_once() {
    let mut net = Net::grown(1);
    let (said, outcome, took) = net.job(1, get(&record(1, "one")));
    assert_eq!((said.len(), outcome, took), (1, Outcome::default(), Duration::ZERO));
}

#[test]
fn a_ping_says_who_is_there_and_how_far_away() {
    let mut net = Net::grown(2);
    let (_, outcome, _) = net.job(1, Job::Ping(address(2)));
    let pong = outcome.pong.expect("it is there");
    assert_eq!((pong.id, pong.rtt), (net.nodes[&address(2)].own(Family::V4), 2 * LATENCY));
    let (_, outcome, took) = net.job(1, Job::Ping(address(99)));
    assert_eq!((outcome.asked, outcome.answered, outcome.pong), (1, 0, None));
    assert!(took >= Duration::from_millis(500));
}

#[test]
fn a_cancelled_task_says_nothing_more() {
    let mut net = Net::grown(4);
    net.input(address(1), Input::Start { task: TaskId(1), job: get(&record(1, "one")) });
    net.input(address(1), Input::Cancel(TaskId(1)));
    net.run(Duration::from_secs(2));
    assert_eq!(net.reports, []);
}

/// One public node that is handed packets by hand.
fn public(serve: bool) -> Node {
    let request_timeout = Duration::from_secs(2);
    let config = Config { v4: true, v6: true, loopback_only: false, request_timeout, serve, bootstrap: vec![] };
    Node::new(config, [1; 32], None, Time::default())
}

fn at(seconds: u64) -> Time {
    Time(Duration::from_secs(seconds))
}

fn sent(effects: Vec<Effect>) -> Vec<(SocketAddr, Message)> {
    let packet = |effect| match effect {
        Effect::Send { to, bytes } => Some((to, Message::decode(&bytes).expect("what is sent can be read"))),
        Effect::Report { .. } => None,
    };
    effects.into_iter().filter_map(packet).collect()
}

fn query(method: Method) -> Vec<u8> {
    let transaction = TransactionId::new(b"tx").expect("two bytes");
    let body = Body::Query(Query { id: Id([3; 20]), want: Want { v4: true, v6: true }, method });
    Message { transaction, version: None, read_only: true, ip: None, body }.encode()
}

fn answer(to: &Message, id: Id, seen: Option<SocketAddr>) -> Vec<u8> {
    let body = Body::Response(Response::new(id));
    Message { transaction: to.transaction.clone(), version: None, read_only: false, ip: seen, body }.encode()
}

fn error(to: &Message, code: i64) -> Vec<u8> {
    let body = Body::Error(KrpcError::new(code, "no"));
    Message { transaction: to.transaction.clone(), version: None, read_only: false, ip: None, body }.encode()
}

fn start(node: &mut Node, now: Time, task: u64, job: Job) -> Vec<(SocketAddr, Message)> {
    sent(node.handle(now, Input::Start { task: TaskId(task), job }))
}

#[test]
fn an_answer_that_lay_in_the_socket_while_the_node_slept_is_no_loss() {
    let mut node = public(true);
    let hosts = ["9.1.1.1:1", "9.2.2.2:2"].map(|host| host.parse().expect("an address"));
    let asked: Vec<_> = (0..2)
        .map(|number| {
            start(&mut node, at(0), number, Job::Ping(hosts[usize::try_from(number).expect("small")])).remove(0)
        })
        .collect();
    for ((to, message), id) in asked.iter().zip([4, 5]) {
        let bytes = answer(message, Id([id; 20]), None);
        let effects = node.handle(at(60), Input::Packet { from: *to, bytes: &bytes });
        let answered = |effect: &Effect| matches!(effect, Effect::Report { report: Report::Done(outcome), .. } if outcome.pong.is_some());
        assert!(effects.iter().any(answered), "{effects:?}");
    }
}

#[test]
fn a_node_whose_id_changed_looks_itself_up() {
    let mut node = public(true);
    let own = node.own(Family::V4);
    for number in 1..=4 {
        let host = SocketAddr::from(([9, number, 0, 1], 1));
        let (_, ping) = start(&mut node, at(0), number.into(), Job::Ping(host)).remove(0);
        let bytes = answer(&ping, Id([number; 20]), Some("7.7.7.7:1".parse().expect("an address")));
        node.handle(at(0), Input::Packet { from: host, bytes: &bytes });
    }
    let new = node.own(Family::V4);
    assert!(own != new && new.follows_from([7, 7, 7, 7].into()));
    let asked = sent(node.handle(at(10), Input::Wake));
    let for_itself = |(_, message): &(SocketAddr, Message)| matches!(&message.body, Body::Query(Query { method: Method::FindNode { target }, .. }) if *target == new);
    assert!(asked.iter().any(for_itself), "{asked:?}");
}

#[test]
fn an_item_travels_in_one_piece_in_both_families() {
    let mut node = public(true);
    let value = [b"996:".to_vec(), vec![7; 996]].concat();
    let item = Item::Mutable(MutableItem::sign(&ServerSecret::from_bytes(&[7; 32]), vec![], 1, value));
    for number in 1..=20 {
        for host in [
            SocketAddr::from(([9, number, 0, 1], 1)),
            SocketAddr::from(([0x2001, u16::from(number), 0, 0, 0, 0, 0, 1], 1)),
        ] {
            let (_, ping) = start(&mut node, at(0), 1, Job::Ping(host)).remove(0);
            let bytes = answer(&ping, Id([number; 20]), None);
            node.handle(at(0), Input::Packet { from: host, bytes: &bytes });
        }
    }
    start(&mut node, at(1), 2, Job::Put { item: item.clone(), cas: None });
    node.items.put(item.clone(), None, [9, 9, 9, 9].into(), at(1)).expect("there is room");
    for (from, bytes_max) in [("9.250.1.1:1", 1_400), ("[2001:250::1]:1", 1_232)] {
        let from = from.parse().expect("an address");
        let get = query(Method::Get { target: item.target(), seq: None });
        let effects = node.handle(at(1), Input::Packet { from, bytes: &get });
        let Effect::Send { bytes, .. } = &effects[0] else { panic!("an answer") };
        assert!(bytes.len() <= bytes_max, "{} bytes", bytes.len());
        let Body::Response(response) = Message::decode(bytes).expect("readable").body else { panic!("a response") };
        assert!(response.item.is_some());
    }
}

#[test]
fn where_no_way_leads_nobody_is_waited_for() {
    let mut node = public(true);
    let host: SocketAddr = "[2001:db8::1]:1".parse().expect("an address");
    start(&mut node, at(0), 1, Job::Ping(host));
    let effects = node.handle(at(0), Input::Unsent(host));
    assert!(matches!(&effects[..], [Effect::Report { report: Report::Done(_), .. }]), "{effects:?}");
}

#[test]
fn whoever_does_not_know_items_is_asked_for_the_way() {
    let mut node = public(true);
    let host: SocketAddr = "9.1.1.1:1".parse().expect("an address");
    node.handle(at(0), Input::Bootstrap(vec![host]));
    let (_, get) = start(&mut node, at(0), 1, Job::Get { target: Id([9; 20]), salt: vec![] }).remove(0);
    let effects = node.handle(at(0), Input::Packet { from: host, bytes: &error(&get, KrpcError::METHOD_UNKNOWN) });
    let asked = sent(effects);
    assert!(matches!(&asked[0].1.body, Body::Query(Query { method: Method::FindNode { .. }, .. })), "{asked:?}");
}

#[test]
fn a_read_only_node_answers_nothing_but_the_ping_of_one_it_asked() {
    let mut node = public(false);
    let (host, stranger) = (SocketAddr::from(([9, 1, 1, 1], 1)), SocketAddr::from(([9, 2, 2, 2], 1)));
    let (_, ping) = start(&mut node, at(0), 1, Job::Ping(host)).remove(0);
    node.handle(at(0), Input::Packet { from: host, bytes: &answer(&ping, Id([4; 20]), None) });
    let answers = |node: &mut Node, from, method| {
        !sent(node.handle(at(0), Input::Packet { from, bytes: &query(method) })).is_empty()
    };
    assert!(answers(&mut node, host, Method::Ping));
    assert!(!answers(&mut node, stranger, Method::Ping));
    assert!(!answers(&mut node, host, Method::FindNode { target: Id([9; 20]) }));
}

#[test]
fn nobody_from_beyond_names_us_our_own_network() {
    let node = public(true);
    let learns =
        |named: &str, by: &str| node.may_learn(&named.parse().expect("an address"), &by.parse().expect("an address"));
    assert!(
        learns("9.1.1.1:1", "9.2.2.2:1") && learns("10.0.0.1:1", "10.0.0.2:1") && learns("9.1.1.1:1", "10.0.0.2:1")
    );
    assert!(
        !learns("10.0.0.1:1", "9.2.2.2:1")
            && !learns("127.0.0.1:1", "10.0.0.2:1")
            && !learns("[fe80::1]:1", "[fe80::2]:1")
    );
}
