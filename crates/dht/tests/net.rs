//! A DHT on loopback: what is put is found, what is announced is found, and nothing else happens.
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use seedbank_dht::{Bootstrap, DhtError, DhtHandle, DhtSettings, spawn, spawn_local_net};
use seedbank_types::{InfoHash, ServerSecret};
use tokio_util::sync::{CancellationToken, DropGuard};

const DEADLINE: Duration = Duration::from_secs(10);

/// Addresses of one test; no two tests share a net.
fn addresses(net: u8, count: u8) -> Vec<Ipv4Addr> {
    (1..=count).map(|host| Ipv4Addr::new(127, 77, net, host)).collect()
}

struct Net {
    nodes: Vec<DhtHandle>,
    net: u8,
    stop: CancellationToken,
    _stop_at_end: DropGuard,
}

impl Net {
    async fn of(net: u8, count: u8) -> Self {
        let stop = CancellationToken::new();
        let nodes = spawn_local_net(&addresses(net, count), &stop).await.expect("a local net");
        Self { nodes, net, _stop_at_end: stop.clone().drop_guard(), stop }
    }

    /// 16 nodes that are given nothing but the address of the first one, which is given nothing.
    async fn grown(net: u8) -> Self {
        let stop = CancellationToken::new();
        let mut nodes: Vec<DhtHandle> = vec![];
        for ip in addresses(net, 16) {
            let bootstrap = nodes.first().map_or(Bootstrap::None, host);
            let settings = DhtSettings::loopback((ip, 0).into(), bootstrap).serving();
            nodes.push(spawn(settings, stop.clone()).await.expect("a node"));
        }
        Self { nodes, net, _stop_at_end: stop.clone().drop_guard(), stop }
    }

    /// A node that only asks, given the first node.
    async fn client(&self, host_number: u8) -> DhtHandle {
        let bind = SocketAddr::from(([127, 77, self.net, host_number], 0));
        spawn(DhtSettings::loopback(bind, host(&self.nodes[0])), self.stop.clone()).await.expect("a client")
    }
}

fn host(node: &DhtHandle) -> Bootstrap {
    Bootstrap::Hosts(vec![node.local_address().to_string()])
}

fn secret(number: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[number; 32])
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !check().await {
        assert!(Instant::now() < deadline, "{what} did not happen in {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_peers(node: &DhtHandle, info_hash: InfoHash) -> Vec<SocketAddr> {
    let mut found = node.peers(info_hash);
    let mut peers = vec![];
    while let Some(peer) = found.recv().await {
        peers.push(peer);
    }
    peers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_put_by_one_is_read_by_another_within_a_second() {
    let net = Net::of(1, 16).await;
    let (server, client) = (net.client(100).await, net.client(101).await);
    let value = vec![7; 996];
    let stored = server.put_record(&secret(1), 1_700_000_000_000, value.clone()).await.expect("stored");
    assert!(stored.nodes >= 8, "{stored:?}");

    let started = Instant::now();
    let found = client.records(&[secret(1).public()]).recv().await.expect("found");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!((found.key, found.seq, &found.value), (secret(1).public(), 1_700_000_000_000, &value));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_net_grows_around_a_single_first_node() {
    let net = Net::grown(2).await;
    eventually("everybody knows eight others", async || {
        let mut known = vec![];
        for node in &net.nodes {
            known.push(node.known_nodes().await.expect("running"));
        }
        known.iter().all(|count| *count >= 8)
    })
    .await;
    let server = net.client(100).await;
    let stored = server.put_record(&secret(1), 1, b"value".to_vec()).await.expect("stored");
    assert!(stored.nodes >= 8, "{stored:?}");
    let found = net.nodes[15].record(secret(1).public()).await.expect("running").expect("found");
    assert_eq!(found.value, b"value");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_many_servers_are_looked_up_at_once() {
    let net = Net::of(3, 8).await;
    let server = net.client(100).await;
    for number in 1..=5 {
        server.put_record(&secret(number), u64::from(number), vec![number]).await.expect("stored");
    }
    let keys: Vec<_> = (1..=7).map(|number| secret(number).public()).collect();
    let mut found = net.client(101).await.records(&keys);
    let mut values = vec![];
    while let Some(record) = found.recv().await {
        values.push(record.value[0]);
    }
    values.sort_unstable();
    assert_eq!(values, [1, 2, 3, 4, 5], "each once, and the channel closes though two are absent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_peer_is_found_while_others_announce_and_look() {
    let net = Net::of(4, 8).await;
    let (server, client) = (net.client(100).await, net.client(101).await);
    let info_hash = InfoHash([5; 20]);
    let first = server.announce(info_hash, 7001);
    assert!(first.announced().await);
    let second = client.announce(info_hash, 7002);
    eventually("both are found", async || all_peers(&client, info_hash).await.len() == 2).await;
    assert!(second.announced().await);

    let mut peers = all_peers(&net.nodes[3], info_hash).await;
    peers.sort_unstable();
    assert_eq!(peers, ["127.77.4.100:7001", "127.77.4.101:7002"].map(|peer| peer.parse().expect("an address")));
    assert_eq!(all_peers(&client, InfoHash([6; 20])).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_is_retried_until_the_net_is_there() {
    let stop = CancellationToken::new();
    let _stop_at_end = stop.clone().drop_guard();
    let reserved = std::net::UdpSocket::bind("127.77.5.1:0").expect("a socket");
    let later = reserved.local_addr().expect("bound");
    let settings = DhtSettings::loopback(([127, 77, 5, 100], 0).into(), Bootstrap::Hosts(vec![later.to_string()]));
    let server = spawn(settings, stop.clone()).await.expect("a node");
    let announcement = server.announce(InfoHash([1; 20]), 7001);
    let failed = server.put_record(&secret(1), 1, vec![]).await;
    assert!(matches!(failed, Err(DhtError::NoNodes)), "{failed:?}");
    assert!(!announcement.is_announced());

    drop(reserved);
    let settings = DhtSettings::loopback(later, Bootstrap::None).serving();
    let node = spawn(settings, stop.clone()).await.expect("a node");
    assert!(tokio::time::timeout(DEADLINE, announcement.announced()).await.expect("in time"));
    let peer = "127.77.5.100:7001".parse().expect("an address");
    assert_eq!(all_peers(&node, InfoHash([1; 20])).await, [peer], "whoever keeps it finds it, too");
    eventually("the peer is found", async || all_peers(&server, InfoHash([1; 20])).await.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_stores_at_once_and_again_on_a_new_value() {
    let net = Net::of(6, 8).await;
    let (server, client) = (net.client(100).await, net.client(101).await);
    let keeper = server.keep_record(secret(1), 1, b"one".to_vec()).expect("small enough");
    assert!(keeper.stored(1).await);
    keeper.update(2, b"two".to_vec()).expect("small enough");
    keeper.update(3, b"three".to_vec()).expect("small enough");
    assert!(keeper.stored(3).await);
    let found = client.record(secret(1).public()).await.expect("running").expect("found");
    assert_eq!((found.seq, &found.value[..]), (3, &b"three"[..]));
    assert!(matches!(keeper.update(4, vec![0; 997]), Err(DhtError::ValueTooLong(997))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_or_a_forked_record_is_not_put_and_the_keeper_says_so() {
    let net = Net::of(7, 8).await;
    let server = net.client(100).await;
    server.put_record(&secret(1), 10, b"ten".to_vec()).await.expect("stored");
    server.put_record(&secret(1), 10, b"ten".to_vec()).await.expect("the same again");
    for (seq, value) in [(9, &b"nine"[..]), (10, &b"other"[..])] {
        let refused = server.put_record(&secret(1), seq, value.to_vec()).await;
        assert!(matches!(refused, Err(DhtError::NewerRecord { seen: 10, .. })), "{refused:?}");
    }
    let keeper = server.keep_record(secret(1), 9, b"nine".to_vec()).expect("small enough");
    eventually("the keeper sees it", async || keeper.status().seen == Some(10)).await;
    keeper.update(11, b"eleven".to_vec()).expect("small enough");
    assert!(keeper.stored(11).await);
    assert_eq!(keeper.status().seen, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_found_record_can_be_put_again_by_anybody_but_not_changed() {
    let net = Net::of(8, 4).await;
    let (server, other) = (net.client(100).await, net.client(101).await);
    server.put_record(&secret(1), 1, b"value".to_vec()).await.expect("stored");
    let found = other.record(secret(1).public()).await.expect("running").expect("found");
    assert_eq!(other.put_again(found.clone()).await.expect("stored").seq, 1);
    let mut changed = found;
    changed.seq = 2;
    assert!(matches!(other.put_again(changed).await, Err(DhtError::BadSignature(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_997_bytes_is_refused() {
    let net = Net::of(9, 1).await;
    let refused = net.client(100).await.put_record(&secret(1), 1, vec![0; 997]).await;
    assert!(matches!(refused, Err(DhtError::ValueTooLong(997))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_bootstrap_finds_nothing_at_once_because_it_asks_nobody() {
    let stop = CancellationToken::new();
    let _stop_at_end = stop.clone().drop_guard();
    let settings = DhtSettings::new(([127, 77, 10, 1], 0).into(), Bootstrap::Hosts(vec![]));
    let started = Instant::now();
    let lonely = spawn(settings, stop).await.expect("a node");
    assert_eq!(lonely.record(secret(1).public()).await.expect("running"), None);
    assert_eq!(all_peers(&lonely, InfoHash([1; 20])).await, []);
    assert!(matches!(lonely.put_record(&secret(1), 1, vec![]).await, Err(DhtError::NoNodes)));
    assert_eq!(lonely.known_nodes().await.expect("running"), 0);
    // A single request would have taken the two seconds of its timeout.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_serve_does_not_answer() {
    let net = Net::of(11, 2).await;
    let silent = net.client(100).await;
    let stop = CancellationToken::new();
    let _stop_at_end = stop.clone().drop_guard();
    let settings = DhtSettings::loopback(([127, 77, 11, 101], 0).into(), host(&silent));
    let asker = spawn(settings, stop).await.expect("a node");
    assert!(matches!(asker.put_record(&secret(1), 1, vec![]).await, Err(DhtError::NoNodes)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_an_error_that_names_it() {
    let taken = std::net::UdpSocket::bind("127.77.12.1:0").expect("a socket");
    let address = taken.local_addr().expect("bound");
    let error =
        spawn(DhtSettings::loopback(address, Bootstrap::None), CancellationToken::new()).await.expect_err("taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_says_so_and_frees_its_port() {
    let net = Net::of(13, 2).await;
    let client = net.client(100).await;
    let announcement = client.announce(InfoHash([1; 20]), 1);
    let keeper = client.keep_record(secret(1), 1, vec![]).expect("small enough");
    assert!(keeper.stored(1).await && announcement.announced().await);
    let address = client.local_address();
    net.stop.cancel();
    eventually("the port is free", async || std::net::UdpSocket::bind(address).is_ok()).await;
    assert!(matches!(client.put_record(&secret(1), 2, vec![]).await, Err(DhtError::Stopped)));
    assert!(client.records(&[secret(1).public()]).recv().await.is_none());
    keeper.update(2, vec![]).expect("small enough");
    assert!(!keeper.stored(2).await);
}

/// One process with several nodes on one address, as in tests of the parts above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_share_one_address() {
    let stop = CancellationToken::new();
    let _stop_at_end = stop.clone().drop_guard();
    let nodes = spawn_local_net(&[Ipv4Addr::new(127, 77, 14, 1); 6], &stop).await.expect("a local net");
    nodes[1].put_record(&secret(1), 1, b"value".to_vec()).await.expect("stored");
    let found = nodes[4].record(secret(1).public()).await.expect("running").expect("found");
    assert_eq!(found.value, b"value");
}
