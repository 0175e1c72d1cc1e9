//! Servers that agree, crash and come back.
use std::time::{Duration, Instant};

use crate::common::{BALANCE, Community, address, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_find_each_other_certify_and_make_payments_final() {
    let community = Community::found(1, 3, "1s").await;
    let servers = community.start_all().await;
    let first = servers[0].certified_after(0).await;
    let mut slowest = Duration::ZERO;
    for sequence in 0..20 {
        let payment = community.payment(1, 2, sequence);
        let id = payment.payment.id(&community.community()).to_string();
        let (sent, start) = (&servers[usize::try_from(sequence % 3).expect("small")], Instant::now());
        let (code, answer) = sent.submit(&[payment]).await;
        assert_eq!((code, answer["payments"][0]["state"].as_str()), (200, Some("sent")), "{answer}");
        sent.is_final(&id).await;
        slowest = slowest.max(start.elapsed());
        for server in &servers {
            server.is_final(&id).await;
        }
    }
    eprintln!("slowest of 20 payments: final after {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let last = servers[0].certified_after(first + 2).await;
    for server in &servers {
        server.certified_after(last - 1).await;
        let (_, paid) = server.ask(&format!("/v1/accounts/{}", address(1))).await;
        assert_eq!(
            (paid["balance"].as_str(), paid["sequence"].as_u64()),
            (Some((BALANCE - 20 * 101).to_string().as_str()), Some(20))
        );
        let status = server.status().await;
        assert_eq!((status["state"].as_str(), status["quorum_in_reach"].as_bool()), (Some("active"), Some(true)));
    }
    same_checkpoints(&servers).await;
    for server in servers {
        assert_eq!(server.stop().await, Some(0));
    }
}

/// All servers have the same root, supply and snapshot for one epoch.
async fn same_checkpoints(servers: &[crate::common::Server]) {
    let checkpoints = eventually("all have the same newest epoch", async || {
        let mut found = Vec::new();
        for server in servers {
            found.push(server.ask("/v1/checkpoint").await.1);
        }
        found.iter().all(|one| one["epoch"] == found[0]["epoch"]).then_some(found)
    })
    .await;
    for checkpoint in &checkpoints {
        assert_eq!(checkpoint["hash"], checkpoints[0]["hash"]);
        assert_eq!(checkpoint["snapshot"], checkpoints[0]["snapshot"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_comes_back_catches_up_and_signs_again() {
    let community = Community::found(2, 3, "1s").await;
    let mut servers = community.start_all().await;
    let before = servers[0].certified_after(0).await;
    servers.pop().expect("three").kill();
    let payments: Vec<_> = (0..10).map(|sequence| community.payment(3, 4, sequence)).collect();
    let last = payments[9].payment.id(&community.community()).to_string();
    let (code, answer) = servers[0].submit(&payments).await;
    assert_eq!(code, 200, "{answer}");
    servers[1].is_final(&last).await;
    servers[0].certified_after(before + 2).await;

    servers.push(community.start(2).await);
    let back = &servers[2];
    back.is_final(&last).await;
    eventually("all three sign again", async || {
        let (_, checkpoint) = back.ask("/v1/checkpoint").await;
        (checkpoint["signed_by"].as_array().is_some_and(|signers| signers.len() == 3)).then_some(())
    })
    .await;
    eventually("it votes again", async || (back.status().await["state"] == "active").then_some(())).await;
    same_checkpoints(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_payments_are_refused_in_words_and_later_go_on() {
    let community = Community::found(3, 3, "1s").await;
    let mut servers = community.start_all().await;
    servers[0].certified_after(0).await;
    servers.drain(1..).for_each(crate::common::Server::kill);
    eventually("the quorum is out of reach", async || {
        (servers[0].status().await["quorum_in_reach"] == false).then_some(())
    })
    .await;
    let payment = community.payment(5, 6, 0);
    let (code, answer) = servers[0].submit(std::slice::from_ref(&payment)).await;
    assert_eq!((code, answer["error"]["code"].as_str()), (503, Some("no_quorum")), "{answer}");
    eventually("the log says so", async || servers[0].log().contains("the quorum is out of reach").then_some(())).await;

    servers.push(community.start(1).await);
    let id = payment.payment.id(&community.community()).to_string();
    eventually("the payment is taken", async || {
        (servers[0].submit(std::slice::from_ref(&payment)).await.0 == 200).then_some(())
    })
    .await;
    servers[1].is_final(&id).await;
    let (code, answer) = servers[0].submit(std::slice::from_ref(&payment)).await;
    assert_eq!((code, answer["payments"][0]["state"].as_str()), (200, Some("final")), "sent again: {answer}");
    let epoch = servers[0].status().await["certified_epoch"].as_u64().expect("certified before");
    servers[0].certified_after(epoch + 1).await;
    same_checkpoints(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_two_thirds_four_servers_stand_the_death_of_one_and_not_of_two() {
    let community = Community::found_with(9, 4, "1s", "two-thirds").await;
    let mut servers = community.start_all().await;
    assert_eq!(servers[0].status().await["quorum"], "two-thirds");
    let epoch = servers[0].certified_after(0).await;
    servers.pop().expect("four").kill();
    let payment = community.payment(9, 10, 0);
    let (code, answer) = servers[0].submit(std::slice::from_ref(&payment)).await;
    assert_eq!(code, 200, "{answer}");
    servers[2].is_final(&payment.payment.id(&community.community()).to_string()).await;
    servers[0].certified_after(epoch + 1).await;
    let (_, checkpoint) = servers[0].ask("/v1/checkpoint").await;
    assert_eq!(checkpoint["grade"], "byzantine");
    same_checkpoints(&servers).await;
    servers.pop().expect("three").kill();
    let refused = async || (servers[0].submit(&[community.payment(9, 10, 1)]).await.0 == 503).then_some(());
    eventually("payments are refused", refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_killed_at_once_again_and_again_lose_no_final_payment() {
    let community = Community::found(4, 3, "500ms").await;
    for round in 0..6 {
        let servers = community.start_all().await;
        let epoch = servers[0].status().await["certified_epoch"].as_u64().unwrap_or(0);
        let payment = community.payment(7, 8, round);
        let id = payment.payment.id(&community.community()).to_string();
        eventually("the payment is taken", async || {
            (servers[0].submit(std::slice::from_ref(&payment)).await.0 == 200).then_some(())
        })
        .await;
        servers[0].is_final(&id).await;
        if round % 2 == 0 {
            servers[0].certified_after(epoch + 1).await;
        }
        servers.into_iter().for_each(crate::common::Server::kill);
    }
    let servers = community.start_all().await;
    let epoch = servers[0].certified_after(0).await;
    servers[0].certified_after(epoch + 1).await;
    for server in &servers {
        let has_all = async || {
            let (_, payer) = server.ask(&format!("/v1/accounts/{}", address(7))).await;
            (payer["sequence"] == 6).then_some(())
        };
        eventually("the server has all six payments", has_all).await;
        eventually("the server takes part", async || (server.status().await["state"] == "active").then_some(())).await;
    }
    same_checkpoints(&servers).await;
}
