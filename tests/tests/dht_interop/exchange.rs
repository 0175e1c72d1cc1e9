//! One node of ours and one of theirs put and get items and find each other's peers.
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_dht::{DhtHandle, Item, MutableItem};
use seedbank_types::{InfoHash, ServerSecret};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::Ours;
use crate::program::Program;

/// An announcement of libtorrent is not confirmed to the script.
const PEERS_LIMIT: Duration = Duration::from_secs(10);
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// Everything, in both directions.
pub(crate) async fn exchange(us: &Ours, them: &mut Program) -> Result<()> {
    immutable_items(us, them).await.context("immutable")?;
    for salt in [&b""[..], b"some salt"] {
        let salted = || format!("mutable, salt {:?}", salt.escape_ascii().to_string());
        mutable_items(us, them, salt).await.with_context(salted)?;
    }
    peers(us, them).await.context("peers")
}

async fn immutable_items(us: &Ours, them: &mut Program) -> Result<()> {
    // The last one is as long as can be.
    for value in [&b"7:from us"[..], b"d1:ai-1e1:bl1:x0:ee", &[b"996:", &[b'u'; 996][..]].concat()] {
        let item = Item::Immutable { value: value.to_vec() };
        us.server.put(item.clone(), None).await?;
        expect(&their_get(them, &item).await?, value, None)?;
    }
    for value in [&b"9:from them"[..], b"i7e", &[b"996:", &[b't'; 996][..]].concat()] {
        let stored = them.ask(&json!({"do": "put", "value": hex::encode(value)})).await?;
        ensure!(stored["stored"].as_u64() > Some(0), "they stored nothing: {stored}");
        let item = Item::Immutable { value: value.to_vec() };
        ensure!(our_get(us, &item).await.as_ref() == Some(&item), "we do not find their {}", value.escape_ascii());
    }
    Ok(())
}

/// One item under three numbers: ours, theirs, ours again.
async fn mutable_items(us: &Ours, them: &mut Program, salt: &[u8]) -> Result<()> {
    let secret = ServerSecret::from_bytes(&[7; 32]);
    let sign = |seq, value: &[u8]| Item::Mutable(MutableItem::sign(&secret, salt.to_vec(), seq, value.to_vec()));
    let (first, second) = (sign(1, b"5:first"), sign(2, b"6:second"));
    us.server.put(first.clone(), None).await?;
    expect(&their_get(them, &first).await?, first.value(), Some(1))?;

    let put = json!({"do": "put", "value": hex::encode(second.value()), "secret": hex::encode([7; 32]),
        "key": hex::encode(secret.public().0), "salt": hex::encode(salt), "seq": 2});
    let stored = them.ask(&put).await?;
    ensure!(stored["stored"].as_u64() > Some(0), "they stored nothing: {stored}");
    ensure!(our_get(us, &second).await.as_ref() == Some(&second), "we do not find theirs");

    ensure!(us.server.put(first, None).await.is_err(), "an older number than theirs is stored");
    // The value of BEP46: a torrent that can change.
    let third = sign(3, b"d2:ih20:....................e");
    us.server.put(third.clone(), Some(2)).await?;
    expect(&their_get(them, &third).await?, third.value(), Some(3))
}

async fn their_get(them: &mut Program, item: &Item) -> Result<Value> {
    let mut command = json!({"do": "get", "target": item.target().to_string()});
    if let Item::Mutable(item) = item {
        command["key"] = json!(hex::encode(item.key.0));
        command["salt"] = json!(hex::encode(&item.salt));
    }
    them.ask(&command).await
}

/// The last, thus the best, of what we find.
async fn our_get(us: &Ours, item: &Item) -> Option<Item> {
    let salt = if let Item::Mutable(item) = item { item.salt.clone() } else { vec![] };
    let mut found = us.reader.get(item.target(), salt);
    let mut best = None;
    while let Some(item) = found.recv().await {
        best = Some(item);
    }
    best
}

fn expect(found: &Value, value: &[u8], seq: Option<i64>) -> Result<()> {
    ensure!(found["value"] == json!(hex::encode(value)), "they find {found}, not {}", value.escape_ascii());
    ensure!(seq.is_none() || found["seq"].as_i64() == seq, "they find {found}, not number {seq:?}");
    Ok(())
}

async fn peers(us: &Ours, them: &mut Program) -> Result<()> {
    let info_hash = InfoHash([0x5a; 20]);
    let ours = SocketAddr::new(us.server.local_address().ip(), 2001);
    let theirs = SocketAddr::new(them.address().ip(), 2002);
    let announcement = us.server.announce(info_hash, ours.port());
    ensure!(announcement.announced().await, "our node has stopped");
    them.ask(&json!({"do": "announce", "info_hash": hex::encode(info_hash.0), "port": theirs.port()})).await?;
    let deadline = Instant::now() + PEERS_LIMIT;
    loop {
        let found = them.ask(&json!({"do": "peers", "info_hash": hex::encode(info_hash.0)})).await?;
        let they = found["peers"].as_array().is_some_and(|peers| peers.contains(&json!(ours.to_string())));
        let we = our_peers(&us.reader, info_hash).await.contains(&theirs);
        if they && we {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "we find them: {we}; they find us: {they}, but {found}");
        sleep(POLL_PAUSE).await;
    }
}

/// All who have announced it, as far as this node of ours finds them.
pub(crate) async fn our_peers(us: &DhtHandle, info_hash: InfoHash) -> Vec<SocketAddr> {
    let mut found = us.peers(info_hash);
    let mut peers = vec![];
    while let Some(peer) = found.recv().await {
        peers.push(peer);
    }
    peers
}
