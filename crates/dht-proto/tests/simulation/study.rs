//! The studies: a network in some trouble, records, and clients that look for them.
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use seedbank_dht_proto::{Id, NodeInfo};

use super::figures::{Rows, Spread, ratio};
use super::net::{HostId, Link, Net};
use super::record::{Record, Try};
use super::sybil::Sybil;

/// So long the attackers make themselves at home before the servers put again.
const SIEGE: Duration = Duration::from_secs(20 * 60);
/// Clients that stay, and ask again and again.
const LIVED: usize = 20;
/// Of ten tries, so many are by fresh clients.
const FRESH: usize = 5;
const PORT: u16 = 6881;

/// What a study begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) link: Link,
    /// So long the nodes get to know each other.
    pub(crate) settle: Duration,
    pub(crate) tries: usize,
}

/// How the tries of some clients went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) tries: u64,
    /// Tries in which nothing came.
    pub(crate) missed: u64,
    /// Tries in which something came, but nothing as new as what had been stored.
    pub(crate) outdated: u64,
    /// Questions for one key, those that gave nothing, and those that gave an old item only.
    pub(crate) asked: u64,
    pub(crate) single_missed: u64,
    pub(crate) single_outdated: u64,
    pub(crate) first: Spread,
    pub(crate) complete: Spread,
    nodes_asked: u64,
    nodes_answered: u64,
    holders: u64,
}

/// A network, its records and those who look for them.
pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) records: Vec<Record>,
    lived: Vec<HostId>,
    tries: Vec<Try>,
    pub(crate) fresh: Tally,
    pub(crate) old: Tally,
    /// Questions for the first record only.
    pub(crate) victim: Tally,
}

impl World {
    /// A settled network, whose servers put so many records within a minute.
    fn new(plan: Plan, records: usize) -> Self {
        let mut net = Net::new(plan.seed, plan.link);
        net.populate(plan.nodes, Duration::ZERO);
        let servers: Vec<_> = (0..records).map(|_| net.join(true)).collect();
        let lived = (0..LIVED).map(|_| net.join(false)).collect();
        net.run_for(plan.settle);
        let mut record_of = |host| {
            let first = net.now + Duration::from_millis(net.random.next_u64() % 60_000);
            Record::new(&mut net, host, first)
        };
        let records = servers.into_iter().map(&mut record_of).collect();
        let (fresh, old, victim) = (Tally::default(), Tally::default(), Tally::default());
        let mut world = Self { net, records, lived, tries: vec![], fresh, old, victim };
        world.run_for(Duration::from_secs(90));
        world
    }

    /// Tries at even distances, each for the records that `which` names for its number.
    fn try_often(&mut self, tries: usize, every: Duration, which: impl Fn(usize) -> Vec<usize>) {
        for number in 0..tries {
            let fresh = number % 10 < FRESH;
            let some = self.net.random.below(LIVED);
            let client = if fresh { self.net.join(false) } else { self.lived[some] };
            self.tries.push(Try::begin(&mut self.net, client, fresh, &self.records, &which(number)));
            self.run_for(every);
        }
        self.run_for(Duration::from_secs(60));
        assert!(self.tries.is_empty(), "every look-up ends");
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.net.now + duration;
        while self.net.now < end {
            let next_put = self.records.iter().map(Record::next_put).min();
            self.net.run_until(next_put.map_or(end, |next| next.clamp(self.net.now, end)));
            self.hear();
            self.records.iter_mut().for_each(|record| record.go_on(&mut self.net));
        }
        self.hear();
    }

    fn hear(&mut self) {
        for told in self.net.told() {
            self.records.iter_mut().for_each(|record| record.hear(&told));
            if let Some(place) = self.tries.iter().position(|attempt| attempt.asked.contains_key(&told.task)) {
                self.tries[place].hear(told);
                if self.tries[place].is_complete() {
                    let complete = self.tries.swap_remove(place);
                    self.count(&complete);
                }
            }
        }
    }

    fn count(&mut self, complete: &Try) {
        if complete.fresh {
            self.net.remove(complete.client);
        }
        let tally = if complete.fresh { &mut self.fresh } else { &mut self.old };
        tally.count(complete);
        let mut victim = complete.clone();
        victim.asked.retain(|_, asked| asked.record == 0);
        if !victim.asked.is_empty() {
            self.victim.count(&victim);
        }
    }

    /// What the puts and the nodes did, for the rows.
    fn rows(&self, plan: Plan) -> Rows {
        let mut rows = Rows::default();
        rows.add("nodes", plan.nodes as f64);
        self.fresh.rows("fresh", &mut rows);
        self.old.rows("old", &mut rows);
        let puts: Vec<_> = self.records.iter().flat_map(|record| &record.puts).collect();
        let stored: u64 = puts.iter().map(|put| u64::from(put.stored)).sum();
        rows.add("puts", puts.len() as f64);
        rows.add("put stored mean", ratio(stored, puts.len() as u64));
        rows.add("put stored min", f64::from(puts.iter().map(|put| put.stored).min().unwrap_or(0)));
        rows.add("virtual hours", (self.net.now.0.as_secs_f64() / 36.0).round() / 100.0);
        rows.add("packets", self.net.sent.packets as f64);
        let node_seconds = u64::try_from(plan.nodes).expect("64 bits at most") * self.net.now.0.as_secs();
        rows.add("packets sent per node and second", ratio(self.net.sent.packets, node_seconds));
        rows.add("bytes sent per node and second", ratio(self.net.sent.bytes, node_seconds));
        rows
    }
}

impl Tally {
    fn count(&mut self, complete: &Try) {
        self.tries += 1;
        let seen = complete.asked.values().filter(|asked| asked.seq.is_some());
        self.missed += u64::from(seen.clone().count() == 0);
        let is_fresh = complete.asked.values().any(|asked| asked.seq.is_some_and(|seq| seq >= asked.due));
        self.outdated += u64::from(!is_fresh && seen.count() > 0);
        if let Some(first) = complete.asked.values().filter_map(|asked| asked.first).min() {
            self.first.add(first);
        }
        for asked in complete.asked.values() {
            self.asked += 1;
            self.single_missed += u64::from(asked.seq.is_none());
            self.single_outdated += u64::from(asked.seq.is_some_and(|seq| seq < asked.due));
            if let Some((took, outcome)) = &asked.complete {
                self.complete.add(*took);
                self.nodes_asked += u64::from(outcome.asked);
                self.nodes_answered += u64::from(outcome.answered);
                self.holders += u64::from(outcome.holders);
            }
        }
    }

    fn rows(&self, who: &str, rows: &mut Rows) {
        let mut add = |name: &str, value: f64| rows.add(&format!("{who} {name}"), value);
        add("tries", self.tries as f64);
        add("tries missed", self.missed as f64);
        add("tries outdated", self.outdated as f64);
        add("keys asked", self.asked as f64);
        add("keys missed", self.single_missed as f64);
        add("keys outdated", self.single_outdated as f64);
        add("nodes asked per key", ratio(self.nodes_asked, self.asked));
        add("nodes answered per key", ratio(self.nodes_answered, self.asked));
        add("holders per key", ratio(self.holders, self.asked));
        rows.spread(&format!("{who} first"), &self.first);
        rows.spread(&format!("{who} complete"), &self.complete);
    }
}

/// Some nodes die at once; then clients look for one record each, while the tables still name the dead.
pub(crate) fn latency(plan: Plan, dead_percent: usize) -> (World, Rows) {
    let records = 30;
    let mut world = World::new(plan, records);
    world.net.kill_some(plan.nodes * dead_percent / 100);
    world.try_often(plan.tries, Duration::from_millis(500), |number| vec![number % records]);
    let rows = world.rows(plan);
    (world, rows)
}

/// Nodes come and go, half of them within 30 minutes; clients look for the records of three servers at once.
pub(crate) fn churn(plan: Plan, hours: u32) -> (World, Rows) {
    let mut world = World::new(plan, 3);
    world.net.churn(Duration::from_secs(30 * 60));
    let every = Duration::from_secs(3600) * hours / u32::try_from(plan.tries).expect("few tries");
    world.try_often(plan.tries, every, |_| vec![0, 1, 2]);
    let rows = world.rows(plan);
    (world, rows)
}

/// Where those who attack a key have their addresses, and whether their ids follow from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Siege {
    /// In two subnets, ids as near as one likes.
    FewSubnets,
    /// Each in a subnet of its own, ids as near as one likes.
    ManySubnets,
    /// Addresses sought out of 65,536 subnets so that ids that follow from them are nearest.
    Founded,
}

/// Twenty hosts crowd around the key of the first of three records, take what is put there and give
/// nothing, or the item that was there before they came. Then the servers put again, and clients look for all three.
pub(crate) fn eclipse(plan: Plan, siege: Siege, gives_old: bool) -> (World, Rows) {
    let mut world = World::new(plan, 3);
    let record = &world.records[0];
    let (target, gives) = (record.target, gives_old.then(|| record.item(record.seq)));
    let ring = siege.ring(&mut world.net, &target);
    for me in &ring {
        let others = ring.iter().filter(|other| *other != me).copied().collect();
        world.net.join_sybil(Sybil::new(*me, target, others, gives.clone()));
    }
    world.run_for(SIEGE);
    let now = world.net.now;
    world.records.iter_mut().for_each(|record| record.put_next_at(now));
    world.run_for(Duration::from_secs(60));
    world.try_often(plan.tries, Duration::from_millis(500), |_| vec![0, 1, 2]);
    let mut rows = world.rows(plan);
    world.victim.rows("besieged", &mut rows);
    (world, rows)
}

impl Siege {
    fn ring(self, net: &mut Net, target: &Id) -> Vec<NodeInfo> {
        match self {
            Self::FewSubnets => (0..20).map(|number| near(net, target, [200, 0, number % 2, 1 + number])).collect(),
            Self::ManySubnets => (0..20).map(|number| near(net, target, [200, number, 0, 1])).collect(),
            Self::Founded => founded(target),
        }
    }
}

/// An id that shares 32 bits with the target.
fn near(net: &mut Net, target: &Id, address: [u8; 4]) -> NodeInfo {
    let mut id = Id(net.random.bytes());
    id.0[..4].copy_from_slice(&target.0[..4]);
    NodeInfo { id, address: (Ipv4Addr::from(address), PORT).into() }
}

fn founded(target: &Id) -> Vec<NodeInfo> {
    let nearest_at = |subnet: u16| {
        let [high, low] = subnet.to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(200, high, low, 1));
        let ids = (0..8).map(|last| {
            let mut wanted = target.0;
            wanted[19] = (wanted[19] & !7) | last;
            Id::following_from(ip, wanted)
        });
        let id = ids.min_by_key(|id| id.distance(target)).unwrap_or_default();
        NodeInfo { id, address: (ip, PORT).into() }
    };
    let mut all: Vec<_> = (0..=u16::MAX).map(nearest_at).collect();
    all.sort_by_key(|node| node.id.distance(target));
    all.truncate(20);
    all
}
