//! From the trust file to verified balances: records, genesis, snapshot.
use std::path::Path;
use std::time::Duration;

use seedbank_types::{Certificate, Genesis, Grade, Rule};
use serde_json::json;
use tokio::time::timeout;

use crate::discovery::{Discovery, LearnError, ReadError, Records};
use crate::errors::{Exit, Failure};
use crate::home::{CommunityHome, Home, conflict_failure};
use crate::judge::{Judge, Unbelieved};
use crate::network::Network;
use crate::obtain::{Obtained, obtain};
use crate::ranking::Conflict;
use crate::report::{self, Answer, Voice};
use crate::servers::Servers;
use crate::settings::Trusted;

/// How long the genesis is waited for; without it the balances are shown in minor units.
const GENESIS_WITHIN: Duration = Duration::from_secs(5);

/// What is known after the DHT was read.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) home: CommunityHome,
    pub(crate) records: Records,
    pub(crate) genesis: Option<Genesis>,
}

impl Known {
    /// The newest certificate; reading ended well only because there is one.
    pub(crate) fn newest(&self) -> Result<&(Certificate, Grade), Failure> {
        self.records.newest().ok_or_else(|| {
            let message =
                "no certificate satisfies the rule of the genesis, which is stricter than that of the trust file";
            Failure::unverified(message, "Wait until more servers sign, or ask the people who run them.")
        })
    }

    pub(crate) const fn rule(&self) -> Rule {
        self.records.judge().rule()
    }

    /// The servers: by HTTP if an API was named, else on the mesh.
    pub(crate) async fn servers(&self, trusted: &Trusted) -> Result<Servers, Failure> {
        servers(trusted, &self.records).await
    }
}

async fn servers(trusted: &Trusted, records: &Records) -> Result<Servers, Failure> {
    let judge = records.judge();
    let community = judge.community().ok_or_else(|| Failure::unexpected("no certificate named the community"))?;
    match &trusted.api {
        Some(url) => Servers::by_api(url, community, judge.servers(), judge.rule()),
        None => Servers::connect(trusted.ip, community, judge.servers(), judge.rule(), &records.contacts()).await,
    }
}

/// Balances that were verified.
#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) known: Known,
    pub(crate) certificate: Certificate,
    pub(crate) grade: Grade,
    pub(crate) obtained: Obtained,
}

/// What earlier runs have kept about the community, ready to judge by.
pub(crate) fn start(home: &Home, trusted: &Trusted) -> Result<(Records, Option<Genesis>), Failure> {
    let mut judge = Judge::new(&trusted.file, trusted.community);
    let Some(kept) = trusted.community.map(|community| home.community(community)) else {
        return Ok((Records::new(judge, None), None));
    };
    kept.check_no_conflict()?;
    let genesis = kept.genesis()?;
    if let Some(genesis) = &genesis {
        judge.learn(genesis).map_err(|other| Failure::damaged(&kept.genesis_path(), other))?;
    }
    let newest = match kept.newest()? {
        Some(newest) => {
            let graded = judge.grade(&newest, report::now());
            let grade = graded.map_err(|error| unbelieved(&kept, trusted, &kept.newest_path(), &error))?;
            Some((grade, newest))
        }
        None => None,
    };
    Ok((Records::new(judge, newest.map(|(grade, newest)| (newest, grade))), genesis))
}

/// Why a certificate that was believed once is not believed now: the file was changed, the clock is wrong, or the
/// trust file is another.
pub(crate) fn unbelieved(kept: &CommunityHome, trusted: &Trusted, path: &Path, error: &Unbelieved) -> Failure {
    if error.is_signed() {
        let message = format!("{} is not believed: {error}", path.display());
        return Failure::unverified(message, "Check this machine's clock.");
    }
    let before = kept.trust().ok().flatten();
    let is_same =
        before.is_some_and(|(file, _)| file.servers == trusted.file.servers && file.quorum == trusted.file.quorum);
    if is_same {
        return Failure::damaged(path, error);
    }
    let message = format!("the newest certificate seen so far is not believed under this trust file: {error}");
    let next = "Use the trust file of before, or another --home for other servers.";
    Failure::new(Exit::NoRecord, message, next)
}

/// Reads the other servers' records, and then the genesis if it is not known yet.
async fn read(discovery: &mut Discovery, home: &Home, trusted: &Trusted) -> Result<Option<Genesis>, Failure> {
    let read = discovery.rest().await;
    read.map_err(|conflict| store_conflict(home, &discovery.records, &conflict))?;
    if discovery.records.judge().knows_genesis() {
        return Ok(None);
    }
    learn_genesis(&mut discovery.records, home, trusted).await
}

/// Asks the servers for the genesis, once: it bounds epochs and names decimals, symbol and rule.
async fn learn_genesis(records: &mut Records, home: &Home, trusted: &Trusted) -> Result<Option<Genesis>, Failure> {
    let asked = async { servers(trusted, records).await?.genesis().await.ok_or(()).map_err(|()| no_genesis()) };
    let genesis = match timeout(GENESIS_WITHIN, asked).await {
        Ok(Ok(genesis)) => genesis,
        Ok(Err(failure)) => {
            tracing::warn!(%failure, "no genesis");
            return Ok(None);
        }
        Err(_elapsed) => return Ok(None),
    };
    match records.learn(&genesis, report::now()) {
        Ok(()) => Ok(Some(genesis)),
        Err(LearnError::Other(other)) => Err(Failure::unexpected(other)),
        Err(LearnError::Conflict(conflict)) => Err(store_conflict(home, records, &conflict)),
    }
}

fn no_genesis() -> Failure {
    Failure::new(Exit::NoPeers, "no server gave the genesis", "Try again later.")
}

/// Keeps a conflict with its evidence, and says it.
pub(crate) fn store_conflict(home: &Home, records: &Records, conflict: &Conflict) -> Failure {
    let evidence = conflict.evidence(records.judge().servers());
    let bytes: Vec<_> = evidence.iter().map(seedbank_types::Evidence::encode).collect();
    let place = home.community(conflict.one.checkpoint.community);
    let liars: Vec<_> = evidence.iter().map(|evidence| evidence.key.short()).collect();
    let by = if liars.is_empty() { String::new() } else { format!(" (signed both: {})", liars.join(", ")) };
    let what = format!("there are two certified histories of epoch {}{by}", conflict.epoch());
    match place.store_conflict(conflict, &bytes) {
        Ok(directory) => conflict_failure(&directory, &what),
        Err(failure) => failure,
    }
}

/// Another process may have kept another statement of the same epoch; if the servers did sign it, they have lied.
pub(crate) fn check_same(
    home: &Home,
    records: &Records,
    path: &Path,
    certificate: &Certificate,
    kept: Option<Certificate>,
) -> Result<(), Failure> {
    let Some(kept) = kept else { return Ok(()) };
    records.judge().grade(&kept, report::now()).map_err(|error| Failure::damaged(path, error))?;
    Err(store_conflict(home, records, &Conflict { one: kept, other: certificate.clone() }))
}

/// Finds the newest certificate, without its balances.
pub(crate) async fn discover(home: &Home, trusted: &Trusted, network: &Network) -> Result<Known, Failure> {
    let (records, genesis) = start(home, trusted)?;
    let mut discovery = Discovery::start(&network.dht, records);
    first(&mut discovery, home).await?;
    let learnt = read(&mut discovery, home, trusted).await?;
    keep(home, trusted, discovery.records, genesis.or(learnt))
}

async fn first(discovery: &mut Discovery, home: &Home) -> Result<(), Failure> {
    discovery.first().await.map_err(|error| match error {
        ReadError::Failure(failure) => failure,
        ReadError::Conflict(conflict) => store_conflict(home, &discovery.records, &conflict),
    })
}

/// Puts on disk what was accepted: trust file, genesis, highest epoch, disputes.
fn keep(home: &Home, trusted: &Trusted, records: Records, genesis: Option<Genesis>) -> Result<Known, Failure> {
    let community =
        records.judge().community().ok_or_else(|| Failure::unexpected("no certificate named the community"))?;
    let known = Known { home: home.community(community), records, genesis };
    let newest = known.newest()?.0.clone();
    known.home.check_no_conflict()?;
    known.home.store_trust(&trusted.text)?;
    if let Some(genesis) = &known.genesis {
        known.home.store_genesis(genesis)?;
    }
    let kept = known.home.store_newest(&newest)?;
    check_same(home, &known.records, &known.home.newest_path(), &newest, kept)?;
    home.set_current(community)?;
    for dispute in known.records.disputes() {
        known.home.store_dispute(dispute)?;
    }
    Ok(known)
}

/// Finds the newest certificate and gets its balances, which are fetched while other records are still being read.
pub(crate) async fn sync(home: &Home, trusted: &Trusted, network: &Network, voice: Voice) -> Result<Synced, Failure> {
    let (records, genesis) = start(home, trusted)?;
    let mut discovery = Discovery::start(&network.dht, records);
    first(&mut discovery, home).await?;
    let early = discovery.records.newest().map(|(certificate, _)| certificate.clone());
    let early = early.ok_or_else(|| Failure::unexpected("a record was believed and not ranked"))?;
    let early_home = home.community(early.checkpoint.community);
    let mut fetching = Box::pin(obtain(network, &early_home, &early.checkpoint, voice));
    let mut obtained = None;
    let learnt = {
        let mut reading = Box::pin(read(&mut discovery, home, trusted));
        loop {
            tokio::select! {
                learnt = &mut reading => break learnt?,
                done = &mut fetching, if obtained.is_none() => obtained = Some(done),
            }
        }
    };
    let known = keep(home, trusted, discovery.records, genesis.or(learnt))?;
    let (certificate, grade) = known.newest()?.clone();
    let mut is_new = false;
    if certificate.checkpoint.snapshot == early.checkpoint.snapshot {
        let done = match obtained {
            Some(done) => done?,
            None => fetching.await?,
        };
        is_new = done.is_new;
    } else {
        // Another record names a newer file: what has come of the first one is left.
        drop(fetching);
    }
    // One file may belong to several epochs: here it is measured by the newest one's root.
    let mut obtained = obtain(network, &known.home, &certificate.checkpoint, voice).await?;
    obtained.is_new |= is_new;
    let kept = known.home.store_verified(&certificate)?;
    check_same(home, &known.records, &known.home.verified_path(), &certificate, kept)?;
    {
        let _lock = known.home.lock().await?;
        known.home.prune(certificate.checkpoint.snapshot.info_hash)?;
    }
    Ok(Synced { known, certificate, grade, obtained })
}

/// What a sync found, for people and scripts.
pub(crate) fn answer(synced: &Synced) -> Answer {
    let Synced { known, certificate, grade, obtained } = synced;
    let (checkpoint, genesis) = (&certificate.checkpoint, known.genesis.as_ref());
    let age_ms = report::now().since(checkpoint.time);
    let name = genesis.map_or_else(String::new, |genesis| format!("{} ", report::shown(&genesis.name)));
    let source = if obtained.is_new { "fetched and verified" } else { "were there already, and verified again" };
    let mut words = format!(
        "community  {name}{}\nepoch      {}, {} old\naccounts   {}\nsupply     {}\ngrade      {}\nrule       {}\n\
         balances   {source}",
        checkpoint.community,
        report::grouped(checkpoint.epoch.0),
        report::age(age_ms),
        report::grouped(checkpoint.count),
        report::money(checkpoint.supply, genesis),
        report::guarantee(*grade, known.rule()),
        known.rule().guarantee(),
    );
    for dispute in known.records.disputes() {
        words.push_str(&format!(
            "\nwarning    a server signed another statement for epoch {} than the quorum; it is kept in the home directory",
            dispute.checkpoint.epoch
        ));
    }
    let json = json!({
        "community": checkpoint.community.to_string(),
        "name": genesis.map(|genesis| genesis.name.as_str()),
        "symbol": genesis.map(|genesis| genesis.symbol.as_str()),
        "decimals": genesis.map(|genesis| genesis.decimals),
        "epoch": checkpoint.epoch.0,
        "height": checkpoint.height.0,
        "age_s": age_ms / 1000,
        "accounts": checkpoint.count,
        "supply": checkpoint.supply.to_string(),
        "grade": grade.to_string(),
        "quorum": known.rule().to_string(),
        "guarantee": known.rule().guarantee(),
        "root": checkpoint.root.to_string(),
        "infohash": checkpoint.snapshot.info_hash.to_string(),
        "length": checkpoint.snapshot.length,
        "file": obtained.path,
        "fetched": obtained.is_new,
        "disputes": known.records.disputes().len(),
    });
    Answer::new(words, json).with(stale(known.records.judge(), age_ms))
}

/// The failure that balances of this age are, if they are.
pub(crate) fn stale(judge: &Judge, age_ms: u64) -> Option<Failure> {
    judge.is_stale(age_ms).then(|| {
        let message = format!("the newest certified balances are stale: {} old", report::age(age_ms));
        Failure::new(Exit::Stale, message, "The servers may be down. Try again later, or ask the people who run them.")
    })
}

#[cfg(test)]
mod tests;
