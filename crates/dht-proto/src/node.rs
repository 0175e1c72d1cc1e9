//! The node: what comes in is decoded here, and handed to those who decide about it.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::external::External;
use crate::items::ItemStore;
use crate::krpc::{Body, Message, Want};
use crate::limits::Limits;
use crate::peers::PeerStore;
use crate::place::is_local;
use crate::rtt::RoundTrips;
use crate::saved::{Saved, SavedItem};
use crate::table::RoutingTable;
use crate::tokens::Tokens;
use crate::{Config, Effect, Health, Id, Input, Item, NodeInfo, Time, Traffic};

mod answering;
mod asking;
mod tasks;
mod upkeep;

use asking::Pending;
use tasks::{Task, TaskKey};
use upkeep::Upkeep;

/// What the node says of itself in every packet: Seedbank, first version.
const VERSION: &[u8] = b"SB\x00\x01";

/// The two networks of BEP32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }
}

/// A node of the Mainline DHT (BEP5, BEP32, BEP42, BEP43, BEP44).
pub struct Node {
    config: Config,
    random: ChaCha12Rng,
    tables: [RoutingTable; 2],
    external: [External; 2],
    tokens: Tokens,
    peers: PeerStore,
    items: ItemStore,
    limits: Limits,
    pending: Pending,
    tasks: BTreeMap<TaskKey, Task>,
    upkeep: Upkeep,
    round_trips: RoundTrips,
    last_answer: Option<Time>,
    /// Questions lost since somebody last answered.
    lost_in_a_row: u32,
    traffic: Traffic,
    effects: Vec<Effect>,
}

impl Node {
    /// A node that knows what was saved, or nobody but its bootstrap. The seed must be fresh and
    /// secret: tokens and transaction ids follow from it.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], saved: Option<Saved>, now: Time) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        let saved = saved.unwrap_or_default();
        let ids = saved.ids.map(|id| id.unwrap_or_else(|| Id(bytes(&mut random))));
        let mut node = Self {
            tables: ids.map(RoutingTable::new),
            external: Default::default(),
            tokens: Tokens::new(bytes(&mut random), now),
            peers: PeerStore::new(),
            items: ItemStore::new(ids),
            limits: Limits::new(now),
            pending: Pending::default(),
            tasks: BTreeMap::new(),
            upkeep: Upkeep::new(saved.nodes, now),
            round_trips: RoundTrips::default(),
            last_answer: None,
            lost_in_a_row: 0,
            traffic: Traffic::default(),
            effects: vec![],
            config,
            random,
        };
        node.items.restore(saved.items, now);
        node
    }

    /// Takes in what has happened, and says what is to be done.
    pub fn handle(&mut self, now: Time, input: Input<'_>) -> Vec<Effect> {
        match input {
            Input::Packet { from, bytes } => self.packet(now, from, bytes),
            Input::Start { task, job } => self.start(now, TaskKey::Owner(task), job),
            Input::Cancel(task) => self.cancel(task),
            Input::Unsent(to) => self.unsent(now, to),
            Input::Bootstrap(hosts) => self.bootstrap_at(now, hosts),
            Input::Wake => {
                self.expire_pending(now);
                self.keep_up(now);
            }
        }
        std::mem::take(&mut self.effects)
    }

    /// When the node next wants to be woken, if nothing else happens before.
    #[must_use]
    pub fn wake_at(&self) -> Time {
        self.pending.next_due().map_or(self.upkeep.due(), |due| due.min(self.upkeep.due()))
    }

    /// How the node is doing.
    #[must_use]
    pub fn health(&self, now: Time) -> Health {
        Health {
            ids: [self.tables[0].own(), self.tables[1].own()],
            nodes: [self.tables[0].counts(now), self.tables[1].counts(now)],
            external: [self.external[0].address(), self.external[1].address()],
            last_answer: self.last_answer,
            cut_off: self.is_cut_off(),
            items: self.items.len(),
            peers: self.peers.len(),
            tasks: self.tasks.len(),
            traffic: self.traffic,
        }
    }

    /// What a later node goes on from.
    #[must_use]
    pub fn save(&self, now: Time) -> Saved {
        let items = self.items.iter().map(|(item, expires)| SavedItem {
            item: item.clone(),
            own: false,
            remaining: expires.since(now),
        });
        let ids = Family::BOTH.map(|family| self.has(family).then(|| self.own(family)));
        let known = self.tables.iter().flat_map(RoutingTable::nodes);
        Saved { ids, nodes: known.collect(), items: items.collect() }
    }

    fn packet(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        self.traffic.packets_in += 1;
        self.traffic.bytes_in += bytes.len() as u64;
        self.limits.received(from, bytes.len(), now);
        if !self.may_reach(&from) {
            self.traffic.malformed += 1;
            return;
        }
        match Message::decode(bytes) {
            Ok(Message { transaction, read_only, ip, version, body }) => match body {
                Body::Query(query) => self.query(now, from, transaction, read_only, query),
                Body::Response(response) => self.response(now, from, &transaction, (ip, version), response),
                Body::Error(error) => self.error(now, from, &transaction, error),
            },
            Err(error) => {
                self.traffic.malformed += 1;
                self.malformed(now, from, error);
            }
        }
    }

    fn send(&mut self, to: SocketAddr, message: &Message) {
        self.send_bytes(to, message.encode());
    }

    fn send_bytes(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.traffic.packets_out += 1;
        self.traffic.bytes_out += bytes.len() as u64;
        self.effects.push(Effect::Send { to, bytes });
    }

    fn own(&self, family: Family) -> Id {
        self.tables[family.index()].own()
    }

    const fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.config.v4,
            Family::V6 => self.config.v6,
        }
    }

    /// Which families the answers to this node should name.
    const fn wants(&self) -> Want {
        Want { v4: self.config.v4, v6: self.config.v6 }
    }

    /// Whether a packet to this address would reach a single other program, and may leave at all. An IPv4
    /// address in the shape of an IPv6 one is no address of either network.
    fn may_reach(&self, address: &SocketAddr) -> bool {
        let ip = address.ip();
        let nobody =
            ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) || ip != ip.to_canonical();
        // A packet names it without its interface, and then it is nowhere.
        let nobody = nobody || matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let inside = !self.config.loopback_only || ip.is_loopback();
        address.port() != 0 && !nobody && inside && self.has(Family::of(address))
    }

    /// Whether `source` may name us this address: nobody from beyond knows what is on our loopback or
    /// in our own network.
    fn may_learn(&self, address: &SocketAddr, source: &SocketAddr) -> bool {
        let (to, by) = (address.ip(), source.ip());
        self.may_reach(address) && (by.is_loopback() || !to.is_loopback()) && (is_local(by) || !is_local(to))
    }

    fn learnable(&self, nodes: impl IntoIterator<Item = NodeInfo>, source: &SocketAddr) -> Vec<NodeInfo> {
        let own = [self.own(Family::V4), self.own(Family::V6)];
        nodes.into_iter().filter(|node| !own.contains(&node.id) && self.may_learn(&node.address, source)).collect()
    }

    fn number(&mut self) -> u64 {
        self.random.next_u64()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("config", &self.config).field("traffic", &self.traffic).finish_non_exhaustive()
    }
}

/// Bytes that nobody can foresee.
fn bytes<const LENGTH: usize>(random: &mut ChaCha12Rng) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    random.fill_bytes(&mut bytes);
    bytes
}

/// Whether `item` is what a look-up for `target` is about, signed by its key if it has one.
fn is_what_was_asked(item: &Item, target: &Id) -> bool {
    item.target() == *target && item.is_genuine()
}

#[cfg(test)]
mod tests;
