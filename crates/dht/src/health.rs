//! How a node is doing, in words that people and programs can use.
use std::net::{IpAddr, SocketAddr};

use seedbank_dht_proto::{Health, Time};
use serde::Serialize;

use crate::sockets::{Sockets, family};

/// How a node is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DhtHealth {
    /// For each of its sockets: IPv4 and IPv6 are two networks.
    pub networks: Vec<NetworkHealth>,
    /// How long ago a node last answered; none: never.
    pub last_answer_ms: Option<u64>,
    /// Whether all of the last questions were lost: the network is gone, or everybody who was known.
    pub cut_off: bool,
    /// Items kept for others.
    pub items: usize,
    /// Announced peers kept for others.
    pub peers: usize,
    /// Look-ups and the like under way.
    pub tasks: usize,
    /// What has come and gone.
    pub traffic: DhtTraffic,
}

/// What a node knows of the network of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkHealth {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its id there, as hex.
    pub id: String,
    /// Its address as other nodes see it.
    pub external: Option<IpAddr>,
    /// Known nodes that answered or asked lately.
    pub good: usize,
    /// Known nodes that have been silent for a while.
    pub questionable: usize,
}

/// Packets and bytes since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DhtTraffic {
    /// Packets that came in.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets that came in and made no sense.
    pub malformed: u64,
    /// Queries left unanswered because their address asked too much.
    pub limited: u64,
    /// Packets that the system did not take.
    pub unsent: u64,
}

impl DhtHealth {
    pub(crate) fn new(health: &Health, sockets: &Sockets, now: Time) -> Self {
        let networks = sockets.local_addresses().iter().map(|address| {
            let family = family(address.ip());
            NetworkHealth {
                address: *address,
                id: health.ids[family].to_string(),
                external: health.external[family],
                good: health.nodes[family].good,
                questionable: health.nodes[family].questionable,
            }
        });
        let traffic = health.traffic;
        Self {
            networks: networks.collect(),
            last_answer_ms: health.last_answer.map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
            cut_off: health.cut_off,
            items: health.items,
            peers: health.peers,
            tasks: health.tasks,
            traffic: DhtTraffic {
                packets_in: traffic.packets_in,
                bytes_in: traffic.bytes_in,
                packets_out: traffic.packets_out,
                bytes_out: traffic.bytes_out,
                malformed: traffic.malformed,
                limited: traffic.limited,
                unsent: sockets.unsent(),
            },
        }
    }

    /// How many nodes it knows.
    #[must_use]
    pub fn known_nodes(&self) -> usize {
        self.networks.iter().map(|network| network.good + network.questionable).sum()
    }
}
