//! `seedbank status`: what is known, and where the servers are.
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use seedbank_snapshot::{Expected, FullFile};
use seedbank_torrent::{FileKind, Metainfo, file_name};
use seedbank_types::{Certificate, CommunityId, Evidence, Grade, Guarantee, Height};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::balance::{Kept, load};
use crate::cli::StatusFlags;
use crate::discovery::Records;
use crate::errors::Failure;
use crate::evidence;
use crate::following;
use crate::network::Network;
use crate::report::{self, Answer};
use crate::settings::{Settings, Trusted};
use crate::sync;

/// How long peers are looked for.
const PEERS_WITHIN: Duration = Duration::from_secs(5);
/// Peers named in a magnet link.
const HINTS_MAX: usize = 5;

/// What the network said.
#[derive(Debug, Default)]
struct Live {
    servers: Vec<(String, Result<u64, String>)>,
    peers: Vec<SocketAddr>,
    newest: Option<(Certificate, Grade)>,
    problem: Option<String>,
    evidence: Vec<Evidence>,
}

pub(crate) async fn run(settings: &Settings, flags: &StatusFlags) -> Result<Answer, Failure> {
    let mut trusted = settings.trusted()?;
    let live = if flags.offline { Live::default() } else { look(settings, &mut trusted).await? };
    let kept = load(settings, &trusted);
    let kept = match (kept, &live.newest) {
        (Ok(kept), _) => Some(kept),
        (Err(_), Some(_)) => None,
        (Err(failure), None) => return Err(failure),
    };
    let mut live = live;
    if live.evidence.is_empty() {
        live.evidence = sync::start(&settings.home, &trusted)?.0.evidence().to_vec();
    }
    let magnet = kept.as_ref().and_then(|kept| magnet(kept, &live.peers));
    Ok(answer(&trusted, kept.as_ref(), &live, magnet))
}

/// Reads the servers' records and finds who has the file; that nobody answers is part of the status.
async fn look(settings: &Settings, trusted: &mut Trusted) -> Result<Live, Failure> {
    let network = match Network::start(trusted).await {
        Ok(network) => network,
        Err(failure) => return Ok(Live { problem: Some(failure.message), ..Live::default() }),
    };
    let known = match sync::discover(&settings.home, trusted, &network).await {
        Ok(known) => known,
        Err(failure) if failure.exit == crate::errors::Exit::Unverified => return Err(failure),
        Err(failure) => return Ok(Live { problem: Some(failure.message), ..Live::default() }),
    };
    trusted.community = known.records.judge().community();
    let newest = known.newest()?;
    let mut peers = Vec::new();
    let mut found = network.dht.peers(newest.0.checkpoint.snapshot.info_hash);
    let reading = async {
        while let Some(peer) = found.recv().await {
            peers.push(peer);
        }
    };
    if timeout(PEERS_WITHIN, reading).await.is_err() {
        tracing::debug!("the look-up for peers takes long");
    }
    let evidence = known.records.evidence().to_vec();
    Ok(Live { servers: servers(&known.records), peers, newest: Some(newest), problem: None, evidence })
}

fn servers(records: &Records) -> Vec<(String, Result<u64, String>)> {
    records.by_server().into_iter().map(|(key, epoch)| (key.to_string(), epoch.map(|epoch| epoch.0))).collect()
}

/// The metainfo of a verified snapshot: the servers give it its name, so ours has their infohash.
pub(crate) fn metainfo(path: &Path, community: CommunityId, height: Height) -> Option<Metainfo> {
    let made = Metainfo::of_file(&file_name(&community, height, FileKind::Snapshot), path);
    made.inspect_err(|error| tracing::warn!(%error, "no metainfo")).ok()
}

/// The height in the head of a verified snapshot.
pub(crate) fn height(path: &Path, certificate: &Certificate) -> Option<Height> {
    let file = std::fs::File::open(path).ok()?;
    Some(FullFile::open(file, &Expected::of_checkpoint(&certificate.checkpoint)).ok()?.header().height)
}

fn magnet(kept: &Kept, peers: &[SocketAddr]) -> Option<String> {
    let path = kept.home.snapshot_path(kept.certificate.checkpoint.snapshot.info_hash);
    let height = height(&path, &kept.certificate)?;
    let metainfo = metainfo(&path, kept.certificate.checkpoint.community, height)?;
    let mut hints = peers.to_vec();
    hints.truncate(HINTS_MAX);
    Some(metainfo.magnet(&hints))
}

fn answer(trusted: &Trusted, kept: Option<&Kept>, live: &Live, magnet: Option<String>) -> Answer {
    let age_s = |certificate: &Certificate| report::now().since(certificate.checkpoint.time) / 1000;
    let verified = kept.map(|kept| (&kept.certificate, kept.grade));
    let newest = live.newest.as_ref().map(|(certificate, grade)| (certificate, *grade)).or(verified);
    let path = kept.map(|kept| kept.home.snapshot_path(kept.certificate.checkpoint.snapshot.info_hash));
    let servers: Vec<Value> = live
        .servers
        .iter()
        .map(|(key, epoch)| json!({ "key": key, "epoch": epoch.as_ref().ok(), "problem": epoch.as_ref().err() }))
        .collect();
    let json = json!({
        "community": trusted.community.map(|community| community.to_string()),
        "name": kept.and_then(|kept| kept.genesis.as_ref()).map(|genesis| genesis.name.as_str()),
        "epoch": verified.map(|(certificate, _)| certificate.checkpoint.epoch.0),
        "age_s": verified.map(|(certificate, _)| age_s(certificate)),
        "grade": verified.map(|(_, grade)| grade.to_string()),
        "guarantee": kept.map(|kept| Guarantee::of(kept.judge.servers(), kept.judge.rule()).to_string()),
        "servers_changed": kept.map(|kept| following::json_of(&kept.judge)),
        "newest_epoch": newest.map(|(certificate, _)| certificate.checkpoint.epoch.0),
        "accounts": verified.map(|(certificate, _)| certificate.checkpoint.count),
        "supply": verified.map(|(certificate, _)| certificate.checkpoint.supply.to_string()),
        "root": verified.map(|(certificate, _)| certificate.checkpoint.root.to_string()),
        "infohash": verified.map(|(certificate, _)| certificate.checkpoint.snapshot.info_hash.to_string()),
        "file": path.clone(),
        "magnet": magnet.clone(),
        "peers": live.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "servers": servers,
        "problem": live.problem,
        "double_signers": evidence::json_of(&live.evidence),
    });
    Answer::new(words(trusted, kept, live, magnet), json)
}

fn words(trusted: &Trusted, kept: Option<&Kept>, live: &Live, magnet: Option<String>) -> String {
    let mut lines = Vec::new();
    let name =
        kept.and_then(|kept| kept.genesis.as_ref()).map_or_else(String::new, |genesis| report::shown(&genesis.name));
    if let Some(community) = trusted.community {
        lines.push(format!("community  {name} {community}"));
    }
    let epoch = |certificate: &Certificate| {
        let age_ms = report::now().since(certificate.checkpoint.time);
        format!("epoch {}, {} old", report::grouped(certificate.checkpoint.epoch.0), report::age(age_ms))
    };
    match kept {
        Some(kept) => {
            let checkpoint = &kept.certificate.checkpoint;
            lines.push(format!("balances   {}", epoch(&kept.certificate)));
            lines.push(format!("grade      {}", report::guarantee(kept.grade, kept.judge.rule())));
            lines.push(format!("rule       {}", Guarantee::of(kept.judge.servers(), kept.judge.rule())));
            let changes = kept.judge.changes().map(|(from, handover)| following::words(from, handover));
            lines.extend(changes.map(|change| format!("servers    {change}")));
            lines.push(format!("accounts   {}", report::grouped(checkpoint.count)));
            lines.push(format!("supply     {}", report::money(checkpoint.supply, kept.genesis.as_ref())));
            lines.push(format!("file       {}", kept.home.snapshot_path(checkpoint.snapshot.info_hash).display()));
        }
        None => lines.push("balances   none on disk yet: run `seedbank sync`".to_owned()),
    }
    if let Some((newest, grade)) = &live.newest {
        lines.push(format!("newest     {}, grade {grade}", epoch(newest)));
        lines.push(format!("peers      {}", live.peers.len()));
    }
    for (key, epoch) in &live.servers {
        let told =
            epoch.as_ref().map_or_else(|problem| report::shown(problem), |epoch| format!("record of epoch {epoch}"));
        lines.push(format!("server     {}  {told}", &key[..8]));
    }
    if !trusted.file.apis.is_empty() && trusted.api.is_none() {
        lines.push(format!("api        {} named by the trust file, not asked: use --api", trusted.file.apis.len()));
    }
    lines.extend(live.evidence.iter().map(|one| format!("warning    {}", evidence::words(one))));
    lines.extend(live.problem.iter().map(|problem| format!("problem    {problem}")));
    lines.extend(magnet.map(|magnet| format!("magnet     {magnet}")));
    lines.join("\n")
}
