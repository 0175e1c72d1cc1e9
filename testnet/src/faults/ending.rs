//! What every server holds when all is healed.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use seedbank_types::Address;
use tokio::time::{Instant, sleep};

use crate::bank::{Ending, History, Place, ServerEnd};
use crate::server::Server;
use crate::testnet::{Testnet, in_time};

/// So long the last server may take to come to the height of the others, once nobody pays.
const LEVEL_LIMIT: Duration = Duration::from_secs(30);
const POLL_PAUSE: Duration = Duration::from_millis(100);
const QUESTIONS_AT_ONCE: usize = 8;

pub(super) async fn take(testnet: &Testnet, history: &History) -> Result<Ending> {
    let deadline = Instant::now() + LEVEL_LIMIT;
    loop {
        let mut servers = Vec::new();
        for server in testnet.servers() {
            servers.push(one(server, history).await?);
        }
        let epochs: Vec<u64> = servers.iter().map(|server| server.checkpoint.0).collect();
        // An epoch may end between the questions.
        if epochs.iter().all(|epoch| *epoch == epochs[0]) {
            return Ok(Ending { servers });
        }
        in_time(deadline, &format!("the servers did not come to one epoch: {epochs:?}"))?;
        sleep(POLL_PAUSE).await;
    }
}

async fn one(server: &Server, history: &History) -> Result<ServerEnd> {
    let api = server.api();
    let places = stream::iter(history.transfers().map(|transfer| transfer.id))
        .map(|id| async move {
            let place = api.payment(&id).await?.and_then(|answer| answer.place());
            anyhow::Ok(place.map(|(height, header)| (id, Place { height, header })))
        })
        .buffer_unordered(QUESTIONS_AT_ONCE);
    let places: Vec<_> = places.try_collect().await?;
    let mut accounts = BTreeMap::new();
    for id in history.opening.balances.keys() {
        if let Some(account) = api.account(&Address(*id)).await? {
            accounts.insert(*id, (account.minor_units()?, account.sequence));
        }
    }
    let newest = api.checkpoint().await?.context("epochs were certified")?;
    Ok(ServerEnd {
        name: server.name(),
        supply: api.status().await?.supply.parse()?,
        accounts,
        places: places.into_iter().flatten().collect(),
        checkpoint: (newest.epoch, newest.hash),
    })
}
