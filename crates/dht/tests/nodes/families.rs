//! IPv6, alone and beside IPv4.
use std::net::UdpSocket;

use seedbank_dht::{Bootstrap, DhtError, DhtSettings, spawn};
use seedbank_types::InfoHash;
use tokio_util::sync::CancellationToken;

use crate::common::{Single, all_peers, at, eventually, host, secret};

/// Says so if this machine has none.
fn has_ipv6() -> bool {
    let is_there = UdpSocket::bind("[::1]:0").is_ok();
    if !is_there {
        eprintln!("this machine has no IPv6 on loopback: nothing was tested");
    }
    is_there
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_peers_are_found_on_ipv6() {
    if !has_ipv6() {
        return;
    }
    let first = Single::start(DhtSettings::loopback(at("[::1]:0"), Bootstrap::None).serving()).await;
    let mut nodes = vec![];
    for _ in 0..5 {
        nodes.push(Single::start(DhtSettings::loopback(at("[::1]:0"), host(&first.dht)).serving()).await);
    }
    let asker = Single::start(DhtSettings::loopback(at("[::1]:0"), host(&first.dht))).await;
    eventually("the net has grown", async || asker.dht.known_nodes().await.expect("running") >= 4).await;
    asker.dht.put_record(&secret(1), 1, b"six".to_vec()).await.expect("stored");
    let found = nodes[4].dht.record(secret(1).public()).await.expect("running").expect("found");
    assert_eq!(found.value, b"six");

    let announcement = asker.dht.announce(InfoHash([6; 20]), 7001);
    assert!(announcement.announced().await);
    assert_eq!(all_peers(&nodes[2].dht, InfoHash([6; 20])).await, [at("[::1]:7001")]);
}

/// The two families are two networks, and who is in both finds what is in either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_two_sockets_is_in_both_networks() {
    if !has_ipv6() {
        return;
    }
    let four = Single::start(DhtSettings::loopback(at("127.79.1.1:0"), Bootstrap::None).serving()).await;
    let six = Single::start(DhtSettings::loopback(at("[::1]:0"), Bootstrap::None).serving()).await;
    let hosts = Bootstrap::Hosts([&four, &six].map(|node| node.dht.local_address().to_string()).to_vec());
    let both = Single::start(DhtSettings::loopback(at("127.79.1.2:0"), hosts).also(at("[::1]:0"))).await;
    assert_eq!(both.dht.local_addresses().len(), 2);
    both.dht.put_record(&secret(1), 1, b"both".to_vec()).await.expect("stored");
    for node in [&four, &six] {
        let family = if node.dht.local_address().is_ipv4() { "127.79.1.3:0" } else { "[::1]:0" };
        let asker = Single::start(DhtSettings::loopback(at(family), host(&node.dht))).await;
        let found = asker.dht.record(secret(1).public()).await.expect("running").expect("found");
        assert_eq!(found.value, b"both");
    }
}

/// A server on a computer that is offline goes on; whoever only asks had better hear that nobody can be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_without_an_address_keep_only_those_from_starting_who_neither_serve_nor_know_others() {
    let unreachable = Bootstrap::Hosts(vec!["[::1]:1".to_owned()]);
    let settings = DhtSettings::loopback(at("127.79.2.1:0"), unreachable.clone());
    let refused = spawn(settings.clone(), CancellationToken::new()).await;
    assert!(matches!(refused, Err(DhtError::Unresolved(_))), "{refused:?}");

    let server = Single::start(settings.clone().serving()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings.keeping(directory.path().join("dht.state"));
    let online = Single::start(DhtSettings { bootstrap: host(&server.dht), ..settings.clone() }).await;
    online.dht.put_record(&secret(1), 1, vec![]).await.expect("stored");
    online.stop().await;
    let offline = Single::start(DhtSettings { bootstrap: unreachable, ..settings }).await;
    offline.dht.put_record(&secret(1), 2, vec![]).await.expect("stored");
}

/// All addresses of one family mean those of the other, too, where the system has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_addresses_of_ipv4_mean_all_of_ipv6() {
    let node = Single::start(DhtSettings::new(at("0.0.0.0:0"), Bootstrap::None)).await;
    let families: Vec<bool> = node.dht.local_addresses().iter().map(|address| address.is_ipv4()).collect();
    assert!(matches!(families[..], [true] | [true, false]), "{families:?}");
    assert_eq!(families.len() == 2, UdpSocket::bind("[::]:0").is_ok());
}
