//! A handful of nodes on one machine, in virtual time.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seedbank_types::ServerSecret;

use super::*;
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
