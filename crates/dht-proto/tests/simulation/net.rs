//! A network of nodes in virtual time, on one thread: the same seed gives the same history.
//!
//! Each host has an address in a /24 of its own that no other host ever gets, and an id that follows
//! from it (BEP42), as in the real network. Only the network is simulated; the nodes are the real ones.
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use seedbank_dht_proto::{Config, Effect, Id, Input, Job, Node, Report, Saved, TaskId, Time};

use super::random::Random;
use super::sybil::Sybil;

/// The first byte of the addresses of hosts; the next ones are used when it is exhausted.
const FIRST_NET: u32 = 11;
const PORT: u16 = 6881;
/// So many nodes a new one knows at first.
const BOOTSTRAP: usize = 3;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// What lies between any two hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// One way.
    pub(crate) latency: Duration,
    /// So much more or less.
    pub(crate) jitter: Duration,
    /// Hosts are off the way: half of them so much or more, a few of them ten times as much, for every packet.
    pub(crate) detour: Duration,
    /// Of a million packets, so many are lost.
    pub(crate) loss_per_million: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(40),
            jitter: Duration::from_millis(20),
            detour: Duration::ZERO,
            loss_per_million: 0,
        }
    }
}

/// A host, for its whole life; numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(u32);

/// What the owner of a node was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) at: Time,
    pub(crate) host: HostId,
    pub(crate) task: TaskId,
    pub(crate) report: Report,
}

/// Packets and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.packets += 1;
        self.bytes += u64::try_from(bytes.len()).expect("64 bits at most");
    }
}

enum Actor {
    Node(Box<Node>),
    Sybil(Box<Sybil>),
    Gone,
}

struct Host {
    actor: Actor,
    address: SocketAddr,
    detour: Duration,
    /// The wake event that counts; earlier ones in the queue are void.
    wakes: Option<Time>,
}

struct Event {
    at: Time,
    number: u64,
    what: What,
}

enum What {
    Packet { from: HostId, to: HostId, bytes: Vec<u8> },
    Wake(HostId),
    Leave(HostId),
}

/// The network.
pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) link: Link,
    /// Half of the nodes stay longer than this; none: nobody leaves.
    churn: Option<Duration>,
    hosts: Vec<Host>,
    /// Hosts whose address is not the usual one.
    elsewhere: BTreeMap<SocketAddr, HostId>,
    /// Nodes that serve and come and go.
    living: Vec<HostId>,
    queue: BinaryHeap<Event>,
    events: u64,
    tasks: u64,
    told: Vec<Told>,
    /// All that was sent between hosts.
    pub(crate) sent: Count,
    /// What was sent to addresses at which there never was a host, until somebody takes it away.
    strays: Vec<(SocketAddr, Vec<u8>)>,
}

impl Net {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        Self {
            now: Time::default(),
            random: Random::new(seed),
            link,
            churn: None,
            hosts: vec![],
            elsewhere: BTreeMap::new(),
            living: vec![],
            queue: BinaryHeap::new(),
            events: 0,
            tasks: 0,
            told: vec![],
            sent: Count::default(),
            strays: vec![],
        }
    }

    /// Adds so many serving nodes, some in a second, and lets them find each other.
    pub(crate) fn populate(&mut self, nodes: usize, settle: Duration) {
        for _ in 0..nodes {
            let host = self.join(true);
            self.living.push(host);
            self.run_for(Duration::from_millis(50));
        }
        self.run_for(settle);
    }

    /// From now on nodes leave without a word, and a new one joins for each; half of them stay longer than `median`.
    pub(crate) fn churn(&mut self, median: Duration) {
        self.churn = Some(median);
        for host in self.living.clone() {
            self.plan_leave(host);
        }
    }

    /// A new node, which knows three living ones. It is not among those that come and go.
    pub(crate) fn join(&mut self, serve: bool) -> HostId {
        let bootstrap = self.some_living(BOOTSTRAP);
        self.join_at(serve, bootstrap)
    }

    /// A new node, which knows these addresses.
    pub(crate) fn join_at(&mut self, serve: bool, bootstrap: Vec<SocketAddr>) -> HostId {
        let address = HostId(u32::try_from(self.hosts.len()).expect("few hosts")).usual_address();
        let (v4, v6, loopback_only, request_timeout) = (true, false, false, REQUEST_TIMEOUT);
        let config = Config { v4, v6, loopback_only, request_timeout, serve, bootstrap };
        let id = Id::following_from(address.ip(), self.random.bytes());
        let saved = Saved { ids: [Some(id), None], nodes: vec![], items: vec![] };
        let node = Node::new(config, self.random.bytes(), Some(saved), self.now);
        self.add(Actor::Node(Box::new(node)), address)
    }

    /// A host that does not follow the rules.
    pub(crate) fn join_sybil(&mut self, mut sybil: Sybil) -> HostId {
        let address = sybil.me.address;
        sybil.meet(self.some_living(BOOTSTRAP));
        self.add(Actor::Sybil(Box::new(sybil)), address)
    }

    pub(crate) fn remove(&mut self, host: HostId) {
        self.host_mut(host).actor = Actor::Gone;
        self.living.retain(|living| *living != host);
    }

    /// So many of the nodes that come and go are gone now, and nobody comes for them.
    pub(crate) fn kill_some(&mut self, count: usize) {
        for _ in 0..count {
            let index = self.random.below(self.living.len());
            let host = self.living[index];
            self.remove(host);
        }
    }

    pub(crate) fn start(&mut self, host: HostId, job: Job) -> TaskId {
        self.tasks += 1;
        let task = TaskId(self.tasks);
        self.handle(host, Input::Start { task, job });
        task
    }

    /// What was told since the last call.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// What was sent since the last call to addresses at which there never was a host.
    pub(crate) fn strays(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.strays)
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub(crate) fn run_until(&mut self, end: Time) {
        while self.queue.peek().is_some_and(|event| event.at <= end) {
            let Some(event) = self.queue.pop() else { break };
            self.now = event.at;
            match event.what {
                What::Packet { from, to, bytes } => {
                    let from = self.address(from);
                    self.handle(to, Input::Packet { from, bytes: &bytes });
                }
                What::Wake(host) => self.wake(host),
                What::Leave(host) => self.replace(host),
            }
        }
        self.now = end;
    }

    /// A packet from an address at which there is no host comes in now.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: HostId, bytes: &[u8]) {
        self.handle(to, Input::Packet { from, bytes });
    }

    pub(crate) fn address(&self, host: HostId) -> SocketAddr {
        self.hosts[host.index()].address
    }

    pub(crate) fn node(&self, host: HostId) -> Option<&Node> {
        match &self.hosts[host.index()].actor {
            Actor::Node(node) => Some(node),
            Actor::Sybil(_) | Actor::Gone => None,
        }
    }

    pub(crate) fn living(&self) -> &[HostId] {
        &self.living
    }

    fn some_living(&mut self, count: usize) -> Vec<SocketAddr> {
        if self.living.is_empty() {
            return vec![];
        }
        let some: Vec<_> = (0..count).map(|_| self.living[self.random.below(self.living.len())]).collect();
        some.into_iter().map(|host| self.address(host)).collect()
    }

    fn add(&mut self, actor: Actor, address: SocketAddr) -> HostId {
        let host = HostId(u32::try_from(self.hosts.len()).expect("few hosts"));
        if address != host.usual_address() {
            self.elsewhere.insert(address, host);
        }
        let detour = self.random.lifetime(self.link.detour).min(self.link.detour * 10);
        self.hosts.push(Host { actor, address, detour, wakes: None });
        self.plan_wake(host);
        host
    }

    fn replace(&mut self, host: HostId) {
        let Some(place) = self.living.iter().position(|living| *living == host) else { return };
        self.host_mut(host).actor = Actor::Gone;
        self.living.swap_remove(place);
        let next = self.join(true);
        self.living.push(next);
        self.plan_leave(next);
    }

    fn plan_leave(&mut self, host: HostId) {
        if let Some(median) = self.churn {
            let leaves = self.now + self.random.lifetime(median);
            self.push(leaves, What::Leave(host));
        }
    }

    fn wake(&mut self, host: HostId) {
        let now = self.now;
        let known = self.host_mut(host);
        if known.wakes != Some(now) {
            return;
        }
        known.wakes = None;
        if known.actor.wake_at().is_some_and(|at| at <= now) {
            self.handle(host, Input::Wake);
        } else {
            self.plan_wake(host);
        }
    }

    fn handle(&mut self, host: HostId, input: Input<'_>) {
        let now = self.now;
        let effects = match &mut self.host_mut(host).actor {
            Actor::Node(node) => node.handle(now, input),
            Actor::Sybil(sybil) => sybil.handle(now, &input),
            Actor::Gone => return,
        };
        for effect in effects {
            match effect {
                Effect::Send { to, bytes } => self.send(host, to, bytes),
                Effect::Report { task, report } => self.told.push(Told { at: now, host, task, report }),
            }
        }
        self.plan_wake(host);
    }

    fn send(&mut self, from: HostId, to: SocketAddr, bytes: Vec<u8>) {
        let Some(to) = self.host_at(to) else {
            self.strays.push((to, bytes));
            return;
        };
        self.sent.add(&bytes);
        if !self.random.chance(self.link.loss_per_million) {
            let detours = self.host_mut(from).detour + self.host_mut(to).detour;
            let arrives = self.now + self.random.around(self.link.latency, self.link.jitter) + detours;
            self.push(arrives, What::Packet { from, to, bytes });
        }
    }

    fn plan_wake(&mut self, host: HostId) {
        let now = self.now;
        let known = self.host_mut(host);
        let Some(wakes) = known.actor.wake_at() else { return };
        // A node whose time has come already is woken a little later, so that a busy one cannot stop the time.
        let wakes = wakes.max(now + Duration::from_micros(1));
        if known.wakes.is_none_or(|planned| wakes < planned) {
            known.wakes = Some(wakes);
            self.push(wakes, What::Wake(host));
        }
    }

    fn push(&mut self, at: Time, what: What) {
        self.events += 1;
        self.queue.push(Event { at, number: self.events, what });
    }

    fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.index()]
    }

    fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        let usual = HostId::at_usual(address).filter(|host| host.index() < self.hosts.len());
        let usual = usual.filter(|host| self.address(*host) == address);
        usual.or_else(|| self.elsewhere.get(&address).copied())
    }
}

impl HostId {
    fn index(self) -> usize {
        usize::try_from(self.0).expect("32 bits fit")
    }

    fn usual_address(self) -> SocketAddr {
        (Ipv4Addr::from((FIRST_NET << 24) + (self.0 << 8) + 1), PORT).into()
    }

    fn at_usual(address: SocketAddr) -> Option<Self> {
        let SocketAddr::V4(address) = address else { return None };
        u32::from(*address.ip()).checked_sub(FIRST_NET << 24).map(|number| Self(number >> 8))
    }
}

impl Actor {
    fn wake_at(&self) -> Option<Time> {
        match self {
            Self::Node(node) => Some(node.wake_at()).filter(|at| at.0 < Duration::MAX),
            Self::Sybil(sybil) => Some(sybil.wakes),
            Self::Gone => None,
        }
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The greatest event is the next one.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
