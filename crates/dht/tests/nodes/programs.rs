//! What other programs send, byte for byte, and what operators ask.
use std::net::SocketAddr;
use std::time::Duration;

use seedbank_dht::{Bootstrap, DhtError, DhtSettings, Item};
use tokio::net::UdpSocket;

use crate::common::{DEADLINE, Net, Single, at, host};

async fn answer(node: SocketAddr, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.80.1.100:0").await.expect("a socket");
    let mut buffer = [0; 2048];
    socket.send_to(query, node).await.expect("loopback takes it");
    let received = tokio::time::timeout(DEADLINE, socket.recv_from(&mut buffer)).await.expect("an answer");
    buffer[..received.expect("an answer").0].to_vec()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transaction_ids_of_any_length_come_back_as_they_were() {
    let node = Single::start(DhtSettings::loopback(at("127.80.1.1:0"), Bootstrap::None).serving()).await;
    for transaction in ["a", "aa", "abcd", "0123456789abcdef"] {
        let id = "abcdefghij0123456789";
        let t = format!("{}:{transaction}", transaction.len());
        for query in [
            format!("d1:ad2:id20:{id}e1:q4:ping1:t{t}1:y1:qe"),
            format!("d1:ad2:id20:{id}6:target20:{id}e1:q9:find_node1:t{t}1:y1:qe"),
            format!("d1:ad2:id20:{id}9:info_hash20:{id}e1:q9:get_peers1:t{t}1:y1:qe"),
            format!("d1:ad2:id20:{id}6:target20:{id}e1:q3:get1:t{t}1:y1:qe"),
        ] {
            let answer = answer(node.dht.local_address(), query.as_bytes()).await;
            assert!(contains(&answer, format!("1:t{t}").as_bytes()), "{}", answer.escape_ascii());
            assert!(answer.ends_with(b"1:y1:re"), "{}", answer.escape_ascii());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_longer_than_any_is_no_end() {
    let node = Single::start(DhtSettings::loopback(at("127.80.2.1:0"), Bootstrap::None).serving()).await;
    let socket = UdpSocket::bind("127.80.2.100:0").await.expect("a socket");
    for bytes in [&[0; 0][..], &[b'd'; 2049], &[b'd'; 60_000]] {
        socket.send_to(bytes, node.dht.local_address()).await.expect("loopback takes it");
    }
    let query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    assert!(contains(&answer(node.dht.local_address(), query).await, b"1:t2:aa"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_says_who_is_there() {
    let net = Net::of(30, 2).await;
    let client = net.client(100).await;
    let pong = client.ping(net.nodes[1].local_address()).await.expect("it serves");
    assert_eq!(pong.id.to_string(), net.nodes[1].health().await.expect("running").networks[0].id);
    assert!(pong.rtt < Duration::from_secs(1) && pong.version.is_some());
    let silent = std::net::UdpSocket::bind("127.80.3.1:0").expect("a socket");
    let silent = silent.local_addr().expect("bound");
    assert!(matches!(client.ping(silent).await, Err(DhtError::NoAnswer(address)) if address == silent));
    assert!(matches!(client.ping(at("192.0.2.1:1")).await, Err(DhtError::LeavesLoopback { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immutable_item_is_found_by_its_hash_and_its_holders_are_counted() {
    let net = Net::of(31, 6).await;
    let (giver, taker) = (net.client(100).await, net.client(101).await);
    let item = Item::Immutable { value: b"d1:ai1e1:bl1:x1:yee".to_vec() };
    let stored = giver.put(item.clone(), None).await.expect("stored");
    assert!(stored.nodes >= 5 && stored.nodes <= stored.tried, "{stored:?}");
    assert_eq!(taker.get(item.target(), vec![]).recv().await, Some(item.clone()));
    let looked_up = taker.look_up(item.target(), vec![]).await.expect("running");
    assert_eq!(looked_up.item, Some(item.clone()));
    assert!(looked_up.holders >= 5 && looked_up.holders <= looked_up.answered, "{looked_up:?}");
    let nodes = taker.find_nodes(item.target()).await.expect("they answer");
    assert!(nodes.len() >= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_what_a_node_knows_and_does() {
    let net = Net::of(32, 4).await;
    let lonely = Single::start(DhtSettings::loopback(at("127.80.4.1:0"), Bootstrap::None)).await;
    let health = lonely.dht.health().await.expect("running");
    assert_eq!((health.known_nodes(), health.last_answer_ms, health.traffic.packets_out), (0, None, 0));
    let health = net.nodes[0].health().await.expect("running");
    assert_eq!(health.networks.len(), 1);
    assert_eq!(health.networks[0].address, net.nodes[0].local_address());
    assert!(health.networks[0].good >= 3 && health.last_answer_ms.is_some(), "{health:?}");
    assert!(health.traffic.packets_in > 0 && health.traffic.malformed == 0 && health.traffic.unsent == 0);
    assert_ne!(host(&lonely.dht), host(&net.nodes[0]));
}
