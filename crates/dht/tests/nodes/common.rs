//! What several tests need.
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use seedbank_dht::{Bootstrap, DhtHandle, DhtSettings, spawn, spawn_local_net};
use seedbank_types::{InfoHash, ServerSecret};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Nodes that know each other, on addresses of their own.
pub(crate) struct Net {
    pub(crate) nodes: Vec<DhtHandle>,
    number: u8,
    stop: CancellationToken,
    _stop_at_end: DropGuard,
}

impl Net {
    pub(crate) async fn of(number: u8, count: u8) -> Self {
        let stop = CancellationToken::new();
        let addresses: Vec<_> = (1..=count).map(|host| Ipv4Addr::new(127, 78, number, host)).collect();
        let nodes = spawn_local_net(&addresses, &stop).await.expect("a local net");
        Self { nodes, number, _stop_at_end: stop.clone().drop_guard(), stop }
    }

    /// A node that only asks.
    pub(crate) async fn client(&self, host_number: u8) -> DhtHandle {
        spawn(self.settings(host_number), self.stop.clone()).await.expect("a client")
    }

    pub(crate) fn settings(&self, host_number: u8) -> DhtSettings {
        DhtSettings::loopback(SocketAddr::from(([127, 78, self.number, host_number], 0)), host(&self.nodes[0]))
    }
}

/// A node that can be stopped by itself.
pub(crate) struct Single {
    pub(crate) dht: DhtHandle,
    stop: CancellationToken,
}

impl Single {
    pub(crate) async fn start(settings: DhtSettings) -> Self {
        let stop = CancellationToken::new();
        Self { dht: spawn(settings, stop.clone()).await.expect("a node"), stop }
    }

    /// Stops it; its address.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.dht.closed()).await.expect("it stops");
        self.dht.local_address()
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn host(node: &DhtHandle) -> Bootstrap {
    Bootstrap::Hosts(vec![node.local_address().to_string()])
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn secret(number: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[number; 32])
}

pub(crate) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !check().await {
        assert!(Instant::now() < deadline, "{what} did not happen in {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn all_peers(node: &DhtHandle, info_hash: InfoHash) -> Vec<SocketAddr> {
    let mut found = node.peers(info_hash);
    let mut peers = vec![];
    while let Some(peer) = found.recv().await {
        peers.push(peer);
    }
    peers
}
