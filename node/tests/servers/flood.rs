//! Peers that flood the servers with payments, and an honest one beside them.
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seedbank_mesh::{
    MeshEvent, MeshHandle, MeshSecret, MeshSettings, PaymentBundle, PeerRef, Request, RequestRefusal, Response, Topic,
};
use seedbank_types::{Amount, CommunityId, Epoch, Payment, PaymentState, ServerKey, SignedPayment};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::common::{Community, Server, account, address, eventually};

/// Payments that a flooder repeats.
const REQUEST_PAYMENTS: usize = 500;
/// Flooding peers that are connected at once.
const FLOODERS: u8 = 3;
/// So many of them in one request.
const ASKED_PAYMENTS: usize = 100;
/// Requests that each of them has under way.
const REQUESTS: usize = 4;
/// So many payments the honest client makes, one after the other.
const HONEST: u64 = 6;
/// An honest payment is final within this time, on a machine that runs other tests too.
const FINAL_WITHIN: Duration = Duration::from_secs(8);

/// What a flood did.
#[derive(Debug, Default)]
struct Tally {
    offered: AtomicU64,
    taken: AtomicU64,
    told_later: AtomicU64,
    lost: AtomicU64,
}

/// Payments that cost a server most, and are of least use.
fn flood(community: &Community, kind: &str) -> Vec<Vec<SignedPayment>> {
    let signed = |sequence, fee| {
        let payment = Payment {
            payer_key: account(1).public().to_bytes(),
            payee: address(2).0,
            amount: Amount(1),
            fee: Amount(fee),
            sequence,
            expires: Epoch(1_000),
            memo: vec![],
        };
        payment.sign(&community.community(), &account(1))
    };
    let all: Vec<SignedPayment> = match kind {
        "tiny" => (0..2_000).map(|sequence| signed(sequence, 1)).collect(),
        "unusable" => (1..2_000).map(|sequence| signed(sequence, 50)).collect(),
        _ => (0..2_000_u64)
            .map(|sequence| {
                let mut forged = signed(sequence % 50, 1);
                forged.payment.amount = Amount(sequence + 2);
                forged
            })
            .collect(),
    };
    all.chunks(REQUEST_PAYMENTS).map(<[SignedPayment]>::to_vec).collect()
}

/// A stranger on the mesh, with a key that it gives up when it is shut out.
struct Stranger {
    mesh: MeshHandle,
    events: mpsc::Receiver<MeshEvent>,
    _stop: DropGuard,
}

impl Stranger {
    async fn connect(community: CommunityId, servers: &[(ServerKey, String)], net: u8, host: u8, life: u8) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::new(127, 66, net, host), 0));
        let keys = servers.iter().map(|(key, _)| *key).collect();
        let mut secret = [life; 32];
        secret[0] = host;
        let settings = MeshSettings::new(MeshSecret::Ephemeral(secret), listen, community, keys);
        let stop = CancellationToken::new();
        let (mesh, events) = seedbank_mesh::spawn(settings, stop.clone()).await.expect("a free port");
        for (_, address) in servers {
            mesh.dial_multiaddr(address).await.expect("it runs");
        }
        Self { mesh, events, _stop: stop.drop_guard() }
    }

    /// Asks and speaks for as long as it is heard.
    async fn pour(mut self, servers: &[(ServerKey, String)], flood: &[Vec<SignedPayment>], tally: &Tally, from: usize) {
        let born = Instant::now();
        for turn in from.. {
            let (server, payments) = (&servers[turn % servers.len()].0, flood[turn % flood.len()].clone());
            let bundle =
                PaymentBundle { payments: payments[..300].to_vec(), stamps: vec![] }.encode().expect("300 fit");
            let _nobody_may_hear = self.mesh.publish(Topic::Payments, bundle).await;
            while self.events.try_recv().is_ok() {}
            let peer = PeerRef::of_server(server);
            // Fewer than in a bundle, or bundles would take all that the address is allowed.
            let few = &payments[..ASKED_PAYMENTS];
            let asks = (0..REQUESTS).map(|_| self.mesh.request(peer, Request::SubmitPayments(few.to_vec())));
            for answer in futures_of(asks).await {
                tally.offered.fetch_add(few.len() as u64, Ordering::Relaxed);
                match answer {
                    Ok(Response::Submitted(states)) => {
                        let taken = states.iter().filter(|state| !matches!(state, PaymentState::Refused(_))).count();
                        tally.taken.fetch_add(taken as u64, Ordering::Relaxed);
                    }
                    Ok(Response::Refused(RequestRefusal::Later { .. })) => {
                        tally.told_later.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(_) => {}
                    Err(_) => {
                        tally.lost.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        if born.elapsed() > Duration::from_secs(1) && self.mesh.peers().is_empty() {
                            return;
                        }
                    }
                }
            }
        }
    }
}

async fn futures_of<F: Future<Output: Send + 'static> + Send>(asks: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut answers = Vec::new();
    for ask in asks {
        answers.push(ask.await);
    }
    answers
}

async fn mesh_addresses(community: &Community, count: u8) -> Vec<(ServerKey, String)> {
    let read = |number| {
        let text = fs::read(community.home(number).join("addresses.json")).expect("it runs");
        let addresses: Value = serde_json::from_slice(&text).expect("JSON");
        (community.secret(number).public(), addresses["mesh"].as_str().expect("text").to_owned())
    };
    (0..count).map(read).collect()
}

/// How long each of the honest payments took to be final. They come from another address than the flood.
async fn honest(net: u8, community: &Community, servers: &[Server]) -> Vec<Duration> {
    let address = IpAddr::from([127, 66, net, 202]);
    let http = reqwest::Client::builder().no_proxy().local_address(address).build().expect("a client");
    let mut times = Vec::new();
    for sequence in 0..HONEST {
        let start = Instant::now();
        let payment = community.payment(5, 6, sequence);
        let server = &servers[usize::try_from(sequence).expect("few") % servers.len()];
        let (status, answer) = server.submit_by(&http, std::slice::from_ref(&payment)).await;
        assert_eq!(status, 200, "{answer}");
        server.is_final(&payment.payment.id(&community.community()).to_string()).await;
        times.push(start.elapsed());
    }
    times
}

/// Floods three servers and pays beside it; `config` is added to each server's configuration file.
async fn an_honest_client_is_served(net: u8, kind: &'static str, config: &str) -> Arc<Tally> {
    let community = Community::found(net, 3, "1s").await;
    for number in 0..3 {
        fs::create_dir_all(community.home(number)).expect("writable");
        fs::write(community.home(number).join("config.toml"), config).expect("writable");
    }
    let servers = community.start_all().await;
    let (addresses, flood) = (Arc::new(mesh_addresses(&community, 3).await), Arc::new(flood(&community, kind)));
    let (tally, lives) = (Arc::new(Tally::default()), Arc::new(AtomicU8::new(0)));
    let id = community.community();
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|number| {
            let (addresses, flood, tally, lives) =
                (Arc::clone(&addresses), Arc::clone(&flood), Arc::clone(&tally), Arc::clone(&lives));
            tokio::spawn(async move {
                loop {
                    let life = lives.fetch_add(1, Ordering::Relaxed);
                    let stranger = Stranger::connect(id, &addresses, net, 201, life).await;
                    stranger.pour(&addresses, &flood, &tally, usize::from(number)).await;
                }
            })
        })
        .collect();
    eventually("the flood comes", async || (tally.offered.load(Ordering::Relaxed) > 20_000).then_some(())).await;
    let times = honest(net, &community, &servers).await;
    eprintln!("{kind}: honest payments final after {times:?}; {tally:?}");
    assert!(flooders.iter().all(|flooder| !flooder.is_finished()), "the flood goes on");
    flooders.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(times.iter().all(|time| *time < FINAL_WITHIN), "{kind}: {times:?}");
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_payments_hold_nobody_up() {
    let tally = an_honest_client_is_served(51, "forged", "peer-payments = 500").await;
    assert_eq!(tally.taken.load(Ordering::Relaxed), 0);
    assert!(tally.told_later.load(Ordering::Relaxed) > 0, "they are told to come later");
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_payments_of_one_account_hold_nobody_up() {
    let tally = an_honest_client_is_served(52, "tiny", "peer-payments = 500").await;
    assert!(tally.taken.load(Ordering::Relaxed) > 0, "they are good payments");
    assert!(tally.told_later.load(Ordering::Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_out_of_turn_hold_nobody_up_even_where_peers_may_hand_in_without_limit() {
    let tally = an_honest_client_is_served(53, "unusable", "peer-payments = 1000000").await;
    assert!(tally.taken.load(Ordering::Relaxed) > 0, "some wait for the one that is missing");
}
