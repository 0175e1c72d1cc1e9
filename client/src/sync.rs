//! From the trust file to verified balances: records, genesis, snapshot.
use std::path::Path;
use std::time::Duration;

use seedbank_types::{Certificate, Contact, Evidence, Genesis, Grade, Guarantee, Rule};
use serde_json::json;
use tokio::time::timeout;

use crate::discovery::{Discovery, LearnError, ReadError, Records};
use crate::errors::{Exit, Failure};
use crate::evidence;
use crate::following;
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
    /// The newest certificate, without the signatures of double signers; reading ended well only because there is one.
    pub(crate) fn newest(&self) -> Result<(Certificate, Grade), Failure> {
        let (newest, _) = self.records.newest().ok_or_else(|| {
            let message =
                "no certificate satisfies the rule of the genesis, which is stricter than that of the trust file";
            Failure::unverified(message, "Wait until more servers sign, or ask the people who run them.")
        })?;
        let grade = self.records.judge().grade(newest, report::now());
        let grade = grade.map_err(|error| double_signed(&self.home, newest.checkpoint.epoch, &error))?;
        Ok((newest.clone(), grade))
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
    connect(trusted, records.judge(), &records.contacts()).await
}

async fn connect(trusted: &Trusted, judge: &Judge, contacts: &[Contact]) -> Result<Servers, Failure> {
    let community = judge.community().ok_or_else(|| Failure::unexpected("no certificate named the community"))?;
    match &trusted.api {
        Some(url) => Servers::by_api(url, community, judge.servers(), judge.rule()),
        None => Servers::connect(trusted.ip, community, judge.servers(), judge.rule(), contacts).await,
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
    let Some(community) = trusted.community else { return Ok((Records::new(judge, None), None)) };
    let kept = home.community(community);
    kept.check_no_conflict()?;
    let genesis = kept.genesis()?;
    if let Some(genesis) = &genesis {
        judge.learn(genesis).map_err(|other| Failure::damaged(&kept.genesis_path(), other))?;
    }
    judge.follow_kept(&kept.handovers()?, report::now());
    let newest = match kept.newest()? {
        Some(newest) => {
            let graded = judge.grade_as_signed(&newest, report::now());
            let grade = graded.map_err(|error| unbelieved(&kept, trusted, &kept.newest_path(), &error))?;
            Some((grade, newest))
        }
        None => None,
    };
    let proven = evidence::read_all(&kept.evidence_directory(), community, judge.servers())?;
    let mut records = Records::new(judge, newest.map(|(grade, newest)| (newest, grade)));
    proven.into_iter().for_each(|(evidence, _)| records.accuse(evidence));
    Ok((records, genesis))
}

/// What is said of a certificate that rests on the signature of a server that signed twice.
fn double_signed(home: &CommunityHome, epoch: seedbank_types::Epoch, error: &Unbelieved) -> Failure {
    if !matches!(error, Unbelieved::DoubleSigned(_)) {
        return Failure::unverified(error, "Check this machine's clock.");
    }
    let message = format!("epoch {epoch} is not believed: {error}");
    let next = format!(
        "Tell the people who run the servers (the proof is in {}), and sync again: it goes on as soon as enough other \
         servers sign.",
        home.evidence_directory().display()
    );
    Failure { code: "double_signer".into(), ..Failure::unverified(message, next) }
}

/// Why a certificate that was believed once is not believed now: the file was changed, the clock is wrong, or the
/// trust file is another.
pub(crate) fn unbelieved(kept: &CommunityHome, trusted: &Trusted, path: &Path, error: &Unbelieved) -> Failure {
    if let Unbelieved::DoubleSigned(_) = error {
        let message = format!("{} is not believed any more: {error}", path.display());
        let next = "Run `seedbank sync`: it goes on as soon as enough other servers sign.";
        return Failure { code: "double_signer".into(), ..Failure::unverified(message, next) };
    }
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
async fn read(
    discovery: &mut Discovery,
    home: &Home,
    trusted: &Trusted,
    network: &Network,
) -> Result<Option<Genesis>, Failure> {
    let (asked, read) = tokio::join!(evidence_of_servers(&discovery.records, trusted, network), discovery.rest());
    asked.into_iter().for_each(|evidence| discovery.records.accuse(evidence));
    read.map_err(|conflict| store_conflict(home, &discovery.records, &conflict))?;
    let learnt = learn_if_unknown(discovery, home, trusted).await?;
    if discovery.records.looks_changed() && follow(discovery, home, trusted).await? {
        // Servers that have left could not be asked.
        return Ok(learnt.or(learn_if_unknown(discovery, home, trusted).await?));
    }
    Ok(learnt)
}

async fn learn_if_unknown(
    discovery: &mut Discovery,
    home: &Home,
    trusted: &Trusted,
) -> Result<Option<Genesis>, Failure> {
    if discovery.records.judge().knows_genesis() {
        return Ok(None);
    }
    learn_genesis(&mut discovery.records, home, trusted).await
}

/// What the servers know of double signers. The inputs are copied: records go on being read meanwhile.
fn evidence_of_servers(
    records: &Records,
    trusted: &Trusted,
    network: &Network,
) -> impl Future<Output = Vec<Evidence>> + use<> {
    let (judge, contacts, trusted) = (records.judge().clone(), records.contacts(), trusted.clone());
    let (known, may_ask) = (records.evidence().to_vec(), network.may_ask());
    let connecting = async move { connect(&trusted, &judge, &contacts).await };
    async move { if may_ask { evidence::ask(connecting, known).await } else { Vec::new() } }
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
    if let Err(failure) = keep_evidence(&home.community(conflict.one.checkpoint.community), &evidence) {
        return failure;
    }
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

fn keep_evidence(home: &CommunityHome, all: &[Evidence]) -> Result<(), Failure> {
    all.iter().try_for_each(|evidence| home.store_evidence(evidence))
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
    records.judge().grade_as_signed(&kept, report::now()).map_err(|error| Failure::damaged(path, error))?;
    Err(store_conflict(home, records, &Conflict { one: kept, other: certificate.clone() }))
}

/// Finds the newest certificate, without its balances.
pub(crate) async fn discover(home: &Home, trusted: &Trusted, network: &Network) -> Result<Known, Failure> {
    let (records, genesis) = start(home, trusted)?;
    let mut discovery = Discovery::start(&network.dht, records);
    first(&mut discovery, home, trusted).await?;
    let learnt = read(&mut discovery, home, trusted, network).await?;
    keep(home, trusted, discovery.records, genesis.or(learnt))
}

/// Reads until something is believed; if nothing is, perhaps because other servers sign by now.
async fn first(discovery: &mut Discovery, home: &Home, trusted: &Trusted) -> Result<(), Failure> {
    let failure = match discovery.first().await {
        Ok(()) => return Ok(()),
        Err(ReadError::Conflict(conflict)) => return Err(store_conflict(home, &discovery.records, &conflict)),
        Err(ReadError::Failure(failure)) => failure,
    };
    if !discovery.records.looks_changed() || !follow(discovery, home, trusted).await? {
        return Err(failure);
    }
    Ok(())
}

/// Follows the servers, and reads the records of those in force; false if they are the same as before.
async fn follow(discovery: &mut Discovery, home: &Home, trusted: &Trusted) -> Result<bool, Failure> {
    let dht = discovery.dht.clone();
    let has_changed = following::follow(&mut discovery.records, &dht, home, trusted).await?;
    if has_changed {
        discovery.again();
        let read = discovery.rest().await;
        read.map_err(|conflict| store_conflict(home, &discovery.records, &conflict))?;
    }
    Ok(has_changed)
}

/// Puts on disk what was accepted: trust file, genesis, highest epoch, disputes.
fn keep(home: &Home, trusted: &Trusted, records: Records, genesis: Option<Genesis>) -> Result<Known, Failure> {
    let community =
        records.judge().community().ok_or_else(|| Failure::unexpected("no certificate named the community"))?;
    let known = Known { home: home.community(community), records, genesis };
    keep_evidence(&known.home, known.records.evidence())?;
    let (newest, _) = known.newest()?;
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
    first(&mut discovery, home, trusted).await?;
    let early = discovery.records.newest().map(|(certificate, _)| certificate.clone());
    let early = early.ok_or_else(|| Failure::unexpected("a record was believed and not ranked"))?;
    let early_home = home.community(early.checkpoint.community);
    let mut fetching = Box::pin(obtain(network, &early_home, &early.checkpoint, voice));
    let mut obtained = None;
    let learnt = {
        let mut reading = Box::pin(read(&mut discovery, home, trusted, network));
        loop {
            tokio::select! {
                learnt = &mut reading => break learnt?,
                done = &mut fetching, if obtained.is_none() => obtained = Some(done),
            }
        }
    };
    for change in discovery.records.changes_of_this_run() {
        voice.aside(&change);
    }
    let known = keep(home, trusted, discovery.records, genesis.or(learnt))?;
    let (certificate, grade) = known.newest()?;
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
        Guarantee::of(known.records.judge().servers(), known.rule()),
    );
    for (from, handover) in known.records.judge().changes() {
        words.push_str(&format!("\nservers    {}", following::words(from, handover)));
    }
    for evidence in known.records.evidence() {
        words.push_str(&format!("\nwarning    {}", evidence::words(evidence)));
    }
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
        "guarantee": Guarantee::of(known.records.judge().servers(), known.rule()).to_string(),
        "servers_changed": following::json_of(known.records.judge()),
        "root": checkpoint.root.to_string(),
        "infohash": checkpoint.snapshot.info_hash.to_string(),
        "length": checkpoint.snapshot.length,
        "file": obtained.path,
        "fetched": obtained.is_new,
        "disputes": known.records.disputes().len(),
        "double_signers": evidence::json_of(known.records.evidence()),
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
