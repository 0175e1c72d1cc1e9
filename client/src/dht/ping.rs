//! `seedbank dht ping`: whether a node is there.
use std::net::SocketAddr;

use seedbank_dht::{DhtError, DhtHandle, Pong};
use serde_json::{Value, json};

use super::ask::{STAYS_NEXT, Way, check_host_and_port, resolve, stays_on_loopback};
use super::flags::PingFlags;
use super::value;
use crate::errors::Failure;
use crate::network::dht_failure;
use crate::report::Answer;
use crate::settings::Settings;

/// Datagrams get lost.
const TRIES: u32 = 3;

pub(super) async fn run(settings: &Settings, hosts: Vec<String>, flags: &PingFlags) -> Result<Answer, Failure> {
    check_host_and_port("the address", &flags.address)?;
    let stays = stays_on_loopback(settings, hosts)?;
    let address = resolve(&flags.address, stays == Some(true)).await?;
    let asker = Way::to(settings, address, stays.unwrap_or(address.ip().is_loopback()))?.start().await?;
    match ping(&asker.dht, address).await {
        Ok(pong) => Ok(Answer::new(words(address, &pong), json(address, &pong))),
        Err(error) => Err(failure(&error)),
    }
}

/// Asks until there is an answer, but not for ever.
pub(super) async fn ping(dht: &DhtHandle, address: SocketAddr) -> Result<Pong, DhtError> {
    for _ in 1..TRIES {
        match dht.ping(address).await {
            Err(DhtError::NoAnswer(_)) => {}
            answer => return answer,
        }
    }
    dht.ping(address).await
}

fn failure(error: &DhtError) -> Failure {
    let next = match error {
        DhtError::NoAnswer(_) => {
            "Check that the program there runs and takes part in the DHT (light clients only ask), its UDP port, and the firewalls between."
        }
        DhtError::LeavesLoopback { .. } => STAYS_NEXT,
        _ => return dht_failure(error),
    };
    Failure { next: next.to_owned(), ..dht_failure(error) }
}

/// Whether other nodes trust the id (BEP42).
fn follows(address: SocketAddr, pong: &Pong) -> bool {
    pong.id.follows_from(address.ip())
}

pub(super) fn json(address: SocketAddr, pong: &Pong) -> Value {
    json!({
        "address": address.to_string(),
        "id": pong.id.to_string(),
        "id_follows_from_address": follows(address, pong),
        "version": pong.version.as_deref().and_then(value::version),
        "version_hex": pong.version.as_deref().map(hex::encode),
        "rtt_ms": milliseconds(pong),
        "sees_us": pong.seen.map(|seen| seen.to_string()),
    })
}

fn words(address: SocketAddr, pong: &Pong) -> String {
    let mut lines = vec![format!("address    {address}"), format!("id         {}", pong.id)];
    if !follows(address, pong) {
        lines.push("           it does not follow from the address (BEP42): many nodes prefer others".to_owned());
    }
    lines.push(format!("version    {}", version(pong)));
    lines.push(format!("answer     after {} ms", milliseconds(pong)));
    lines.push(format!("sees us    {}", sees_us(pong)));
    lines.join("\n")
}

pub(super) fn version(pong: &Pong) -> String {
    match &pong.version {
        None => "not said".to_owned(),
        Some(raw) => value::version(raw).unwrap_or_else(|| format!("0x{}", hex::encode(raw))),
    }
}

pub(super) fn sees_us(pong: &Pong) -> String {
    pong.seen.map_or_else(|| "not said".to_owned(), |seen| format!("at {seen}"))
}

/// To a hundredth.
pub(super) fn milliseconds(pong: &Pong) -> f64 {
    (pong.rtt.as_secs_f64() * 100_000.0).round() / 100.0
}
