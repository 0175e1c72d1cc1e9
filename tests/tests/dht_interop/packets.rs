//! What a node of ours answers to packets, whatever the length of their transaction id.
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use seedbank_types::ServerSecret;

use crate::prober::{Prober, Signed, after, compact, entry, sha1, string, token};
use crate::{NET_NODES, Net};

/// One prober for each length of a transaction id, all against the same node.
async fn probers(net: &Net) -> Result<Vec<Prober>> {
    let mut probers = vec![];
    for (number, transaction) in [(111, &b"a"[..]), (112, b"\0\xff"), (113, b"four"), (114, b"0123456789abcdef")] {
        probers.push(Prober::new((net.ip(number), 0).into(), net.entry(0), transaction).await?);
    }
    Ok(probers)
}

#[tokio::test]
async fn every_query_is_answered_whatever_the_length_of_its_transaction_id() -> Result<()> {
    let net = Net::start([127, 67], NET_NODES).await?;
    for prober in probers(&net).await? {
        prober.response("ping", b"").await?;
        let target = entry("target", &[3; 20]);
        let nodes = prober.response("find_node", &target).await?;
        ensure!(after(&nodes, b"5:nodes208:").is_some(), "not eight nodes: {}", nodes.escape_ascii());
        let asked = entry("info_hash", &[3; 20]);
        let found = token(&prober.response("get_peers", &asked).await?)?;
        let said = [&asked[..], b"4:porti9e", &entry("token", &found)].concat();
        prober.response("announce_peer", &said).await?;
        let implied = [b"12:implied_porti1e", &said[..]].concat();
        prober.response("announce_peer", &implied).await?;
        let peers = prober.response("get_peers", &asked).await?;
        for port in [9, prober.address()?.port()] {
            let peer = string(&compact(&SocketAddr::new(prober.address()?.ip(), port)));
            ensure!(after(&peers, &peer).is_some(), "port {port} is missing: {}", peers.escape_ascii());
        }
    }
    Ok(())
}

#[tokio::test]
async fn items_are_stored_and_given_whatever_the_length_of_the_transaction_id() -> Result<()> {
    let net = Net::start([127, 68], NET_NODES).await?;
    let secret = ServerSecret::from_bytes(&[9; 32]);
    for (number, prober) in probers(&net).await?.iter().enumerate() {
        let value = string(format!("value of {number}").as_bytes());
        let target = entry("target", &sha1(&value));
        let found = token(&prober.response("get", &target).await?)?;
        prober.response("put", &[&entry("token", &found), &b"1:v"[..], &value].concat()).await?;
        let answer = prober.response("get", &target).await?;
        ensure!(after(&answer, &[b"1:v", &value[..]].concat()).is_some(), "{}", answer.escape_ascii());

        let salt = [b's'; 64];
        let item = Signed { secret: &secret, salt: &salt[number..], seq: 3, value: b"d1:bi1e2:cci2ee" };
        let target = entry("target", &item.target());
        let found = token(&prober.response("get", &target).await?)?;
        prober.response("put", &item.arguments(&found)).await?;
        let answer = prober.response("get", &target).await?;
        for part in [&entry("k", &secret.public().0)[..], b"3:seqi3e", b"1:vd1:bi1e2:cci2ee"] {
            ensure!(after(&answer, part).is_some(), "no {}: {}", part.escape_ascii(), answer.escape_ascii());
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_refused_gets_the_error_of_its_bep() -> Result<()> {
    let net = Net::start([127, 69], NET_NODES).await?;
    let prober = Prober::new((net.ip(111), 0).into(), net.entry(0), b"tt").await?;
    let secret = ServerSecret::from_bytes(&[9; 32]);
    let item = Signed { secret: &secret, salt: b"s", seq: 5, value: b"1:x" };
    let found = token(&prober.response("get", &entry("target", &item.target())).await?)?;
    prober.response("put", &item.arguments(&found)).await?;

    let changed = |item: Signed<'_>| item.arguments(&found);
    let older = changed(Signed { seq: 4, ..item });
    let other = changed(Signed { value: b"1:y", ..item });
    let mut forged = changed(Signed { seq: 6, ..item });
    forged.truncate(forged.len() - 3);
    forged.extend(b"1:z");
    let swapped = [&b"3:casi4e"[..], &changed(Signed { seq: 6, ..item })].concat();
    let large = string(&[b'v'; 1001]);
    let large = changed(Signed { seq: 6, value: &large, ..item });
    let salt = changed(Signed { salt: &[b's'; 65], ..item });
    let negative = changed(Signed { seq: -1, ..item });
    let token = entry("token", b"made up");
    let announced = [&entry("info_hash", &[3; 20]), &b"4:porti9e"[..], &token].concat();
    let errors = [
        ("put", older, 302),
        ("put", other, 302),
        ("put", forged, 206),
        ("put", swapped, 301),
        ("put", large, 205),
        ("put", salt, 207),
        ("put", negative, 203),
        ("put", item.arguments(b"made up"), 203),
        ("announce_peer", announced, 203),
        ("find_node", entry("target", b"short"), 203),
        ("unheard_of", vec![], 204),
    ];
    for (method, arguments, expected) in errors {
        let error = prober.error(method, &arguments).await?;
        ensure!(error == expected, "{method} {} gets {error}, not {expected}", arguments.escape_ascii());
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_id_that_is_too_long_to_echo_gets_no_answer() -> Result<()> {
    let net = Net::start([127, 70], 2).await?;
    let prober = Prober::new((net.ip(111), 0).into(), net.entry(0), &[b't'; 17]).await?;
    prober.send("ping", b"").await?;
    ensure!(prober.stays_without_answer().await);
    Ok(())
}
