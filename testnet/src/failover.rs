//! How long nobody's payments become final when the server that proposes is killed under load.
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::join_all;
use seedbank_mesh::{PeerRef, Request, Response};
use seedbank_types::{Height, ServerKey, SignedPayment};
use tokio::time::{Instant, sleep};

use crate::bench::connection::Connection;
use crate::payments::{MadePayment, Payments, is_final};
use crate::testnet::{Testnet, in_time};

/// Payments that are handed in together, and how often.
const PART: u32 = 10;
const PART_PAUSE: Duration = Duration::from_millis(20);
/// So long payments flow before a kill.
const WARM_UP: Duration = Duration::from_secs(2);
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
const RETURN_LIMIT: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// Kills the proposer once (kill -9), starts it again in the end, and gives the time from its death until a
/// payment was final that was made after it.
pub async fn kill_proposer(testnet: &mut Testnet, payments: &mut Payments) -> Result<Duration> {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        hand_in(testnet, payments).await?;
        sleep(PART_PAUSE).await;
    }
    let proposer = proposer(testnet).await?;
    let victim = testnet.servers().iter().position(|server| server.key() == proposer);
    let victim = victim.context("the proposer is a server of this testnet")?;
    testnet.servers_mut()[victim].kill().await?;
    let took = final_again(testnet, payments).await?;
    testnet.servers_mut()[victim].restart().await?;
    returned(testnet, victim).await?;
    Ok(took)
}

/// Goes on paying until a payment is final.
async fn final_again(testnet: &Testnet, payments: &mut Payments) -> Result<Duration> {
    let killed = Instant::now();
    let first = hand_in(testnet, payments).await?;
    let first = first.first().context("payments were made")?;
    while !is_final(testnet, &first.id).await? {
        in_time(killed + RECOVERY_LIMIT, "no payment became final after the proposer's death")?;
        hand_in(testnet, payments).await?;
        sleep(PART_PAUSE).await;
    }
    Ok(killed.elapsed())
}

/// Makes some payments and hands them to every server that runs.
async fn hand_in(testnet: &Testnet, payments: &mut Payments) -> Result<Vec<MadePayment>> {
    let running: Vec<_> = testnet.servers().iter().filter(|server| server.is_running()).collect();
    let open = running.first().context("all servers are dead")?.api().status().await?.open_epoch;
    let made = payments.make(testnet.accounts(), open, PART)?;
    let signed: Vec<SignedPayment> = made.iter().map(|one| one.signed.clone()).collect();
    for answers in join_all(running.iter().map(|server| server.api().submit(&signed))).await {
        for answer in answers? {
            ensure!(answer.refusal.is_none(), "payment {} was refused: {:?}", answer.id, answer.refusal);
        }
    }
    Ok(made)
}

/// Who proposed the newest batch, and so leads the next height.
async fn proposer(testnet: &Testnet) -> Result<ServerKey> {
    let connection = Connection::open(testnet).await?;
    let server = &testnet.servers()[0];
    let from = Height(server.api().status().await?.height);
    match connection.mesh.request(PeerRef::of_server(&server.key()), Request::Batches { from, max: 1 }).await? {
        Response::Batches(batches) => Ok(batches.first().context("the server has its own batch")?.header.proposer),
        other => bail!("{} answered {other:?}", server.name()),
    }
}

/// Waits until the server votes again and all hear each other.
async fn returned(testnet: &mut Testnet, victim: usize) -> Result<()> {
    let deadline = Instant::now() + RETURN_LIMIT;
    loop {
        let status = testnet.servers()[victim].api().status().await?;
        if status.state == "active" && status.servers.connected == status.servers.total {
            return Ok(());
        }
        in_time(deadline, "the server that was killed did not come back")?;
        sleep(POLL_PAUSE).await;
    }
}
