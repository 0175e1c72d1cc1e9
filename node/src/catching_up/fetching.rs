//! The certified snapshot: from the swarm, verified to its last byte, laid beside the accounts in use.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use seedbank_snapshot::{Expected, FullFile, verify_full};
use seedbank_store::{Staged, Store};
use seedbank_torrent::{Fetch, FetchRequest, FileKind, Metainfo, Progress, file_name};
use seedbank_types::{Checkpoint, FileRef, Height};

use crate::divergence::find_peers;
use crate::shared::Shared;

/// A swarm that gives nothing for so long is given up: a newer snapshot may have taken the place of this one.
const STALLS_AFTER: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Records between two words on how far the writing is.
const RECORDS_A_WORD: u64 = 1 << 16;

/// A verified snapshot file.
#[derive(Debug)]
pub(super) struct Snapshot {
    path: PathBuf,
    /// Height of the last batch that changed any record.
    pub(super) last_change: Height,
}

/// Fetches the file that a checkpoint names and verifies it. What an interrupted fetch left is completed.
pub(super) async fn snapshot(shared: &Shared, dir: &Path, checkpoint: &Checkpoint) -> anyhow::Result<Snapshot> {
    ensure!(checkpoint.delta == FileRef::NONE, "the newest state is a delta: this program takes over full files only");
    let file = checkpoint.snapshot;
    let path = dir.join(format!("{}.snapshot", file.info_hash));
    keep_only(dir, &path).with_context(|| dir.display().to_string())?;
    let request =
        FetchRequest { info_hash: file.info_hash, length: file.length, path: path.clone(), peers: Vec::new() };
    let fetch = shared.catch_up.torrent.fetch(request).await;
    let outcome = tokio::select! {
        outcome = watched(shared, checkpoint.height, fetch) => outcome,
        () = find_peers(shared, file.info_hash) => bail!("the look-ups for peers ended"),
    };
    shared.catch_up.torrent.stop(file.info_hash).await;
    outcome?;
    shared.catch_up.tell("verifying the snapshot", checkpoint.height, 0);
    let checkpoint = checkpoint.clone();
    tokio::task::spawn_blocking(move || verified(path, &checkpoint)).await.context("the verification died")?
}

/// Deletes what was fetched for an older checkpoint.
fn keep_only(dir: &Path, path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        let other = entry?.path();
        if other != path {
            fs::remove_file(other)?;
        }
    }
    Ok(())
}

/// Waits as long as bytes come.
async fn watched(shared: &Shared, to: Height, mut fetch: Fetch) -> anyhow::Result<()> {
    let progress = fetch.progress();
    let (mut bytes, mut since) = (0, Instant::now());
    loop {
        let now: Progress = *progress.borrow();
        let percent = now.bytes.saturating_mul(100).checked_div(now.length).unwrap_or(0).min(100);
        shared.catch_up.tell("fetching the snapshot", to, u8::try_from(percent).expect("at most a hundred"));
        if now.bytes != bytes {
            (bytes, since) = (now.bytes, Instant::now());
        }
        ensure!(since.elapsed() < STALLS_AFTER, "nobody gives the snapshot: {bytes} of {} bytes came", now.length);
        tokio::select! {
            fetched = &mut fetch => return fetched.map(drop).context("the snapshot cannot be fetched"),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Every byte against the signed root, and the whole against the signed infohash. A wrong file is deleted.
fn verified(path: PathBuf, checkpoint: &Checkpoint) -> anyhow::Result<Snapshot> {
    let verify = || -> anyhow::Result<Height> {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let verified = verify_full(file, length, &Expected::of_checkpoint(checkpoint), |_record| ())?;
        let height = verified.header.height;
        let name = file_name(&checkpoint.community, height, FileKind::Snapshot);
        let info_hash = Metainfo::of_file(&name, &path)?.info_hash();
        ensure!(info_hash == checkpoint.snapshot.info_hash, "its infohash is {info_hash}");
        Ok(height)
    };
    match verify() {
        Ok(last_change) => Ok(Snapshot { path, last_change }),
        Err(error) => {
            fs::remove_file(&path)?;
            Err(error.context("the fetched snapshot is not the certified one"))
        }
    }
}

impl Snapshot {
    /// Lays the accounts beside those in use; says how far that is.
    pub(super) fn stage(&self, store: &Store, checkpoint: &Checkpoint, tell: impl Fn(u8)) -> anyhow::Result<Staged> {
        let place = || self.path.display().to_string();
        let file = File::open(&self.path).with_context(place)?;
        let mut file = FullFile::open(file, &Expected::of_checkpoint(checkpoint)).with_context(place)?;
        let (mut failed, mut count) = (None, 0_u64);
        let records = file.records().with_context(place)?;
        let records = records.map_while(|record| record.map_err(|error| failed = Some(error)).ok());
        let records = records.inspect(|_record| {
            if count.is_multiple_of(RECORDS_A_WORD) {
                let percent = count.saturating_mul(100).checked_div(checkpoint.count).unwrap_or(0).min(100);
                tell(u8::try_from(percent).expect("at most a hundred"));
            }
            count += 1;
        });
        let staged = store.stage(records)?;
        match failed {
            Some(error) => Err(anyhow::Error::new(error).context(place())),
            None => Ok(staged),
        }
    }
}
