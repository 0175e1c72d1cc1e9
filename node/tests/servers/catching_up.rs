//! Servers that are too far behind for batches go on from a certified snapshot, by themselves.
use std::fs;
use std::time::Duration;

use seedbank_mesh::{MeshEvent, MeshSecret, MeshSettings, Request, Response};
use seedbank_types::Certificate;
use tokio_util::sync::CancellationToken;

use crate::common::{Community, Server, address, eventually, new_key};

/// Bodies are forgotten as soon as they may be.
const FORGETFUL: [&str; 2] = ["--keep-batches", "0"];

/// Makes payments final until the servers have forgotten all batches up to this height.
async fn forget_up_to(community: &Community, servers: &[Server], payer: u8, sequence: &mut u64, height: u64) {
    let server = &servers[0];
    eventually("old batches are forgotten", async || {
        let payment = community.payment(payer, 2, *sequence);
        if server.submit(std::slice::from_ref(&payment)).await.0 == 200 {
            server.is_final(&payment.payment.id(&community.community()).to_string()).await;
            *sequence += 1;
        }
        let mut all = true;
        for server in servers {
            all &= server.status().await["lowest_batch"].as_u64() > Some(height);
        }
        all.then_some(())
    })
    .await;
}

async fn height(server: &Server) -> u64 {
    server.status().await["height"].as_u64().expect("a number")
}

/// Waits until the payer's payments are all here.
async fn has_all(server: &Server, payer: u8, sequence: u64) {
    eventually("the server has all payments", async || {
        let (_, account) = server.ask(&format!("/v1/accounts/{}", address(payer))).await;
        (account["sequence"].as_u64() == Some(sequence)).then_some(())
    })
    .await;
}

async fn is_active(server: &Server) {
    eventually("the server takes part", async || (server.status().await["state"] == "active").then_some(())).await;
}

/// All are at the same checkpoint with the same balances.
async fn agree(servers: &[&Server]) {
    eventually("all certify the same", async || {
        let mut found = Vec::new();
        for server in servers {
            found.push(server.ask("/v1/checkpoint").await.1);
        }
        found.iter().all(|one| one["hash"] == found[0]["hash"] && !one["hash"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_away_and_a_new_one_go_on_from_a_snapshot_once_the_batches_are_forgotten() {
    let community = Community::found(60, 3, "1s").await;
    let mut servers = community.start_all_with(&FORGETFUL).await;
    servers[0].certified_after(0).await;
    let before = height(&servers[2]).await;
    servers.pop().expect("three").kill();
    let mut sequence = 0;
    forget_up_to(&community, &servers, 1, &mut sequence, before + 5).await;

    let back = community.start_with(2, &FORGETFUL).await;
    has_all(&back, 1, sequence).await;
    is_active(&back).await;
    assert!(back.log().contains("far behind: going on from the certified state"), "it replayed batches");
    assert_eq!(back.status().await["catching_up"], serde_json::Value::Null);
    agree(&[&servers[0], &back]).await;
    let own = community.genesis.servers.number(&community.secret(2).public()).expect("a server");
    eventually("it signs again", async || {
        let (_, checkpoint) = back.ask("/v1/checkpoint").await;
        checkpoint["signed_by"].as_array()?.iter().any(|number| number.as_u64() == Some(own.into())).then_some(())
    })
    .await;

    // An empty one, which no set names yet.
    new_key(&community.dir.path().join("key-3"));
    let new = community.start_with(3, &["--join", "--keep-batches", "0"]).await;
    has_all(&new, 1, sequence).await;
    assert!(new.log().contains("far behind: going on from the certified state"), "it replayed batches");
    let payment = community.payment(3, 4, 0);
    assert_eq!(servers[0].submit(std::slice::from_ref(&payment)).await.0, 200);
    new.is_final(&payment.payment.id(&community.community()).to_string()).await;
    for server in servers.iter().chain([&back, &new]) {
        let (_, evidence) = server.ask("/v1/evidence").await;
        assert_eq!(evidence["evidence"].as_array().map(Vec::len), Some(0), "an honest server framed itself");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_while_it_takes_a_snapshot_over_a_server_still_comes_back() {
    let community = Community::found(61, 3, "1s").await;
    let mut servers = community.start_all_with(&FORGETFUL).await;
    servers[0].certified_after(0).await;
    let mut sequence = 0;
    for round in 0..4_u32 {
        let before = height(&servers[2]).await;
        servers.pop().expect("three").kill();
        forget_up_to(&community, &servers, 1, &mut sequence, before).await;
        for kill in 0..4_u32 {
            let back = community.start_with(2, &FORGETFUL).await;
            tokio::time::sleep(Duration::from_millis(u64::from(150 * kill + 90 * round))).await;
            back.kill();
        }
        let back = community.start_with(2, &FORGETFUL).await;
        has_all(&back, 1, sequence).await;
        is_active(&back).await;
        servers.push(back);
    }
    agree(&[&servers[0], &servers[1], &servers[2]]).await;
    assert!(community.log_of(2).contains("far behind: going on from the certified state"));
    for server in &servers {
        let (_, evidence) = server.ask("/v1/evidence").await;
        assert_eq!(evidence["evidence"].as_array().map(Vec::len), Some(0), "an honest server framed itself");
    }
}

/// Answers what it is asked with statements that nobody signed.
async fn lie(community: &Community, to: &Server, certificate: Certificate, stop: &CancellationToken) {
    let listen = "127.66.62.90:0".parse().expect("an address");
    let servers = community.genesis.servers.keys().collect();
    let settings = MeshSettings::new(MeshSecret::Ephemeral([9; 32]), listen, community.community(), servers);
    let (mesh, mut events) = seedbank_mesh::spawn(settings, stop.clone()).await.expect("a free port");
    let addresses = fs::read(community.home(2).join("addresses.json")).expect("it runs");
    let addresses: serde_json::Value = serde_json::from_slice(&addresses).expect("whole");
    mesh.dial_multiaddr(addresses["mesh"].as_str().expect("a text")).await.expect("an address");
    assert!(to.log().contains("starts at height"));
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let MeshEvent::Request { request, reply, .. } = event else { continue };
            let answer = match request {
                Request::Checkpoint(_) => {
                    let mut forged = certificate.clone();
                    forged.checkpoint.epoch.0 += 1_000;
                    forged.checkpoint.height.0 += 100_000;
                    Response::Checkpoint(Some(forged))
                }
                Request::Handovers { .. } => Response::Handovers(Vec::new()),
                _ => Response::Batches(Vec::new()),
            };
            let _gone = reply.send(answer).await;
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_lies_about_the_newest_state_is_not_believed_and_others_are_asked() {
    let community = Community::found(62, 3, "1s").await;
    let mut servers = community.start_all_with(&FORGETFUL).await;
    servers[0].certified_after(0).await;
    let before = height(&servers[2]).await;
    servers.pop().expect("three").kill();
    let mut sequence = 0;
    forget_up_to(&community, &servers, 1, &mut sequence, before + 5).await;
    let found = community.dht[1].record(community.secret(0).public()).await.expect("a DHT").expect("a record");
    let record = seedbank_types::ServerRecord::decode(&found.value).expect("a server's");

    // The others stop for a moment, so that the liar is there first; then they give the truth.
    let back = community.start_with(2, &FORGETFUL).await;
    let stop = CancellationToken::new();
    lie(&community, &back, record.certificate, &stop).await;
    has_all(&back, 1, sequence).await;
    is_active(&back).await;
    agree(&[&servers[0], &back]).await;
    stop.cancel();
}
