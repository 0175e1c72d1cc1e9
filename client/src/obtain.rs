//! Getting the balances of a checkpoint: from the disk, else by BitTorrent; verified before they have a name.
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use seedbank_dht::DhtHandle;
use seedbank_snapshot::{Expected, FullFile, full_length, verify_full};
use seedbank_torrent::{Fetch, FetchError, FetchRequest, Progress, TorrentHandle};
use seedbank_types::{Checkpoint, FileRef, Hash, InfoHash};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::disk;
use crate::errors::{Exit, Failure};
use crate::home::CommunityHome;
use crate::network::Network;
use crate::report::Voice;

/// A fetch in which nothing arrives for so long is given up.
const NOTHING_ARRIVES: Duration = Duration::from_secs(30);
/// First pause between look-ups for peers; doubled each time.
const PEERS_PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest such pause.
const PEERS_PAUSE_MAX: Duration = Duration::from_secs(10);

/// The balances of a checkpoint, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obtained {
    pub(crate) path: PathBuf,
    pub(crate) file: FileRef,
    /// Whether it had to be fetched.
    pub(crate) is_new: bool,
}

/// Gets the balances of a certified checkpoint.
pub(crate) async fn obtain(
    network: &Network,
    home: &CommunityHome,
    checkpoint: &Checkpoint,
    voice: Voice,
) -> Result<Obtained, Failure> {
    let file = checkpoint.snapshot;
    let there = |is_new| Obtained { path: home.snapshot_path(file.info_hash), file, is_new };
    if on_disk(network, home, checkpoint).await? == OnDisk::Whole {
        return Ok(there(false));
    }
    check_kind(checkpoint)?;
    let _lock = home.lock().await?;
    match on_disk(network, home, checkpoint).await? {
        OnDisk::Whole => return Ok(there(false)),
        OnDisk::Damaged(why) => {
            voice.aside(&format!("{why}; it is fetched again"));
            disk::remove(&there(false).path)?;
        }
        OnDisk::Nothing => {}
    }
    let staged = home.staging_path(file.info_hash)?;
    fetch(network, file, &staged, voice).await?;
    if let Err(failure) = verify_apart(&staged, checkpoint).await {
        disk::remove(&staged)?;
        return Err(failure);
    }
    disk::rename_flushed(&staged, &home.snapshot_path(file.info_hash))?;
    Ok(there(true))
}

/// Opens the balances of a checkpoint that are on disk; every look-up is checked against the signed root.
pub(crate) fn open(home: &CommunityHome, checkpoint: &Checkpoint) -> Result<Option<FullFile<File>>, Failure> {
    let path = home.snapshot_path(checkpoint.snapshot.info_hash);
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| Failure::disk("open", &path, error))?,
    };
    let opened = FullFile::open(file, &Expected::of_checkpoint(checkpoint));
    opened.map(Some).map_err(|error| damaged(&path, &error))
}

/// Words for a file on disk that is no longer what was verified.
pub(crate) fn damaged(path: &Path, error: &seedbank_snapshot::FileError) -> Failure {
    let message = format!("{} was damaged: {error}", path.display());
    Failure::unverified(message, "Remove that file and run `seedbank sync`.")
}

/// What is on disk of a checkpoint's balances.
#[derive(Debug, PartialEq, Eq)]
enum OnDisk {
    Nothing,
    Whole,
    Damaged(String),
}

/// A file that this process has read from first to last, and how it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    path: PathBuf,
    root: Hash,
    length: u64,
    changed: SystemTime,
}

/// Reads the whole file, once in a process as long as nobody writes to it.
async fn on_disk(network: &Network, home: &CommunityHome, checkpoint: &Checkpoint) -> Result<OnDisk, Failure> {
    let path = home.snapshot_path(checkpoint.snapshot.info_hash);
    let failed = |error: std::io::Error| Failure::disk("read", &path, error);
    let metadata = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(OnDisk::Nothing),
        metadata => metadata.map_err(failed)?,
    };
    let (root, length) = (checkpoint.root, metadata.len());
    let seen = Seen { path: path.clone(), root, length, changed: metadata.modified().map_err(failed)? };
    if *network.seen.lock().await == Some(seen.clone()) {
        return Ok(OnDisk::Whole);
    }
    match verify_apart(&path, checkpoint).await {
        Ok(()) => {
            *network.seen.lock().await = Some(seen);
            Ok(OnDisk::Whole)
        }
        Err(failure) if failure.exit == Exit::Unverified => {
            Ok(OnDisk::Damaged(format!("{} was damaged: {}", path.display(), failure.message)))
        }
        Err(failure) => Err(failure),
    }
}

/// Verifies off the tasks that talk to others.
async fn verify_apart(path: &Path, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let (path, expected) = (path.to_owned(), Expected::of_checkpoint(checkpoint));
    tokio::task::spawn_blocking(move || verify(&path, &expected)).await.map_err(Failure::unexpected)?
}

/// What can be known of the file before a byte of it is fetched.
fn check_kind(checkpoint: &Checkpoint) -> Result<(), Failure> {
    if checkpoint.delta != FileRef::NONE {
        let message = "the servers publish what changed as delta files, which this version cannot read";
        return Err(Failure::new(Exit::Unexpected, message, "Use a newer version of this program."));
    }
    let (length, count) = (checkpoint.snapshot.length, checkpoint.count);
    if full_length(count) == Some(length) {
        return Ok(());
    }
    let message = format!("the servers signed for a file of {length} bytes, which {count} accounts cannot have");
    Err(Failure::unverified(message, "Nothing was fetched. Ask the people who run the servers."))
}

/// Reads the file from its first byte to its last.
fn verify(path: &Path, expected: &Expected) -> Result<(), Failure> {
    let failed = |error| Failure::disk("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let refused = |error| Failure::unverified(error, "It was thrown away; the last verified balances stay. Try again.");
    verify_full(file.take(length), length, expected, |_record| ()).map(drop).map_err(refused)
}

async fn fetch(network: &Network, file: FileRef, staged: &Path, voice: Voice) -> Result<(), Failure> {
    let torrent = network.torrent().await?;
    let (info_hash, length) = (file.info_hash, file.length);
    let request = FetchRequest { info_hash, length, path: staged.to_owned(), peers: Vec::new() };
    let fetch = torrent.fetch(request).await;
    let progress = fetch.progress();
    let outcome = tokio::select! {
        outcome = follow(fetch) => outcome,
        () = find_peers(&network.dht, torrent, info_hash) => Err(Failure::unexpected("the look-ups for peers ended")),
        () = draw(progress, voice) => Err(Failure::unexpected("the drawing of progress ended")),
    };
    // In any case the service must let go of the file before it gets its name or is removed.
    torrent.stop(info_hash).await;
    outcome
}

/// Waits for the file as long as something arrives.
async fn follow(fetch: Fetch) -> Result<(), Failure> {
    let mut progress = fetch.progress();
    let mut fetch = fetch;
    loop {
        let bytes = progress.borrow_and_update().bytes;
        let deadline = Instant::now() + NOTHING_ARRIVES;
        let arrives = async {
            while progress.borrow().bytes <= bytes {
                if progress.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            outcome = &mut fetch => return outcome.map(drop).map_err(|error| fetch_failure(&error)),
            () = arrives => {}
            () = sleep_until(deadline) => return Err(nothing_arrives()),
        }
    }
}

fn nothing_arrives() -> Failure {
    let message = format!("nobody gives the snapshot: nothing arrived for {} s", NOTHING_ARRIVES.as_secs());
    let next = "The last verified balances stay; what has arrived is kept. Try again later.";
    Failure::new(Exit::NoPeers, message, next)
}

fn fetch_failure(error: &FetchError) -> Failure {
    let exit = match error {
        FetchError::Length { .. } | FetchError::NotOneFile { .. } => Exit::Unverified,
        FetchError::Disk { .. } => Exit::Disk,
        FetchError::TooMany { .. } | FetchError::Stopped => Exit::Unexpected,
    };
    let message = match error {
        FetchError::Disk { path, why } => format!("cannot write {}: {}", path.display(), first_line(why)),
        error => error.to_string(),
    };
    Failure::new(exit, message, "The last verified balances stay. Try again later.")
}

/// The engine's account of an error goes on with its causes and traces.
fn first_line(why: &str) -> &str {
    why.lines().next().unwrap_or_default().trim()
}

/// Asks the DHT for peers again and again: somebody may be about to announce the file.
async fn find_peers(dht: &DhtHandle, torrent: &TorrentHandle, info_hash: InfoHash) {
    let mut pause = PEERS_PAUSE_FIRST;
    loop {
        let mut peers = dht.peers(info_hash);
        while let Some(peer) = peers.recv().await {
            torrent.add_peers(info_hash, &[peer]).await;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PEERS_PAUSE_MAX);
    }
}

/// Draws the progress on a terminal; never ends.
async fn draw(mut progress: watch::Receiver<Progress>, voice: Voice) {
    if voice.draws() {
        let template = "{spinner} {bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {msg}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_bad| ProgressStyle::default_bar());
        let bar = ProgressBar::new(progress.borrow().length).with_style(style);
        let bar = Cleared(bar);
        while progress.changed().await.is_ok() {
            let Progress { bytes, peers, .. } = *progress.borrow_and_update();
            bar.0.set_position(bytes);
            bar.0.set_message(format!("{peers} peers"));
        }
    }
    std::future::pending().await
}

/// A bar that leaves nothing on the screen.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
