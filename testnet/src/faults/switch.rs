//! The network between the nodes: one TUN device in each network namespace, and this relay between
//! them. What it drops is lost below TCP and UDP, as on a real wire.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::links::{Fate, Links, NodeNumber};
use crate::chance::Chance;
use crate::net::{Net, Part};

const DEVICE: &str = "seedbank0";
/// As on Ethernet.
const MTU: u16 = 1_500;
/// Packets on their way at once; what comes on top is lost, as in any router.
const ON_THE_WAY_MAX: usize = 20_000;
/// Where the destination stands in an IPv4 packet.
const DESTINATION: std::ops::Range<usize> = 16..20;

/// The running relay. It lives as long as the process, which has namespaces of its own.
#[derive(Clone)]
pub(crate) struct Switch {
    shared: Arc<Shared>,
    namespaces: Vec<PathBuf>,
}

struct Shared {
    net: Net,
    devices: Vec<SyncDevice>,
    links: Mutex<Links>,
    on_the_way: Mutex<BinaryHeap<Reverse<Packet>>>,
    arrived: Condvar,
}

/// A packet on its way; the earliest comes first, of two the one that was sent first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    number: u64,
    to: NodeNumber,
    bytes: Vec<u8>,
}

impl Switch {
    /// Makes a namespace below `dir` for each server, a device in each, and one here for clients and DHT.
    pub(crate) fn start(dir: &Path, net: Net, servers: u8, chance: Chance) -> Result<Self> {
        ip("link set lo up")?;
        let mut addresses: Vec<Ipv4Addr> = (1..=u8::MAX).map(|number| net.address(Part::Clients, number)).collect();
        addresses.truncate(super::CLIENT_ADDRESSES);
        addresses.extend((1..=super::DHT_NODES).map(|number| net.address(Part::Dht, number)));
        let mut devices = vec![device(&net, &addresses)?];
        let mut namespaces = Vec::new();
        for number in 1..=servers {
            let namespace = dir.join(format!("network-{number}"));
            let address = net.address(Part::Servers, number);
            devices.push(in_new_namespace(&namespace, move || {
                ip("link set lo up")?;
                device(&net, &[address])
            })?);
            namespaces.push(namespace);
        }
        let shared = Arc::new(Shared {
            net,
            devices,
            links: Mutex::new(Links::new(chance)),
            on_the_way: Mutex::default(),
            arrived: Condvar::new(),
        });
        for node in 0..shared.devices.len() {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("wire-{node}")).spawn(move || shared.read(node))?;
        }
        let late = Arc::clone(&shared);
        thread::Builder::new().name("wire-late".to_owned()).spawn(move || late.deliver())?;
        Ok(Self { shared, namespaces })
    }

    /// The namespace of each server, as a file for `nsenter`.
    pub(crate) fn namespaces(&self) -> &[PathBuf] {
        &self.namespaces
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, Links> {
        lock(&self.shared.links)
    }
}

impl Shared {
    /// Takes what a node sends, for as long as the process lives.
    fn read(&self, from: NodeNumber) {
        let mut buffer = vec![0; usize::from(MTU)];
        for number in 0.. {
            match self.devices[from].recv(&mut buffer) {
                Ok(length) => self.pass(from, number, &buffer[..length]),
                Err(error) => tracing::warn!(from, %error, "a packet cannot be read"),
            }
        }
    }

    fn pass(&self, from: NodeNumber, number: u64, bytes: &[u8]) {
        let Some(to) = self.destination(bytes) else { return };
        match lock(&self.links).fate(from, to) {
            Fate::Lost => {}
            Fate::Arrives { after } if after.is_zero() => self.hand_over(to, bytes),
            Fate::Arrives { after } => {
                let mut on_the_way = lock(&self.on_the_way);
                if on_the_way.len() < ON_THE_WAY_MAX {
                    on_the_way.push(Reverse(Packet { due: Instant::now() + after, number, to, bytes: bytes.to_vec() }));
                    self.arrived.notify_one();
                }
            }
        }
    }

    /// Hands over what was delayed, when its time has come.
    fn deliver(&self) {
        let mut on_the_way = lock(&self.on_the_way);
        loop {
            let wait = on_the_way.peek().map(|Reverse(packet)| packet.due.saturating_duration_since(Instant::now()));
            on_the_way = match wait {
                None => self.arrived.wait(on_the_way).unwrap_or_else(PoisonError::into_inner),
                Some(wait) if wait.is_zero() => {
                    let packet = on_the_way.pop();
                    drop(on_the_way);
                    if let Some(Reverse(packet)) = packet {
                        self.hand_over(packet.to, &packet.bytes);
                    }
                    lock(&self.on_the_way)
                }
                Some(wait) => self.arrived.wait_timeout(on_the_way, wait).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    fn hand_over(&self, to: NodeNumber, bytes: &[u8]) {
        // A full device loses packets, as a full router does.
        if let Err(error) = self.devices[to].send(bytes) {
            tracing::debug!(to, %error, "a packet is lost");
        }
    }

    /// Whose address an IPv4 packet is for. IPv6 has no business here.
    fn destination(&self, bytes: &[u8]) -> Option<NodeNumber> {
        if bytes.first()? >> 4 != 4 {
            return None;
        }
        let address: [u8; 4] = bytes.get(DESTINATION)?.try_into().ok()?;
        let (part, number) = self.net.part(Ipv4Addr::from(address))?;
        let node = if part == Part::Servers { usize::from(number) } else { 0 };
        (node < self.devices.len()).then_some(node)
    }
}

/// A device of the network namespace of this thread, with its addresses and the route to all others.
fn device(net: &Net, addresses: &[Ipv4Addr]) -> Result<SyncDevice> {
    let device = DeviceBuilder::new().name(DEVICE).mtu(MTU).build_sync();
    let device = device.context("a TUN device cannot be made: is there /dev/net/tun?")?;
    ip(&format!("link set {DEVICE} up"))?;
    for address in addresses {
        ip(&format!("address add {address}/32 dev {DEVICE}"))?;
    }
    ip(&format!("route add {net} dev {DEVICE}"))?;
    Ok(device)
}

/// Does something in a network namespace of its own, which stays as a file.
fn in_new_namespace<T: Send + 'static>(file: &Path, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let namespace = std::fs::File::create(file).and_then(|_empty| {
        let mut net = std::ffi::OsString::from("--net=");
        net.push(file);
        Command::new("unshare").arg(net).arg("true").status()
    });
    ensure!(namespace.context("unshare does not start")?.success(), "no network namespace can be made");
    let file = std::fs::File::open(file)?;
    // Only this thread moves, and it ends.
    let worker = thread::spawn(move || {
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
            .context("the network namespace cannot be entered")?;
        work()
    });
    worker.join().map_err(|_panic| anyhow!("the thread that set up a network namespace died"))?
}

/// Runs `ip` in the network namespace of this thread.
fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("ip (iproute2) does not start")?;
    ensure!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
