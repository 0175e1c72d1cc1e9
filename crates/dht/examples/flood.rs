//! Floods one serving node, in a process of its own, through real sockets on loopback, and prints what it costs:
//!
//!     cargo run -p seedbank-dht --example flood -- [SECONDS] [PACKETS A SECOND]
//!
//! The hostile mix is that of `crates/dht-proto/tests/flood.rs`. Every second somebody new who knows only
//! the flooded node asks for a record.
#![expect(clippy::print_stdout, reason = "a tool for people")]
#[path = "../../dht-proto/tests/flood/hostile.rs"]
mod hostile;
#[path = "../../dht-proto/tests/simulation/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hostile::Hostile;
use seedbank_dht::{Bootstrap, DhtHandle, DhtSettings, spawn, spawn_local_net};
use seedbank_types::ServerSecret;
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Sockets whose owner never hears what is sent there, and those of the attacker's own hosts.
const FALSE_SOCKETS: u8 = 250;
const OWN_SOCKETS: u8 = 100;
const BURST_EVERY: Duration = Duration::from_millis(2);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("node") => serve(&arguments[1..]).await,
        first => {
            let seconds = first.and_then(|text| text.parse().ok()).unwrap_or(60);
            flood(seconds, arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(20_000)).await
        }
    }
}

/// The flooded node: says where it is, and lives until its input ends.
async fn serve(bootstrap: &[String]) -> Result<(), Error> {
    let bind = SocketAddr::from(([127, 6, 0, 1], 0));
    let settings = DhtSettings::loopback(bind, Bootstrap::Hosts(bootstrap.to_vec())).serving();
    let node = spawn(settings, CancellationToken::new()).await?;
    println!("{}", node.local_address());
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await?;
    println!("{:?}", node.health().await?);
    Ok(())
}

async fn flood(seconds: u64, packets_a_second: u64) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let addresses: Vec<_> = (1..=20).map(|last| Ipv4Addr::new(127, 7, 0, last)).collect();
    let net = spawn_local_net(&addresses, &stop).await?;
    let hosts: Vec<String> = net.iter().map(|node| node.local_address().to_string()).collect();
    let (mut child, address) = start_node(&hosts)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let secret = ServerSecret::from_bytes(&[1; 32]);
    let stored = net[0].put_record(&secret, 1, vec![b'r'; 300]).await?;
    let before = resident_kib(&child)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let attack = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || Attack::new(address).map(|attack| attack.run(packets_a_second, &is_over))
    });
    let (mut most, mut answers) = (before, vec![]);
    for _ in 0..seconds {
        let next = Instant::now() + Duration::from_secs(1);
        answers.push(ask(address, &secret, &stop).await?);
        most = most.max(resident_kib(&child)?);
        tokio::time::sleep_until(next.into()).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let attack = attack.join().map_err(|_panic| "the attack panicked")??;
    println!("stored on {} of {}", stored.nodes, stored.tried);
    report(&attack, seconds, &mut answers);
    println!("resident KiB before, most: {before} {most}");
    drop(child.stdin.take());
    child.wait()?;
    stop.cancel();
    Ok(())
}

fn start_node(hosts: &[String]) -> Result<(Child, SocketAddr), Error> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("node").args(hosts).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let address = lines.next().ok_or("the node did not start")??.parse()?;
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("{line}")));
    Ok((child, address))
}

/// Somebody new looks for the record; how long it took, if it was found.
async fn ask(node: SocketAddr, secret: &ServerSecret, stop: &CancellationToken) -> Result<Option<Duration>, Error> {
    let stop = stop.child_token();
    let bind = SocketAddr::from(([127, 9, 0, 1], 0));
    let client: DhtHandle =
        spawn(DhtSettings::loopback(bind, Bootstrap::Hosts(vec![node.to_string()])), stop.clone()).await?;
    let began = Instant::now();
    let found = client.records(&[secret.public()]).recv().await;
    stop.cancel();
    Ok(found.map(|_record| began.elapsed()))
}

fn resident_kib(child: &Child) -> Result<u64, Error> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

fn report(attack: &Attack, seconds: u64, answers: &mut [Option<Duration>]) {
    println!("packets sent: {} ({} a second)", attack.packets, attack.packets / seconds.max(1));
    println!("from false addresses: {} bytes sent, {} bytes came back", attack.false_sent, attack.false_received);
    println!("from own addresses: {} bytes sent, {} bytes came back", attack.own_sent, attack.own_received);
    answers.sort_unstable();
    let found: Vec<_> = answers.iter().flatten().collect();
    println!("honest look-ups: {} of {} found", found.len(), answers.len());
    println!("honest first value: median {:?}, worst {:?}", found.get(found.len() / 2), found.last());
}

struct Attack {
    hostile: Hostile,
    node: SocketAddr,
    false_sockets: Vec<UdpSocket>,
    /// By the address that the hostile mix knows.
    own_sockets: BTreeMap<SocketAddr, UdpSocket>,
    packets: u64,
    false_sent: u64,
    false_received: u64,
    own_sent: u64,
    own_received: u64,
}

impl Attack {
    fn new(node: SocketAddr) -> Result<Self, Error> {
        let socket = |ip: [u8; 4]| -> Result<UdpSocket, Error> {
            let socket = UdpSocket::bind(SocketAddr::from((ip, 0)))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let own = |last: u8| Ok((SocketAddr::from(([77, 0, last, 1], 6881)), socket([127, 77, 0, 1 + last])?));
        Ok(Self {
            hostile: Hostile::new(1, vec![seedbank_dht::Id([1; 20])], OWN_SOCKETS.into()),
            node,
            false_sockets: (0..FALSE_SOCKETS).map(|last| socket([127, 99, 0, 1 + last])).collect::<Result<_, _>>()?,
            own_sockets: (0..OWN_SOCKETS).map(own).collect::<Result<_, Error>>()?,
            packets: 0,
            false_sent: 0,
            false_received: 0,
            own_sent: 0,
            own_received: 0,
        })
    }

    fn run(mut self, packets_a_second: u64, is_over: &AtomicBool) -> Self {
        let began = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            let due = packets_a_second * u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX) / 1_000_000;
            while self.packets < due {
                self.send();
            }
            self.receive();
            std::thread::sleep(BURST_EVERY);
        }
        self.receive();
        self
    }

    fn send(&mut self) {
        let (from, bytes) = self.hostile.packet();
        let SocketAddr::V4(v4) = from else { return };
        let [_, _, _, last] = v4.ip().octets();
        let (socket, sent) = match self.own_sockets.get(&from) {
            Some(socket) => (socket, &mut self.own_sent),
            None => (&self.false_sockets[usize::from(last % FALSE_SOCKETS)], &mut self.false_sent),
        };
        self.packets += 1;
        *sent += socket.send_to(&bytes, self.node).map_or(0, length);
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2_048];
        for socket in &self.false_sockets {
            while let Ok(count) = socket.recv(&mut buffer) {
                self.false_received += length(count);
            }
        }
        for (address, socket) in &self.own_sockets {
            while let Ok(count) = socket.recv(&mut buffer) {
                self.own_received += length(count);
                self.hostile.hear(*address, &buffer[..count]);
            }
        }
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
