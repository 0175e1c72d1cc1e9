//! Following the servers from the set of the trust file to the one in force: each handover is certified by the set
//! before it, so it may come from anybody.
use std::time::Duration;

use seedbank_dht::{DhtHandle, rendezvous};
use seedbank_mesh::{MeshHandle, MeshSecret, MeshSettings, PeerRef, Request, Response};
use seedbank_types::{Contact, Handover, Hash, ServerSet};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::discovery::Records;
use crate::errors::Failure;
use crate::home::Home;
use crate::judge::Judge;
use crate::report;
use crate::settings::Trusted;
use crate::sync::store_conflict;

/// How long peers are looked for and asked.
const ASK_WITHIN: Duration = Duration::from_secs(6);
/// After the first answer the others are waited for so long: they might contradict it.
const OTHERS_WITHIN: Duration = Duration::from_millis(700);
/// After an answer that knows of none, another one is waited for so long.
const BETTER_WITHIN: Duration = Duration::from_secs(2);
/// Peers asked; every one may be anybody.
const PEERS_MAX: usize = 16;
/// Answers hold 256 handovers: nobody has followed more than this many of them.
const ROUNDS_MAX: usize = 16;
/// Keys may have been stolen long after they were given up.
const OLD_MS: u64 = 180 * 24 * 3_600_000;

/// Follows the servers as far as peers can show the way; says whether they have changed.
pub(crate) async fn follow(
    records: &mut Records,
    dht: &DhtHandle,
    home: &Home,
    trusted: &Trusted,
) -> Result<bool, Failure> {
    let before = records.judge().handovers().len();
    for _ in 0..ROUNDS_MAX {
        let known = records.judge().handovers().len();
        let answers = ask(records, dht, trusted).await?;
        let followed = records.follow(&answers, report::now());
        followed.map_err(|conflict| store_conflict(home, records, &conflict))?;
        if records.judge().handovers().len() == known {
            break;
        }
    }
    if let Some(community) = records.judge().community() {
        home.community(community).store_handovers(records.judge().handovers())?;
    }
    Ok(records.judge().handovers().len() > before)
}

/// The handovers from the set in force as it is known here, as peers tell them.
async fn ask(records: &Records, dht: &DhtHandle, trusted: &Trusted) -> Result<Vec<Vec<Handover>>, Failure> {
    let from = records.judge().servers_hash();
    if let Some(url) = &trusted.api {
        return Ok(Api::new(url)?.handovers(from).await.into_iter().collect());
    }
    let Some(community) = records.judge().community().or_else(|| records.claimed_community()) else {
        return Ok(Vec::new());
    };
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(Failure::unexpected)?;
    let listen = std::net::SocketAddr::new(trusted.ip, 0);
    let mut settings = MeshSettings::new(MeshSecret::Ephemeral(secret), listen, community, records.judge().all_keys());
    settings.topics.clear();
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let (mesh, mut events) = seedbank_mesh::spawn(settings, stop).await.map_err(|error| Failure::unexpected(&error))?;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    dial(&mesh, trusted, &records.hinted_contacts()).await;
    let mut peers = dht.peers(rendezvous(&community));
    let dialing = mesh.clone();
    let looking = tokio::spawn(async move {
        while let Some(address) = peers.recv().await {
            if dialing.dial(address).await.is_err() {
                return;
            }
        }
    });
    let answers = ask_peers(&mesh, from).await;
    looking.abort();
    Ok(answers)
}

async fn dial(mesh: &MeshHandle, trusted: &Trusted, contacts: &[Contact]) {
    for contact in contacts {
        let Contact::Mesh(address) = contact else { continue };
        if trusted.ip.is_loopback() && !address.starts_with("/ip4/127.") {
            continue;
        }
        if let Err(error) = mesh.dial_multiaddr(address).await {
            tracing::debug!(address, %error, "a contact in a server's record is not used");
        }
    }
}

/// Asks whoever connects, until one has answered and the others had time to contradict.
async fn ask_peers(mesh: &MeshHandle, from: Hash) -> Vec<Vec<Handover>> {
    let (mut peers, mut asked, mut answers) = (mesh.watch_peers(), Vec::<PeerRef>::new(), Vec::new());
    let mut deadline = Instant::now() + ASK_WITHIN;
    let mut asking = JoinSet::new();
    loop {
        for info in peers.borrow_and_update().iter() {
            if asked.len() < PEERS_MAX && !asked.contains(&info.peer) {
                asked.push(info.peer);
                let (mesh, peer) = (mesh.clone(), info.peer);
                asking.spawn(async move { timeout(ASK_WITHIN, mesh.request(peer, Request::Handovers { from })).await });
            }
        }
        tokio::select! {
            () = sleep_until(deadline) => return answers,
            changed = peers.changed() => if changed.is_err() { return answers },
            Some(answer) = asking.join_next() => {
                if let Ok(Ok(Ok(Response::Handovers(handovers)))) = answer {
                    let others = if handovers.is_empty() { BETTER_WITHIN } else { OTHERS_WITHIN };
                    answers.push(handovers);
                    deadline = deadline.min(Instant::now() + others);
                }
            }
        }
    }
}

/// What people are told of a change: `the servers changed at epoch 12: 1 added (8a88e3dd), 1 removed (ed4928c6)`.
pub(crate) fn words(from: &ServerSet, handover: &Handover) -> String {
    let (next, checkpoint) = (&handover.next, &handover.certificate.checkpoint);
    let shorts = |keys: &[String]| keys.join(", ");
    let missing = |one: &ServerSet, other: &ServerSet| -> Vec<String> {
        one.keys().filter(|key| other.number(key).is_none()).map(|key| key.short()).collect()
    };
    let is_weighted = |key: &seedbank_types::ServerKey, power: u64| {
        next.members().iter().any(|(other, weight)| other == key && *weight != power)
    };
    let weighted = from.members().iter().filter(|(key, power)| is_weighted(key, *power));
    let weighted: Vec<String> = weighted.map(|(key, _)| key.short()).collect();
    let parts = [(missing(next, from), "added"), (missing(from, next), "removed"), (weighted, "with other power")];
    let parts = parts.iter().filter(|(keys, _)| !keys.is_empty());
    let parts: Vec<String> = parts.map(|(keys, what)| format!("{} {what} ({})", keys.len(), shorts(keys))).collect();
    let old_ms = report::now().since(checkpoint.time);
    let caution = if old_ms > OLD_MS {
        format!("; true only if the servers' keys of {} ago were not stolen since", report::age(old_ms))
    } else {
        String::new()
    };
    format!("the servers changed at epoch {}: {}{caution}", checkpoint.epoch, parts.join(", "))
}

/// For scripts: each change that led to the servers in force.
pub(crate) fn json_of(judge: &Judge) -> Vec<Value> {
    let entry = |(from, handover): (&ServerSet, &Handover)| {
        let next = handover.next.members().iter();
        let next: Vec<Value> = next.map(|(key, power)| json!({ "key": key.to_string(), "power": power })).collect();
        let epoch = handover.certificate.checkpoint.epoch.0;
        json!({ "epoch": epoch, "words": words(from, handover), "servers": next })
    };
    judge.changes().map(entry).collect()
}

#[cfg(test)]
mod tests;
