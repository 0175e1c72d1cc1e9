//! Our DHT nodes and programs that know nothing of us, each of them bootstrapped at the other's nodes only.
//!
//! libtorrent and bittorrent-dht have transaction ids of 2 bytes, aria2 and transmission of 4, the prober of any length.
#[path = "dht_interop/exchange.rs"]
mod exchange;
#[path = "dht_interop/packets.rs"]
mod packets;
#[path = "dht_interop/prober.rs"]
mod prober;
#[path = "dht_interop/program.rs"]
mod program;
#[path = "dht_interop/swarm.rs"]
mod swarm;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use seedbank_dht::{Bootstrap, DhtHandle, DhtSettings, spawn, spawn_local_net};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::exchange::exchange;
use crate::program::{Library, Program, in_path, is_here};

const NET_NODES: u8 = 10;
/// transmission does not use a DHT of fewer nodes than about a dozen.
const TRANSMISSION_NODES: u8 = 16;
/// Set in the network namespace that the test of transmission makes for itself.
const INSIDE: &str = "SEEDBANK_INTEROP_NAMESPACE";
const NAMESPACE: &str = "ip link set lo up && ip addr add 10.77.0.1/16 dev lo && exec \"$@\"";

/// The nodes of one test: its addresses begin with these two bytes, and differ in the third, as if far from each other.
struct Net {
    prefix: [u8; 2],
    nodes: Vec<DhtHandle>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Net {
    /// With this many serving nodes of ours.
    async fn start(prefix: [u8; 2], nodes: u8) -> Result<Self> {
        let stop = CancellationToken::new();
        let ips: Vec<Ipv4Addr> = (1..=nodes).map(|number| ip(prefix, number)).collect();
        let nodes = spawn_local_net(&ips, &stop).await?;
        Ok(Self { prefix, nodes, _guard: stop.clone().drop_guard(), stop })
    }

    fn ip(&self, number: u8) -> IpAddr {
        IpAddr::V4(ip(self.prefix, number))
    }

    fn entry(&self, number: usize) -> SocketAddr {
        self.nodes[number].local_address()
    }

    /// A node of ours that is new to the net, in the two ways in which there are such nodes.
    async fn ours(&self, bootstrap: SocketAddr) -> Result<Ours> {
        let bootstrap = Bootstrap::Hosts(vec![bootstrap.to_string()]);
        let settings = |number| DhtSettings::loopback((self.ip(number), 0).into(), bootstrap.clone());
        let server = spawn(settings(101).serving(), self.stop.clone()).await?;
        Ok(Ours { server, reader: spawn(settings(102), self.stop.clone()).await? })
    }
}

struct Ours {
    /// Puts and announces, and serves others: many programs take whoever asks, puts or announces for one who serves,
    /// even if it says that it does not (BEP43), and then wait long for its answers.
    server: DhtHandle,
    /// Only asks.
    reader: DhtHandle,
}

fn ip([a, b]: [u8; 2], number: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, number, 1)
}

/// Their only way in is one of our nodes.
async fn through_our_nodes(library: Library, prefix: [u8; 2]) -> Result<()> {
    if !library.is_here() {
        return Ok(());
    }
    let net = Net::start(prefix, NET_NODES).await?;
    let us = net.ours(net.entry(0)).await?;
    let mut them = Program::start(library, net.ip(111), Some(net.entry(1))).await?;
    exchange(&us, &mut them).await
}

/// Our only way in is one of their nodes, and those who serve us are theirs.
async fn through_their_nodes(library: Library, prefix: [u8; 2]) -> Result<()> {
    if !library.is_here() {
        return Ok(());
    }
    let net = Net::start(prefix, 0).await?;
    let first = Program::start(library, net.ip(1), None).await?;
    let _second = Program::start(library, net.ip(2), Some(first.address())).await?;
    let us = net.ours(first.address()).await?;
    let mut them = Program::start(library, net.ip(111), Some(first.address())).await?;
    exchange(&us, &mut them).await
}

#[tokio::test]
async fn libtorrent_is_served_by_our_nodes() -> Result<()> {
    through_our_nodes(Library::Libtorrent, [127, 61]).await
}

#[tokio::test]
async fn libtorrent_serves_us() -> Result<()> {
    through_their_nodes(Library::Libtorrent, [127, 62]).await
}

#[tokio::test]
async fn libtorrent_is_served_by_our_nodes_on_ipv6() -> Result<()> {
    let any_port = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    if std::net::UdpSocket::bind(any_port).is_err() {
        eprintln!("SKIPPED: this system has no IPv6");
        return Ok(());
    }
    if !Library::Libtorrent.is_here() {
        return Ok(());
    }
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let first = spawn(DhtSettings::loopback(any_port, Bootstrap::None).serving(), stop.clone()).await?;
    let entry = first.local_address();
    let settings = DhtSettings::loopback(any_port, Bootstrap::Hosts(vec![entry.to_string()]));
    let new = || spawn(settings.clone().serving(), stop.clone());
    let _others = try_join_all((1..NET_NODES).map(|_| new())).await?;
    let us = Ours { server: new().await?, reader: spawn(settings.clone(), stop.clone()).await? };
    let mut them = Program::start(Library::Libtorrent, entry.ip(), Some(entry)).await?;
    exchange(&us, &mut them).await
}

#[tokio::test]
async fn bittorrent_dht_is_served_by_our_nodes() -> Result<()> {
    through_our_nodes(Library::BittorrentDht, [127, 63]).await
}

#[tokio::test]
async fn bittorrent_dht_serves_us() -> Result<()> {
    through_their_nodes(Library::BittorrentDht, [127, 64]).await
}

#[tokio::test]
async fn aria2_and_we_find_each_other_through_our_nodes() -> Result<()> {
    let program = in_path("aria2c");
    if !is_here("aria2", &program) {
        return Ok(());
    }
    let net = Net::start([127, 65], NET_NODES).await?;
    let us = net.ours(net.entry(0)).await?;
    let (home, own) = (tempfile::tempdir()?, swarm::free_address(net.ip(111))?);
    swarm::meet(&us, own, || swarm::aria2(&program, home.path(), own, net.entry(1))).await
}

#[tokio::test]
async fn transmission_and_we_find_each_other_through_our_nodes() -> Result<()> {
    let program = in_path("transmission-cli");
    if !is_here("transmission", &program) {
        return Ok(());
    }
    if std::env::var_os(INSIDE).is_none() {
        return in_a_namespace("transmission_and_we_find_each_other_through_our_nodes").await;
    }
    let net = Net::start([10, 77], TRANSMISSION_NODES).await?;
    let us = net.ours(net.entry(0)).await?;
    let nodes: Vec<_> = net.nodes.iter().map(DhtHandle::local_address).collect();
    let (home, own) = (tempfile::tempdir()?, swarm::free_address(net.ip(111))?);
    swarm::meet(&us, own, || swarm::transmission(&program, home.path(), own, &nodes)).await
}

/// transmission refuses nodes on 127/8: this test again, where other addresses are local too.
async fn in_a_namespace(test: &str) -> Result<()> {
    for unshare in [&["--net"][..], &["--map-root-user", "--net"]] {
        let mut probe = tokio::process::Command::new("unshare");
        probe.args(unshare).args(["sh", "-c", NAMESPACE, "namespace", "true"]).stderr(Stdio::null());
        if probe.status().await.is_ok_and(|status| status.success()) {
            let mut again = tokio::process::Command::new("unshare");
            again.args(unshare).args(["sh", "-c", NAMESPACE, "namespace"]).arg(std::env::current_exe()?);
            let again = again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").kill_on_drop(true);
            ensure!(again.status().await?.success(), "it failed in the namespace");
            return Ok(());
        }
    }
    eprintln!("SKIPPED: this system allows no network namespace");
    Ok(())
}
