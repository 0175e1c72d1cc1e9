//! What a node keeps from one run to the next.
use seedbank_dht::{Bootstrap, DhtError, DhtHandle, DhtSettings};

use crate::common::{Net, Single, at, eventually, host, secret};

async fn value_of_1(node: &DhtHandle) -> Option<Vec<u8>> {
    node.record(secret(1).public()).await.expect("running").map(|record| record.value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_knows_others_at_once_and_is_the_same() {
    let net = Net::of(1, 8).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = net.settings(100).serving().keeping(directory.path().join("dht.state"));
    let first = Single::start(settings.clone()).await;
    eventually("it knows others", async || first.dht.known_nodes().await.expect("running") >= 5).await;
    let id = first.dht.health().await.expect("running").networks[0].id.clone();
    net.nodes[3].put_record(&secret(1), 1, b"value".to_vec()).await.expect("stored");
    let bind = first.stop().await;

    let again = Single::start(DhtSettings { bind, bootstrap: Bootstrap::None, ..settings }).await;
    assert_eq!(again.dht.health().await.expect("running").networks[0].id, id);
    assert_eq!(value_of_1(&again.dht).await.as_deref(), Some(&b"value"[..]), "the first look-up already finds it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_kept_for_others_survive_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = DhtSettings::loopback(at("127.78.2.1:0"), Bootstrap::None);
    let settings = settings.serving().keeping(directory.path().join("dht.state"));
    let first = Single::start(settings.clone()).await;
    let asker = Single::start(DhtSettings::loopback(at("127.78.2.2:0"), host(&first.dht))).await;
    assert_eq!(asker.dht.put_record(&secret(1), 1, b"value".to_vec()).await.expect("stored").nodes, 1);
    asker.stop().await;
    let bind = first.stop().await;

    let again = Single::start(DhtSettings { bind, ..settings }).await;
    let asker = Single::start(DhtSettings::loopback(at("127.78.2.3:0"), host(&again.dht))).await;
    assert_eq!(value_of_1(&asker.dht).await.as_deref(), Some(&b"value"[..]));
    assert_eq!(again.dht.health().await.expect("running").items, 1);
}

/// The only node that held it forgets everything, and the keeper does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_record_is_put_back_after_a_restart_unless_a_newer_one_is_there() {
    for (number, newer) in [(3, false), (4, true)] {
        let directory = tempfile::tempdir().expect("a directory");
        let ip = |host: u8| at(&format!("127.78.{number}.{host}:0"));
        let holder = Single::start(DhtSettings::loopback(ip(1), Bootstrap::None).serving()).await;
        let settings = DhtSettings::loopback(ip(2), host(&holder.dht)).keeping(directory.path().join("dht.state"));
        let owner = Single::start(settings.clone()).await;
        let keeper = owner.dht.keep_record(secret(1), 5, b"own".to_vec()).expect("small enough");
        assert!(keeper.stored(5).await);
        drop(keeper);
        owner.stop().await;
        let bind = holder.stop().await;

        let holder = Single::start(DhtSettings::loopback(bind, Bootstrap::None).serving()).await;
        let other = Single::start(DhtSettings::loopback(ip(3), host(&holder.dht))).await;
        if newer {
            other.dht.put_record(&secret(1), 6, b"newer".to_vec()).await.expect("stored");
        }
        let asked = other.dht.health().await.expect("running").traffic.packets_out;
        let owner = Single::start(settings).await;
        let expected: &[u8] = if newer { b"newer" } else { b"own" };
        eventually("the record is there", async || value_of_1(&other.dht).await.as_deref() == Some(expected)).await;
        assert!(other.dht.health().await.expect("running").traffic.packets_out > asked);
        let refused = owner.dht.put_record(&secret(1), 4, b"older".to_vec()).await;
        assert!(matches!(refused, Err(DhtError::NewerRecord { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_file_is_a_cold_start_and_is_replaced() {
    let net = Net::of(5, 4).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("dht.state");
    let damaged: [&[u8]; 3] = [b"", b"nonsense", &[b'd'; 100_000]];
    for bytes in damaged {
        std::fs::write(&path, bytes).expect("writable");
        let node = Single::start(net.settings(100).keeping(&path)).await;
        eventually("it knows others", async || node.dht.known_nodes().await.expect("running") > 0).await;
        node.stop().await;
        assert_ne!(std::fs::read(&path).expect("there"), bytes);
    }
    let warm = Single::start(DhtSettings { bootstrap: Bootstrap::None, ..net.settings(101).keeping(&path) }).await;
    warm.dht.put_record(&secret(1), 1, vec![]).await.expect("it knows somebody");
    assert_eq!(std::fs::read_dir(directory.path()).expect("there").count(), 1, "nothing is left beside it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_net_that_is_gone_for_a_while_is_not_forgotten() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("dht.state");
    let holder = Single::start(DhtSettings::loopback(at("127.78.6.1:0"), Bootstrap::None).serving()).await;
    let settings = DhtSettings::loopback(at("127.78.6.2:0"), host(&holder.dht)).keeping(&path);
    let owner = Single::start(settings.clone()).await;
    owner.dht.put_record(&secret(1), 1, b"value".to_vec()).await.expect("stored");
    owner.stop().await;
    let bind = holder.stop().await;

    let alone = DhtSettings { bootstrap: Bootstrap::None, ..settings };
    let offline = Single::start(alone.clone()).await;
    assert!(matches!(offline.dht.put_record(&secret(1), 2, vec![]).await, Err(DhtError::NoNodes)));
    offline.stop().await;

    let _holder = Single::start(DhtSettings::loopback(bind, Bootstrap::None).serving()).await;
    let owner = Single::start(alone).await;
    owner.dht.put_record(&secret(1), 3, b"value".to_vec()).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_not_there_keeps_nobody_from_running() {
    let net = Net::of(7, 2).await;
    let node = Single::start(net.settings(100).keeping("/nowhere/dht.state")).await;
    node.dht.put_record(&secret(1), 1, vec![]).await.expect("stored");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_something_is_told_when_the_node_stops() {
    let silent = std::net::UdpSocket::bind("127.78.8.1:0").expect("a socket");
    let bootstrap = Bootstrap::Hosts(vec![silent.local_addr().expect("bound").to_string()]);
    let node = Single::start(DhtSettings::new(at("127.78.8.2:0"), bootstrap)).await;
    let dht = node.dht.clone();
    let putting = tokio::spawn(async move { dht.put_record(&secret(1), 1, vec![]).await });
    let mut records = node.dht.records(&[secret(1).public()]);
    eventually("both are under way", async || node.dht.health().await.expect("running").tasks >= 2).await;
    let dht = node.dht.clone();
    node.stop().await;
    assert!(matches!(putting.await.expect("it ends"), Err(DhtError::Stopped)));
    assert_eq!(records.recv().await, None);
    assert!(matches!(dht.health().await, Err(DhtError::Stopped)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_to_which_nobody_listens_is_given_up() {
    let silent = std::net::UdpSocket::bind("127.78.9.1:0").expect("a socket");
    let bootstrap = Bootstrap::Hosts(vec![silent.local_addr().expect("bound").to_string()]);
    let settings = DhtSettings::loopback(at("127.78.9.2:0"), bootstrap);
    let node = Single::start(settings).await;
    let records = node.dht.records(&[secret(1).public()]);
    drop(records);
    eventually("nothing is under way", async || node.dht.health().await.expect("running").tasks == 0).await;
}
