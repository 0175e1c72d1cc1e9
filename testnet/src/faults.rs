//! Real faults: a community of real processes, each with a network, a clock and a disk of its own, to
//! which something happens while clients pay; then a bank checker looks at all that was told. Method:
//! `docs/faults.md`.
mod clients;
mod course;
mod ending;
mod links;
mod nemesis;
pub mod room;
mod switch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use seedbank_types::Rule;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use self::clients::Clients;
use self::course::Course;
use self::nemesis::{FaultReport, Nemesis};
use self::room::Station;
use self::switch::Switch;
use crate::bank::{Deed, Finding};
use crate::chance::Chance;
use crate::net::Net;
use crate::testnet::{Testnet, TestnetSettings};

/// Nodes of the DHT in the room.
const DHT_NODES: u8 = 4;
/// Addresses for clients in the room.
const CLIENT_ADDRESSES: usize = 4;
/// Accounts of a genesis beside those of the bank: the fee account and the reserved one.
const OTHER_ACCOUNTS: u32 = 2;
/// So long the community may take until all vote and an epoch is certified.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// So long the clients may take until every payment of theirs is final, once all is healed.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// The disk that can be filled: enough for what the database sets aside.
const SMALL_DISK_BYTES: u64 = 384 << 20;
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// What happens to a community.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A minority is cut off, in both directions or in one; or nobody has a majority
    Partition,
    /// Every packet takes 200 ms, and 5 of 100 are lost
    Latency,
    /// One clock is minutes off
    Clock,
    /// One server's disk is full
    DiskFull,
    /// Servers stand still (SIGSTOP) and go on
    Stop,
    /// kill -9, again and again
    Kill,
    /// All of these, one after the other
    Mixed,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct FaultsSettings {
    /// How often, each time with a new community.
    pub runs: u32,
    /// How long faults happen in a run.
    pub seconds: u64,
    /// Servers of the community.
    pub servers: u8,
    /// Whose agreement is enough.
    pub quorum: Rule,
    /// What happens.
    pub kind: Kind,
    /// Says who is struck when, as far as that is ours to say.
    pub seed: u64,
    /// An empty directory for everything; `None`: a temporary one, which stays if something is found.
    pub home: Option<PathBuf>,
}

/// What came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// From 1.
    pub run: u32,
    /// What happened to the community.
    pub kind: Kind,
    /// The seed of this run.
    pub seed: u64,
    /// Payments that were signed; in the end all were final.
    pub payments: usize,
    /// Accounts told by servers.
    pub reads: usize,
    /// Accounts told by a light client, out of certified snapshots.
    pub verified: usize,
    /// Faults, in order.
    pub faults: Vec<FaultReport>,
    /// The longest time from the end of a fault until a payment signed after it was final.
    pub slowest_recovery_ms: u64,
    /// What must not be. None: all is well.
    pub findings: Vec<Finding>,
    /// The history with its findings, if there are any; logs are beside it.
    pub history: Option<PathBuf>,
}

/// Does all runs; `tell` hears of each when it is over. The process must be in a room.
pub async fn run(settings: &FaultsSettings, tell: &mut dyn FnMut(&Report) -> Result<()>) -> Result<()> {
    ensure!(room::is_inside(), "this process has no namespaces of its own");
    ensure!(settings.servers >= 3, "with less than 3 servers no fault is survived");
    if matches!(settings.kind, Kind::Clock) {
        ensure!(room::fake_time().is_some(), "wrong clocks need the Debian package `faketime`, which is not there");
    }
    let mut chance = Chance::of(settings.seed);
    let place = tempfile::Builder::new().prefix("seedbank-faults-").tempdir()?;
    let switch = Switch::start(place.path(), Net::of_a_room(), settings.servers, chance.fork())?;
    for number in 1..=settings.runs {
        let seed = settings.seed + u64::from(number - 1);
        let report = one_run(settings, &switch, number, seed).await.with_context(|| format!("run {number}"))?;
        switch.links().heal();
        tell(&report)?;
    }
    Ok(())
}

async fn one_run(settings: &FaultsSettings, switch: &Switch, number: u32, seed: u64) -> Result<Report> {
    let mut chance = Chance::of(seed);
    let mut testnet = Testnet::start(&testnet_settings(settings, switch, number)).await?;
    together(&mut testnet).await?;
    let course = Course::new(&testnet, settings.kind).await?;
    let clients = Clients::start(&course, &testnet, &mut chance)?;
    let mut nemesis = Nemesis::new(settings, switch, Arc::clone(&course), chance.fork());
    let tormented = nemesis.torment(&mut testnet, Duration::from_secs(settings.seconds)).await;
    course.note(0, Deed::Fault("all is healed".to_owned()));
    let (faults, mut findings) = nemesis.into_reports();
    if let Err(error) = tormented {
        findings.push(finding("faults are survived", format!("{error:#}")));
    }
    findings.extend(settle(&mut testnet, &course, clients).await?);
    let history = course.history();
    if findings.is_empty() {
        let ending = ending::take(&testnet, &history).await?;
        findings.extend(crate::bank::check(&history, &ending));
    }
    let file = write_history(&testnet, &history, &findings)?;
    let count = |is: fn(&Deed) -> bool| history.entries.iter().filter(|entry| is(&entry.deed)).count();
    let report = Report {
        run: number,
        kind: settings.kind,
        seed,
        payments: count(|deed| matches!(deed, Deed::Signed(_))),
        reads: count(|deed| matches!(deed, Deed::Read { .. })),
        verified: count(|deed| matches!(deed, Deed::Verified { .. })),
        slowest_recovery_ms: faults.iter().map(|fault| fault.recovered_ms).max().unwrap_or_default(),
        faults,
        findings,
        history: file,
    };
    // What stopped badly is a finding too, but the logs stay.
    if report.findings.is_empty() {
        testnet.stop().await?;
    }
    Ok(report)
}

fn testnet_settings(settings: &FaultsSettings, switch: &Switch, number: u32) -> TestnetSettings {
    let fake_time = room::fake_time().filter(|_| matches!(settings.kind, Kind::Clock | Kind::Mixed));
    let stations = switch.namespaces().iter().enumerate().map(|(index, namespace)| Station {
        namespace: namespace.clone(),
        fake_time,
        disk_bytes: (index == nemesis::SMALL_DISK).then_some(SMALL_DISK_BYTES),
    });
    TestnetSettings {
        servers: settings.servers,
        seeders: 0,
        accounts: clients::ACCOUNTS + OTHER_ACCOUNTS,
        epoch: "5s".to_owned(),
        quorum: settings.quorum,
        dht_nodes: DHT_NODES,
        net: Net::of_a_room(),
        home: settings.home.as_ref().map(|home| home.join(format!("run-{number}"))),
        peer_payments: None,
        stations: stations.collect(),
    }
}

/// Waits until every server hears all others and votes, and an epoch is certified.
async fn together(testnet: &mut Testnet) -> Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    testnet.certified(1, deadline).await?;
    for server in testnet.servers_mut() {
        loop {
            let status = server.api().status().await?;
            if status.state == "active" && status.servers.connected == status.servers.total {
                break;
            }
            server.check_alive()?;
            crate::testnet::in_time(deadline, "the servers did not find each other")?;
            sleep(POLL_PAUSE).await;
        }
    }
    Ok(())
}

/// Lets the clients finish, and the servers certify once more; what does not come is a finding.
async fn settle(testnet: &mut Testnet, course: &Course, clients: Clients) -> Result<Vec<Finding>> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    course.stop();
    let finished = timeout_at(deadline, clients.finish()).await;
    let mut findings = Vec::new();
    match finished {
        Ok(finished) => finished?,
        Err(_elapsed) => findings.push(finding(
            "what was signed becomes final",
            format!("{} s after all was healed some payments are not final", SETTLE_LIMIT.as_secs()),
        )),
    }
    let newest = course.newest_epoch();
    if let Err(error) = testnet.certified(newest + 2, deadline + SETTLE_LIMIT).await {
        findings.push(finding("epochs go on", format!("{error:#}")));
    }
    Ok(findings)
}

fn write_history(testnet: &Testnet, history: &crate::bank::History, findings: &[Finding]) -> Result<Option<PathBuf>> {
    if findings.is_empty() {
        return Ok(None);
    }
    let path = testnet.home().join("history.jsonl");
    let mut text = history.to_json_lines();
    for finding in findings {
        text.push_str(&serde_json::to_string(finding)?);
        text.push('\n');
    }
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(Some(path))
}

fn finding(rule: &'static str, words: String) -> Finding {
    Finding { rule, words }
}
