//! A key that signs two checkpoints of one epoch, and what honest servers do about it.
use std::net::{Ipv4Addr, SocketAddr};

use seedbank_mesh::{MeshHandle, MeshSecret, MeshSettings, Topic};
use seedbank_types::{Certificate, Checkpoint, Evidence, Hash, ServerSecret, Writer};
use tokio_util::sync::CancellationToken;

use crate::common::{Community, Server, eventually};

/// The evidence that a server serves.
async fn served(server: &Server) -> Vec<Evidence> {
    let (_, answer) = server.ask("/v1/evidence").await;
    let all = answer["evidence"].as_array().expect("a list").clone();
    let bytes = all.iter().map(|one| hex::decode(one["evidence"].as_str().expect("a text")).expect("hex"));
    bytes.map(|bytes| Evidence::decode(&bytes).expect("evidence")).collect()
}

/// A message with a signed checkpoint, by docs/protocol.md, section 20.
fn signed(secret: &ServerSecret, checkpoint: &Checkpoint) -> Vec<u8> {
    let writer = Writer::default().u8(1).u8(6).bytes(&secret.public().0).bytes(&checkpoint.encode());
    writer.bytes(&checkpoint.sign(secret).0).finish()
}

/// Says two checkpoints of the newest epoch that the server has certified.
async fn lie(mesh: &MeshHandle, secret: &ServerSecret, server: &Server) {
    let (_, newest) = server.ask("/v1/checkpoint").await;
    let bytes = hex::decode(newest["certificate"].as_str().expect("a text")).expect("hex");
    let checkpoint = Certificate::decode(&bytes).expect("a certificate").checkpoint;
    let other = Checkpoint { root: Hash([7; 32]), ..checkpoint.clone() };
    for checkpoint in [checkpoint, other] {
        mesh.publish(Topic::Checkpoints, signed(secret, &checkpoint)).await.expect("it runs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_signer_is_proven_to_all_servers_also_to_one_that_comes_later_or_again() {
    let community = Community::found(41, 5, "1s").await;
    let mut servers = Vec::new();
    for number in 0..3 {
        servers.push(community.start(number).await);
    }
    servers[0].certified_after(0).await;
    let (secret, stop) = (community.secret(4), CancellationToken::new());
    let listen = SocketAddr::from((Ipv4Addr::new(127, 66, 41, 5), 0));
    let keys = community.genesis.servers.keys().collect();
    let settings = MeshSettings::new(MeshSecret::Server(secret.clone()), listen, community.community(), keys);
    let (mesh, mut heard) = seedbank_mesh::spawn(settings, stop.clone()).await.expect("a free port");
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let address = servers[0].status().await["mesh"][0].as_str().expect("a text").to_owned();
    mesh.dial_multiaddr(&address).await.expect("an address");
    eventually("the liar is caught", async || {
        lie(&mesh, &secret, &servers[0]).await;
        (!served(&servers[0]).await.is_empty()).then_some(())
    })
    .await;
    stop.cancel();
    servers.push(community.start(3).await);
    servers.remove(2).kill();
    servers.push(community.start(2).await);
    for server in &servers {
        eventually("every server has the proof", async || (!served(server).await.is_empty()).then_some(())).await;
        for evidence in served(server).await {
            assert_eq!((evidence.key, evidence.verify()), (secret.public(), Ok(())));
        }
        let status = server.status().await;
        assert_eq!(status["double_signers"][0]["server"], secret.public().to_string());
        let said = format!("server {} signed two checkpoints of epoch", secret.public().short());
        eventually("the log says so", async || server.log().contains(&said).then_some(())).await;
    }
    let epoch = servers[0].status().await["certified_epoch"].as_u64().expect("certified before");
    servers[0].certified_after(epoch + 1).await;
}
