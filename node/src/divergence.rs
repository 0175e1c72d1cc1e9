//! A server whose database is not what the others agreed on: it says so, keeps everything as it is, and finds out
//! which records differ.
mod examine;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use seedbank_api::{Differing, Divergence, Findings};
use seedbank_snapshot::{Expected, verify_full};
use seedbank_store::{Store, StoreError};
use seedbank_torrent::{FetchRequest, TorrentHandle};
use seedbank_types::{AccountRecord, Address, Certificate, Checkpoint, DecodeError, Height, InfoHash, Reader, Writer};

use crate::home::write_whole;
use crate::shared::Shared;

/// Where it is remembered in the store.
const DIVERGED: &str = "diverged";
/// Most bytes of the reason that are remembered.
const WHY_BYTES_MAX: usize = 1 << 10;
/// So long the certified balances are looked for.
const FETCH_WITHIN: Duration = Duration::from_secs(120);
/// Pause between look-ups for who has them.
const PEERS_PAUSE: Duration = Duration::from_secs(1);

/// How it was noticed, as the disk remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noticed {
    pub(crate) height: Height,
    pub(crate) why: String,
    /// The newest certificate to measure the database by.
    pub(crate) certificate: Option<Certificate>,
}

impl Noticed {
    /// `height u64 ‖ length u16 ‖ why ‖ certificate, or nothing`.
    fn encode(&self) -> Vec<u8> {
        let mut end = self.why.len().min(WHY_BYTES_MAX);
        while !self.why.is_char_boundary(end) {
            end -= 1;
        }
        let length = u16::try_from(end).expect("at most a KiB");
        let writer = Writer::default().u64(self.height.0).u16(length).bytes(&self.why.as_bytes()[..end]);
        writer.bytes(&self.certificate.as_ref().map(Certificate::encode).unwrap_or_default()).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("divergence", bytes);
        let height = Height(reader.u64("height")?);
        let length = usize::from(reader.u16("length")?);
        let why = String::from_utf8_lossy(reader.take("why", length)?).into_owned();
        let rest = reader.rest();
        let certificate = if rest.is_empty() { None } else { Some(Certificate::decode(rest)?) };
        Ok(Self { height, why, certificate })
    }
}

/// Remembers it for the next start: a server that diverged does not sign again because it was restarted.
pub(crate) fn remember(store: &Store, noticed: &Noticed) -> Result<(), StoreError> {
    store.meta_put(DIVERGED, &noticed.encode())
}

/// What an earlier run noticed.
pub(crate) fn recall(store: &Store) -> Result<Option<Noticed>, StoreError> {
    let bytes = store.meta(DIVERGED)?;
    Ok(bytes.map(|bytes| Noticed::decode(&bytes)).transpose()?)
}

/// What is told of it, and what finding out more needs.
pub(crate) struct DivergenceDesk {
    told: Mutex<Option<Divergence>>,
    torrent: TorrentHandle,
    home: PathBuf,
}

impl DivergenceDesk {
    pub(crate) const fn new(torrent: TorrentHandle, home: PathBuf) -> Self {
        Self { told: Mutex::new(None), torrent, home }
    }

    pub(crate) fn told(&self) -> Option<Divergence> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Divergence>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self) -> PathBuf {
        self.home.join("diverged")
    }

    fn next_words(&self) -> String {
        format!(
            "stop this server and run `seedbankd resync --home {}`: it sets this database aside and fetches the state anew",
            self.home.display()
        )
    }
}

/// Says that this server diverged, then compares its database with what was certified.
pub(crate) async fn tell(shared: Shared, noticed: Noticed) {
    let desk = &shared.divergence;
    let kept = desk.home.join("store");
    tracing::error!(
        "diverged at height {}: {}; this server votes and signs no more and leaves its database as it is in {}; it is \
         now compared with the certified balances",
        noticed.height,
        noticed.why,
        kept.display()
    );
    let (height, why) = (noticed.height, noticed.why.clone());
    let told = Divergence { height, why, kept, findings: None, problem: None };
    *desk.lock() = Some(told.clone());
    let told = match compare(&shared, &noticed).await {
        Ok(findings) => Divergence { findings: Some(findings), ..told },
        Err(error) => Divergence { problem: Some(format!("{error:#}")), ..told },
    };
    let words = report(&told, &desk.next_words());
    *desk.lock() = Some(told);
    words.lines().for_each(|line| tracing::error!("{line}"));
    let directory = desk.directory();
    let written = std::fs::create_dir_all(&directory).map_err(anyhow::Error::from);
    let written = written.and_then(|()| Ok(write_whole(&directory.join("report.txt"), words.as_bytes())?));
    if let Err(error) = written {
        tracing::warn!(%error, "the report is not written");
    }
}

async fn compare(shared: &Shared, noticed: &Noticed) -> anyhow::Result<Findings> {
    let certificate =
        noticed.certificate.clone().context("no epoch is certified yet: there is nothing to compare with")?;
    let checkpoint = certificate.checkpoint;
    let path = certified_file(shared, &checkpoint).await?;
    let store = shared.store.clone();
    let work = move || examine::examine(&store, &checkpoint, &path);
    tokio::task::spawn_blocking(work).await.context("the comparison died")?
}

/// The file with the certified balances: one that was cut here if it is that, else from the other servers.
async fn certified_file(shared: &Shared, checkpoint: &Checkpoint) -> anyhow::Result<PathBuf> {
    let desk = &shared.divergence;
    let (directory, own, expected) = (desk.directory(), desk.home.join("snapshots"), checkpoint.clone());
    let look = move || find_own(&own, &expected);
    if let Some(path) = tokio::task::spawn_blocking(look).await.context("the look for a file died")? {
        return Ok(path);
    }
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let file = checkpoint.snapshot;
    let path = directory.join(format!("{}.snapshot", file.info_hash));
    let request =
        FetchRequest { info_hash: file.info_hash, length: file.length, path: path.clone(), peers: Vec::new() };
    let fetch = desk.torrent.fetch(request).await;
    let outcome = tokio::select! {
        fetched = fetch => fetched.map(drop).map_err(anyhow::Error::from),
        () = find_peers(shared, file.info_hash) => Err(anyhow!("the look-ups for peers ended")),
        () = tokio::time::sleep(FETCH_WITHIN) => {
            Err(anyhow!("nobody gave the certified balances within {} s; start again to try again", FETCH_WITHIN.as_secs()))
        }
    };
    desk.torrent.stop(file.info_hash).await;
    outcome.map(|()| path)
}

fn find_own(directory: &Path, checkpoint: &Checkpoint) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| is_certified(path, checkpoint))
}

fn is_certified(path: &Path, checkpoint: &Checkpoint) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return false };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let expected = Expected::of_checkpoint(checkpoint);
    length == checkpoint.snapshot.length && verify_full(file, length, &expected, |_record| ()).is_ok()
}

/// Asks the DHT again and again; ends only with it.
pub(crate) async fn find_peers(shared: &Shared, info_hash: InfoHash) {
    loop {
        let mut peers = shared.dht.peers(info_hash);
        while let Some(peer) = peers.recv().await {
            shared.divergence.torrent.add_peers(info_hash, &[peer]).await;
        }
        tokio::time::sleep(PEERS_PAUSE).await;
    }
}

/// Starts to tell, at the moment it is noticed or at a later start.
pub(crate) fn spawn_telling(shared: &Shared, noticed: Noticed) {
    tokio::spawn(tell(Arc::clone(shared), noticed));
}

/// All that is known, for people.
fn report(told: &Divergence, next: &str) -> String {
    let mut words = format!("diverged at height {}: {}\n", told.height, told.why);
    let mut line = |text: String| writeln!(words, "{text}").expect("a string takes all");
    if let Some(findings) = &told.findings {
        line(format!(
            "compared at height {} with the certified balances of epoch {} and the batches after it: {} records in {} \
             buckets differ",
            findings.height, findings.epoch, findings.records, findings.buckets
        ));
        findings.first.iter().for_each(|differing| line(differing_words(differing)));
        if findings.records == 0 {
            line("the balances are right: what differs is something else that was signed".to_owned());
        }
    }
    if let Some(problem) = &told.problem {
        line(format!("it is not known which records differ: {problem}"));
    }
    line(format!("the database is kept as it is in {}", told.kept.display()));
    line(format!("what to do: {next}"));
    words
}

fn differing_words(differing: &Differing) -> String {
    let record = |record: Option<AccountRecord>| match record {
        Some(record) => format!("{} minor units after {} payments", record.balance, record.sequence),
        None => "no record".to_owned(),
    };
    format!("{}: here {}, certified {}", Address(differing.id), record(differing.own), record(differing.certified))
}

#[cfg(test)]
mod tests {
    use seedbank_types::{AccountId, Amount, Epoch};

    use super::*;

    #[test]
    fn what_was_noticed_is_read_back_and_a_long_reason_is_cut() {
        let noticed = Noticed { height: Height(7), why: "ä".repeat(WHY_BYTES_MAX), certificate: None };
        let back = Noticed::decode(&noticed.encode()).expect("written here");
        assert_eq!((back.height, back.why.len(), back.certificate), (Height(7), WHY_BYTES_MAX, None));
        assert!(Noticed::decode(&[0; 9]).is_err());
    }

    #[test]
    fn the_report_names_height_records_place_and_what_to_do() {
        let record = |balance| AccountRecord { id: AccountId([1; 20]), balance: Amount(balance), sequence: 2 };
        let differing = Differing { id: AccountId([1; 20]), own: Some(record(5)), certified: None };
        let findings = Findings { epoch: Epoch(3), height: Height(9), buckets: 1, records: 1, first: vec![differing] };
        let told = Divergence {
            height: Height(8),
            why: "another root".to_owned(),
            kept: PathBuf::from("/srv/store"),
            findings: Some(findings),
            problem: None,
        };
        let words = report(&told, "resync");
        for part in ["height 8: another root", "height 9", "epoch 3", "1 records", "here 5", "no record", "/srv/store"]
        {
            assert!(words.contains(part), "{part}: {words}");
        }
    }
}
