//! Servers, clients and strangers on loopback.

use std::time::{Duration, Instant};

use crate::common::{Node, SERVERS, key, servers, until};
use seedbank_mesh::{MeshEvent, PeerRef, Request, RequestError, RequestRefusal, Response, Topic, Verdict};
use seedbank_types::{AccountId, Hash};

#[tokio::test]
async fn gossip_reaches_all_servers_and_clients() {
    let mut servers = servers().await;
    let mut client = Node::client().await;
    client.connect_to(&servers[0]).await;
    servers[1].mesh.publish(Topic::Checkpoints, b"signed".to_vec()).await.expect("runs");
    for number in [0, 2] {
        let (topic, data, source) = servers[number].gossip().await;
        assert_eq!((topic, data.as_slice(), source), (Topic::Checkpoints, &b"signed"[..], Some(key(1))));
    }
    // The client is connected to server 0 only, which forwards once it has judged.
    let (topic, data, source) = client.gossip().await;
    assert_eq!((topic, data.as_slice(), source), (Topic::Checkpoints, &b"signed"[..], Some(key(1))));

    client.mesh.publish(Topic::Payments, b"bundle".to_vec()).await.expect("runs");
    for server in &mut servers {
        let (topic, data, source) = server.gossip().await;
        assert_eq!((topic, data.as_slice(), source), (Topic::Payments, &b"bundle"[..], None));
    }
}

#[tokio::test]
async fn payments_that_a_server_says_to_all_are_not_forwarded() {
    let mut servers = servers().await;
    let mut listener = Node::client().await;
    listener.connect_to(&servers[0]).await;
    servers[1].mesh.publish(Topic::Payments, b"said to all".to_vec()).await.expect("runs");
    servers[1].mesh.publish_forwarded(Topic::Payments, b"forwarded".to_vec()).await.expect("runs");
    for number in [0, 2] {
        assert_eq!(servers[number].gossip().await.1, b"said to all");
        assert_eq!(servers[number].gossip().await.1, b"forwarded");
    }
    assert_eq!(listener.gossip().await.1, b"forwarded", "the first that server 0 forwards");
}

#[tokio::test]
async fn payments_go_by_way_of_another_server_while_a_link_is_missing() {
    let mut servers = Vec::new();
    for number in 0..SERVERS {
        servers.push(Node::server(number, &format!("127.0.0.{}:0", number + 1)).await);
    }
    servers[1].connect_to(&servers[0]).await;
    servers[1].connect_to(&servers[2]).await;
    for number in [0, 2] {
        servers[number].wait_for_servers(&[1]).await;
    }
    servers[0].mesh.publish(Topic::Payments, b"of server 0".to_vec()).await.expect("runs");
    for number in [1, 2] {
        assert_eq!(servers[number].gossip().await, (Topic::Payments, b"of server 0".to_vec(), Some(key(0))));
    }
}

#[tokio::test]
async fn servers_hear_each_other_without_waiting_for_a_heartbeat() {
    let mut servers = servers().await;
    let mut latencies = Vec::new();
    for number in 0..50_u8 {
        let said = Instant::now();
        servers[0].mesh.publish(Topic::Quorum, vec![number; 300]).await.expect("runs");
        for server in &mut servers[1..] {
            assert_eq!(server.gossip().await.1, vec![number; 300]);
        }
        latencies.push(said.elapsed());
    }
    latencies.sort();
    assert!(latencies[25] < Duration::from_millis(100), "median {:?}", latencies[25]);
}

#[tokio::test]
async fn the_same_vote_can_be_said_again() {
    let mut servers = servers().await;
    for _ in 0..3 {
        servers[0].mesh.publish(Topic::Quorum, b"vote".to_vec()).await.expect("runs");
        assert_eq!(servers[1].gossip().await.1, b"vote");
        assert_eq!(servers[2].gossip().await.1, b"vote");
    }
}

#[tokio::test]
async fn the_longest_message_of_each_topic_arrives_and_a_longer_one_is_refused() {
    let mut servers = servers().await;
    for topic in Topic::ALL {
        let longest = vec![7; topic.bytes_max()];
        servers[0].mesh.publish(topic, longest.clone()).await.expect("fits");
        assert_eq!(servers[1].gossip().await, (topic, longest, Some(key(0))));
        let longer = vec![7; topic.bytes_max() + 1];
        assert!(servers[0].mesh.publish(topic, longer).await.is_err());
    }
}

#[tokio::test]
async fn a_message_published_before_anybody_listens_is_no_error() {
    let node = Node::server(0, "127.0.0.1:0").await;
    node.mesh.publish(Topic::Quorum, b"alone".to_vec()).await.expect("dropped in silence");
    let mut other = Node::server(1, "127.0.0.1:0").await;
    node.connect_to(&other).await;
    other.wait_for_servers(&[0]).await;
    node.mesh.publish(Topic::Quorum, b"heard".to_vec()).await.expect("runs");
    assert_eq!(other.gossip().await.1, b"heard");
}

#[tokio::test]
async fn a_message_published_while_a_server_connects_is_heard_by_it() {
    for round in 0..10_u8 {
        let node = Node::server(0, "127.0.0.1:0").await;
        let mut other = Node::server(1, "127.0.0.1:0").await;
        node.mesh.dial(other.mesh.listen_address()).await.expect("runs");
        // Somewhere in here the connection stands and the subscriptions have not come yet.
        let mut said = 0_u16;
        while node.mesh.servers_connected().is_empty() {
            node.mesh.publish(Topic::Quorum, [&[round][..], &said.to_be_bytes()].concat()).await.expect("runs");
            said += 1;
            tokio::task::yield_now().await;
        }
        let last = [&[round][..], &(said - 1).to_be_bytes()].concat();
        until("the last message is heard", async || other.gossip().await.1 == last).await;
    }
}

#[tokio::test]
async fn a_message_that_is_not_accepted_is_not_forwarded() {
    let mut middle = Node::client().await;
    let (author, mut listener) = (Node::client().await, Node::client().await);
    author.connect_to(&middle).await;
    listener.connect_to(&middle).await;
    for (data, verdict) in [("bad", Verdict::Reject), ("late", Verdict::Ignore), ("good", Verdict::Accept)] {
        author.mesh.publish(Topic::Payments, data.into()).await.expect("runs");
        let heard = middle.gossip_judged(verdict).await;
        assert_eq!(heard.1, data.as_bytes());
    }
    assert_eq!(listener.gossip().await.1, b"good", "the first that is forwarded");
}

#[tokio::test]
async fn what_a_stranger_says_as_a_server_is_not_heard() {
    let mut servers = servers().await;
    let client = Node::client().await;
    client.connect_to(&servers[0]).await;
    client.mesh.publish(Topic::Quorum, b"a vote of nobody".to_vec()).await.expect("published, not heard");
    client.mesh.publish(Topic::Checkpoints, b"a signature of nobody".to_vec()).await.expect("published, not heard");
    client.mesh.publish(Topic::Payments, b"a payment".to_vec()).await.expect("runs");
    assert_eq!(servers[0].gossip().await.1, b"a payment", "the first that reaches the owner");
}

#[tokio::test]
async fn a_change_of_servers_changes_who_is_heard() {
    let mut node = Node::server(0, "127.0.0.1:0").await;
    let newcomer = Node::server(SERVERS, "127.0.0.1:0").await;
    newcomer.connect_to(&node).await;
    assert!(node.mesh.servers_connected().is_empty());
    node.mesh.set_servers(vec![key(0), key(SERVERS)]).await.expect("runs");
    newcomer.mesh.set_servers(vec![key(0), key(SERVERS)]).await.expect("runs");
    node.wait_for_servers(&[SERVERS]).await;
    newcomer.wait_for_servers(&[0]).await;
    newcomer.mesh.publish(Topic::Quorum, b"a new voice".to_vec()).await.expect("runs");
    assert_eq!(node.gossip().await, (Topic::Quorum, b"a new voice".to_vec(), Some(key(SERVERS))));
    node.mesh.set_servers(vec![key(0)]).await.expect("runs");
    until("the leaver is no server", async || node.mesh.servers_connected().is_empty()).await;
}

#[tokio::test]
async fn a_request_is_answered() {
    let mut servers = servers().await;
    let mesh = servers[0].mesh.clone();
    let asks = tokio::spawn(async move {
        mesh.request(PeerRef::of_server(&key(1)), Request::NextSequence(AccountId([5; 20]))).await
    });
    let (peer, request, reply) = servers[1].request().await;
    assert_eq!((peer.key(), request), (Some(key(0)), Request::NextSequence(AccountId([5; 20]))));
    reply.send(Response::NextSequence { sequence: 9 }).await.expect("runs");
    assert_eq!(asks.await.expect("no panic"), Ok(Response::NextSequence { sequence: 9 }));
}

#[tokio::test]
async fn a_body_of_4_mib_fits_one_response() {
    let mut servers = servers().await;
    let mesh = servers[0].mesh.clone();
    let asks = tokio::spawn(async move {
        mesh.request(PeerRef::of_server(&key(1)), Request::Body { digest: Hash([1; 32]) }).await
    });
    let body = vec![3; 4 << 20];
    let (_, _, reply) = servers[1].request().await;
    reply.send(Response::Body(Some(body.clone()))).await.expect("runs");
    assert_eq!(asks.await.expect("no panic"), Ok(Response::Body(Some(body))));
}

#[tokio::test]
async fn an_answer_beyond_its_maximum_or_none_becomes_a_refusal() {
    let mut servers = servers().await;
    let mesh = servers[0].mesh.clone();
    let asks = tokio::spawn(async move {
        let peer = PeerRef::of_server(&key(1));
        [mesh.request(peer, Request::Genesis).await, mesh.request(peer, Request::Genesis).await]
    });
    let (_, _, reply) = servers[1].request().await;
    reply.send(Response::Genesis(vec![0; 1 << 20])).await.expect("runs");
    drop(servers[1].request().await);
    let expected = [RequestRefusal::TooLarge, RequestRefusal::Busy].map(|refusal| Ok(Response::Refused(refusal)));
    assert_eq!(asks.await.expect("no panic"), expected);
}

#[tokio::test]
async fn a_full_event_queue_drops_gossip_refuses_requests_and_keeps_peers() {
    let mut servers = servers().await;
    let slow = servers.pop().expect("three servers");
    for _ in 0..2 {
        let client = Node::client().await;
        client.connect_to(&slow).await;
        servers.push(client);
    }
    // The owner of the slow server reads no events: gossip fills the queue up to what is kept for
    // requests, and those fill the rest but for what is kept for connections.
    until("gossip is dropped", async || {
        servers[0].mesh.publish(Topic::Quorum, vec![0; 10]).await.expect("runs");
        slow.events.len() >= 1024 - 256
    })
    .await;
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..60 {
        for asker in &servers {
            let (mesh, peer) = (asker.mesh.clone(), slow.mesh.peer());
            answers.spawn(async move { mesh.request(peer, Request::Genesis).await });
        }
    }
    let answer = answers.join_next().await.expect("240 were asked").expect("no panic");
    assert_eq!(answer, Ok(Response::Refused(RequestRefusal::Busy)));
    assert_eq!((slow.mesh.peers().len(), slow.events.len()), (4, 1024 - 64));
}

#[tokio::test]
async fn no_more_is_asked_of_a_peer_than_its_connection_carries() {
    let servers = servers().await;
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..65 {
        let mesh = servers[0].mesh.clone();
        answers.spawn(async move { mesh.request(PeerRef::of_server(&key(1)), Request::Genesis).await });
    }
    let answer = answers.join_next().await.expect("65 were asked").expect("no panic");
    assert_eq!(answer, Err(RequestError::Busy));
}

#[tokio::test]
async fn who_asks_too_often_is_refused() {
    let mut server = Node::server(0, "127.0.0.1:0").await;
    let client = Node::client().await;
    client.connect_to(&server).await;
    let mesh = client.mesh.clone();
    let asks = tokio::spawn(async move {
        for asked in 0..1000 {
            let answer = mesh.request(PeerRef::of_server(&key(0)), Request::Genesis).await;
            if answer == Ok(Response::Refused(RequestRefusal::TooMany)) {
                return asked;
            }
        }
        1000
    });
    tokio::select! {
        never = async { loop {
            server.request().await.2.send(Response::Genesis(vec![1])).await.expect("runs");
        }} => never,
        asked = asks => assert!((100..1000).contains(&asked.expect("no panic"))),
    }
}

#[tokio::test]
async fn who_is_not_connected_cannot_be_asked() {
    let node = Node::client().await;
    let nobody = PeerRef::of_server(&key(7));
    assert_eq!(node.mesh.request(nobody, Request::Genesis).await, Err(RequestError::NotConnected(nobody)));
}

#[tokio::test]
async fn a_killed_server_is_connected_again_after_its_restart_on_the_same_port() {
    let mut servers = servers().await;
    let victim = servers.pop().expect("three servers");
    let address = victim.mesh.listen_address();
    victim.stop_and_wait().await;
    for server in &servers {
        until("the loss is noticed", async || server.mesh.servers_connected().len() == 1).await;
    }
    // It dials nobody: the others remember where it was.
    let mut restarted = Node::server(2, &address.to_string()).await;
    restarted.wait_for_servers(&[0, 1]).await;
    for server in &servers {
        until("it is back", async || server.mesh.servers_connected().len() == 2).await;
    }
    servers[0].mesh.publish(Topic::Quorum, b"welcome".to_vec()).await.expect("runs");
    assert_eq!(restarted.gossip().await.1, b"welcome");
    restarted.mesh.publish(Topic::Quorum, b"thanks".to_vec()).await.expect("runs");
    for server in &mut servers {
        until("the restarted server is heard", async || server.gossip().await.1 == b"thanks").await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_dialed_until_it_is() {
    let late = Node::server(1, "127.0.0.1:0").await;
    let (address, multiaddr) = (late.mesh.listen_address(), late.mesh.multiaddr());
    late.stop_and_wait().await;
    let node = Node::server(0, "127.0.0.1:0").await;
    node.mesh.dial_multiaddr(&multiaddr).await.expect("an address");
    let late = Node::server(1, &address.to_string()).await;
    node.wait_for_servers(&[1]).await;
    late.wait_for_servers(&[0]).await;
}

#[tokio::test]
async fn dialing_ourselves_or_a_peer_twice_is_harmless() {
    let mut servers = servers().await;
    for _ in 0..3 {
        for from in &servers {
            for to in &servers {
                from.mesh.dial(to.mesh.listen_address()).await.expect("runs");
                from.mesh.dial_multiaddr(&to.mesh.multiaddr()).await.expect("an address");
            }
        }
    }
    servers[0].mesh.publish(Topic::Quorum, b"still here".to_vec()).await.expect("runs");
    for server in &mut servers[1..] {
        assert_eq!(server.gossip().await.1, b"still here");
        assert_eq!(server.mesh.peers().len(), 2);
    }
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let node = Node::client().await;
    let error = Node::try_server(0, &node.mesh.listen_address().to_string()).await.err().expect("in use");
    assert!(error.to_string().contains(&node.mesh.listen_address().to_string()), "{error}");
}

#[tokio::test]
async fn connections_come_and_go_with_events() {
    let mut server = Node::server(0, "127.0.0.1:0").await;
    let client = Node::client().await;
    client.connect_to(&server).await;
    let expected = client.mesh.peer();
    let event = server.event().await;
    assert!(matches!(event, MeshEvent::PeerConnected { peer, server: None, .. } if peer == expected), "{event:?}");
    client.stop_and_wait().await;
    let event = server.event().await;
    assert!(matches!(event, MeshEvent::PeerDisconnected { peer, server: None } if peer == expected), "{event:?}");
}

#[tokio::test]
async fn a_stop_closes_within_a_second() {
    let servers = servers().await;
    let before = Instant::now();
    for server in servers {
        let mesh = server.mesh.clone();
        server.stop_and_wait().await;
        assert!(mesh.publish(Topic::Quorum, vec![1]).await.is_err());
        assert!(matches!(
            mesh.request(PeerRef::of_server(&key(0)), Request::Genesis).await,
            Err(RequestError::Stopped(_))
        ));
    }
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}
