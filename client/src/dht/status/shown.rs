//! The status for people and for scripts. Pure.
use seedbank_dht::NetworkHealth;
use serde_json::{Value, json};

use super::super::{item::Said, ping};
use super::servers::Server;
use super::{Announced, Community, Host, Status};

const MESH_NEXT: &str =
    "No server is found by new ones: check that servers run and that their UDP ports for the DHT are open.";
const TORRENT_NEXT: &str =
    "Nobody can fetch the balances: check that servers run, and let others help with `seedbank seed`.";
const HOST_NEXT: &str =
    "Check that a DHT node runs there; if it has moved, correct the bootstrap lines of the trust file.";

pub(super) fn words(status: &Status) -> String {
    let mut lines: Vec<String> = status.hosts.iter().flat_map(host_lines).collect();
    lines.extend(status.health.networks.iter().flat_map(network_lines));
    let answer = status.health.last_answer_ms;
    lines.push(line("answer", answer.map_or_else(|| "never".to_owned(), |age_ms| format!("last one {age_ms} ms ago"))));
    lines.extend(status.community.iter().flat_map(community_lines));
    lines.join("\n")
}

fn line(label: &str, text: impl std::fmt::Display) -> String {
    format!("{label:<10} {text}")
}

fn next(text: &str) -> String {
    line("", text)
}

fn host_lines(host: &Host) -> Vec<String> {
    match &host.answer {
        Ok((_, pong)) => {
            let (after, version) = (ping::milliseconds(pong), ping::version(pong));
            vec![line("host", format!("{}  {version}, {after} ms, sees us {}", host.name, ping::sees_us(pong)))]
        }
        Err(problem) => vec![line("host", format!("{}  {problem}", host.name)), next(HOST_NEXT)],
    }
}

fn network_lines(network: &NetworkHealth) -> Vec<String> {
    let NetworkHealth { id, good, questionable, external, .. } = network;
    let external = external.map_or_else(|| "not agreed on by others".to_owned(), |ip| ip.to_string());
    vec![
        line(family(network), format!("{good} good nodes known, {questionable} questionable")),
        next(&format!("own id {id}; own address: {external}")),
    ]
}

const fn family(network: &NetworkHealth) -> &'static str {
    if network.address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn community_lines(community: &Community) -> Vec<String> {
    let mut lines: Vec<String> = community.id.iter().map(|id| line("community", id)).collect();
    lines.extend(community.servers.each.iter().flat_map(server_lines));
    lines.extend(announced_lines("mesh", community.mesh.as_ref(), MESH_NEXT));
    lines.extend(announced_lines("torrent", community.torrent.as_ref(), TORRENT_NEXT));
    lines
}

fn server_lines(server: &Server) -> Vec<String> {
    let (look_up, short) = (&server.look_up, server.key.short());
    let mut lines = match (&server.said, server.seq()) {
        (Some(said), Some(seq)) => {
            let held = format!("held by {} of {} nodes asked", look_up.holders, look_up.asked);
            vec![line("server", format!("{short}  {}", said.words())), next(&format!("seq {seq}, {held}"))]
        }
        _ => vec![line("server", format!("{short}  {} nodes asked, {} answered", look_up.asked, look_up.answered))],
    };
    lines.extend(server.wrong.iter().flat_map(|wrong| [next(&format!("WRONG: {}", wrong.what)), next(wrong.next)]));
    lines
}

fn announced_lines(label: &str, announced: Option<&Announced>, if_nobody: &str) -> Vec<String> {
    let Some(Announced { info_hash, peers }) = announced else { return Vec::new() };
    let mut lines = vec![line(label, format!("{info_hash}  {} peers", peers.len()))];
    lines.extend(peers.is_empty().then(|| next(if_nobody)));
    lines
}

pub(super) fn json(status: &Status) -> Value {
    let health = &status.health;
    let community = status.community.as_ref();
    json!({
        "hosts": status.hosts.iter().map(host_json).collect::<Vec<_>>(),
        "health": health,
        "known_nodes": health.known_nodes(),
        "community": community.and_then(|community| community.id).map(|id| id.to_string()),
        "servers": community.map(|community| community.servers.each.iter().map(server_json).collect::<Vec<_>>()),
        "mesh": community.and_then(|community| community.mesh.as_ref()).map(|it| announced_json(it, MESH_NEXT)),
        "torrent": community.and_then(|community| community.torrent.as_ref()).map(|it| announced_json(it, TORRENT_NEXT)),
    })
}

fn host_json(host: &Host) -> Value {
    let answer = host.answer.as_ref();
    json!({
        "host": host.name,
        "node": answer.ok().map(|(address, pong)| ping::json(*address, pong)),
        "problem": answer.err(),
        "next": answer.err().map(|_problem| HOST_NEXT),
    })
}

fn server_json(server: &Server) -> Value {
    json!({
        "key": server.key.to_string(),
        "seq": server.seq(),
        "record": server.said.as_ref().map(Said::json),
        "holders": server.look_up.holders,
        "asked": server.look_up.asked,
        "answered": server.look_up.answered,
        "problem": server.wrong.as_ref().map(|wrong| &wrong.what),
        "next": server.wrong.as_ref().map(|wrong| wrong.next),
    })
}

fn announced_json(announced: &Announced, if_nobody: &str) -> Value {
    let peers: Vec<_> = announced.peers.iter().map(ToString::to_string).collect();
    json!({
        "infohash": announced.info_hash.to_string(),
        "next": peers.is_empty().then_some(if_nobody),
        "peers": peers,
    })
}
