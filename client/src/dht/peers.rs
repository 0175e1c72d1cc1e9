//! `seedbank dht peers`: who announced an infohash.
use std::net::SocketAddr;
use std::time::Instant;

use seedbank_types::InfoHash;
use serde_json::json;

use super::ask::{Asker, Way};
use super::flags::PeersFlags;
use crate::errors::Failure;
use crate::report::Answer;
use crate::settings::Settings;

pub(super) async fn run(settings: &Settings, way: &Way, flags: &PeersFlags) -> Result<Answer, Failure> {
    let info_hash: InfoHash = flags.info_hash.parse().map_err(|error: seedbank_types::HexError| {
        Failure::usage(error, "Give the infohash as 40 hex digits, as in a magnet link after `urn:btih:`.")
    })?;
    let (asker, started) = (way.start().await?, Instant::now());
    let found = find(&asker, info_hash, |peer| settings.voice.say(&peer.to_string())).await;
    settings.voice.aside(&format!("{} peers in {} ms", found.len(), started.elapsed().as_millis()));
    let nobody = format!("nobody has announced {info_hash} in the last half an hour");
    let failure = match found.is_empty() {
        true => Some(asker.nothing(&nobody, "Check the infohash, and that a program seeds it in this DHT.").await),
        false => None,
    };
    let peers: Vec<_> = found.iter().map(ToString::to_string).collect();
    let json = json!({ "infohash": info_hash.to_string(), "peers": peers });
    Ok(Answer::new(String::new(), json).with(failure))
}

/// All peers, each told as it is found.
pub(super) async fn find(asker: &Asker, info_hash: InfoHash, tell: impl Fn(&SocketAddr)) -> Vec<SocketAddr> {
    let (mut coming, mut found) = (asker.dht.peers(info_hash), Vec::new());
    while let Some(peer) = coming.recv().await {
        tell(&peer);
        found.push(peer);
    }
    found
}
