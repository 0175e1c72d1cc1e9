//! What is certified is made known: record and announcements in the DHT, files in the swarm.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use seedbank_dht::{Announcement, DhtHandle, RecordKeeper};
use seedbank_store::{Store, StoreError};
use seedbank_torrent::{Metainfo, TorrentHandle};
use seedbank_types::{Certificate, Contact, Epoch, InfoHash, ServerRecord, ServerSecret, ServerSet};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::proofs::{ProofSource, Proofs};
use crate::shared::OwnRecord;
use crate::snapshots::{Files, SnapshotFile};
use crate::twins;

/// The files of so many certified checkpoints are seeded.
pub(crate) const CHECKPOINTS_SEEDED: usize = 3;
/// Where the number of the last record is kept in the store.
const RECORD_SEQ: &str = "record seq";

/// A certificate that lacks signatures waits at most so long for a better one, before it is put.
const BETTER_WITHIN: Duration = Duration::from_millis(300);

/// A certificate with the servers that signed it.
pub(crate) type Certified = (Certificate, ServerSet);

/// The one task that publishes.
pub(crate) struct Publisher {
    pub(crate) secret: ServerSecret,
    pub(crate) store: Store,
    pub(crate) dht: DhtHandle,
    pub(crate) torrent: TorrentHandle,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) proofs: Arc<Proofs>,
    pub(crate) record: OwnRecord,
}

/// What is published at present.
#[derive(Default)]
struct Published {
    keeper: Option<RecordKeeper>,
    /// Files on this disk.
    files: Files,
    /// The file that was cut last: it may not be certified yet.
    newest_cut: Option<Arc<SnapshotFile>>,
    announcements: BTreeMap<InfoHash, Announcement>,
    /// Snapshots of the newest certified epochs.
    certified: BTreeMap<Epoch, InfoHash>,
    /// Looks for records of this key that are not from here.
    twins: JoinSet<anyhow::Error>,
}

enum News {
    File(Arc<SnapshotFile>),
    Certified(Box<Certified>),
}

/// `None` once both channels are closed.
async fn next(
    files: &mut mpsc::Receiver<Arc<SnapshotFile>>,
    certificates: &mut mpsc::Receiver<Certified>,
) -> Option<News> {
    tokio::select! {
        Some(file) = files.recv() => Some(News::File(file)),
        Some(certified) = certificates.recv() => Some(News::Certified(Box::new(certified))),
        else => None,
    }
}

impl Publisher {
    /// Runs until both channels are closed. An error is fatal: the disk does not do what it should.
    pub(crate) async fn run(
        self,
        leftovers: Files,
        mut files: mpsc::Receiver<Arc<SnapshotFile>>,
        mut certificates: mpsc::Receiver<Certified>,
    ) -> anyhow::Result<()> {
        let mut published = Published::default();
        self.resume(&mut published, leftovers).await?;
        loop {
            tokio::select! {
                news = next(&mut files, &mut certificates) => match news {
                    Some(News::File(file)) => self.on_file(&mut published, file).await,
                    Some(News::Certified(first)) => {
                        for (certificate, signers) in best_soon(*first, &mut certificates).await {
                            self.on_certified(&mut published, &certificate, &signers).await?;
                        }
                    }
                    None => return Ok(()),
                },
                Some(found) = published.twins.join_next() => return Err(found.unwrap_or_else(Into::into)),
            }
        }
    }

    /// Seeds what an earlier run left, and puts its last record again.
    async fn resume(&self, published: &mut Published, leftovers: Files) -> anyhow::Result<()> {
        for (metainfo, path) in leftovers.into_values() {
            self.seed(published, metainfo, path).await;
        }
        let mut certificates = newest_certificates(&self.store)?;
        let Some(newest) = certificates.pop() else { return Ok(()) };
        let earlier = certificates.iter().map(|one| (one.checkpoint.epoch, one.checkpoint.snapshot.info_hash));
        published.certified = earlier.collect();
        let signers = self.store.ledger_state().signers;
        self.on_certified(published, &newest, &signers).await
    }

    async fn on_file(&self, published: &mut Published, file: Arc<SnapshotFile>) {
        self.seed(published, file.metainfo.clone(), file.path.clone()).await;
        published.newest_cut = Some(file);
        self.announce(published);
    }

    async fn seed(&self, published: &mut Published, metainfo: Metainfo, path: PathBuf) {
        let info_hash = metainfo.info_hash();
        published.files.insert(info_hash, (metainfo.clone(), path.clone()));
        if let Err(error) = self.torrent.seed(metainfo, &path).await {
            tracing::error!(%info_hash, %error, "the snapshot is not seeded");
        }
    }

    async fn on_certified(
        &self,
        published: &mut Published,
        certificate: &Certificate,
        signers: &ServerSet,
    ) -> anyhow::Result<()> {
        let checkpoint = &certificate.checkpoint;
        published.certified.insert(checkpoint.epoch, checkpoint.snapshot.info_hash);
        while published.certified.len() > CHECKPOINTS_SEEDED {
            published.certified.pop_first();
        }
        self.put_record(published, certificate, signers).await?;
        self.announce(published);
        self.prove_from(published, certificate);
        if published.files.contains_key(&checkpoint.snapshot.info_hash) {
            self.forget_old(published).await;
        }
        Ok(())
    }

    /// A record's number is on the disk before anybody sees it, and above all that were seen.
    async fn put_record(
        &self,
        published: &mut Published,
        certificate: &Certificate,
        signers: &ServerSet,
    ) -> anyhow::Result<()> {
        let status = published.keeper.as_ref().map(RecordKeeper::status);
        // A newer record is passed over only while it may stem from this server's own lost state.
        let seen = status.filter(|status| status.stored.is_none()).and_then(|status| status.seen);
        let store = self.store.clone();
        let next = move || next_seq(&store, seen);
        let seq = tokio::task::spawn_blocking(next).await.context("the numbering of records died")??;
        let value = ServerRecord::new(certificate, signers, &self.contacts).encode();
        let put = match &published.keeper {
            Some(keeper) => keeper.update(seq, value),
            None => match self.dht.keep_record(self.secret.clone(), seq, value) {
                Ok(keeper) => {
                    let (store, dht, key) = (self.store.clone(), self.dht.clone(), self.secret.public());
                    published.twins.spawn(twins::watch(store, dht, key, keeper.watch_status()));
                    self.record.get_or_init(|| keeper.watch_status());
                    published.keeper = Some(keeper);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = put {
            tracing::error!(%error, "the record of this server is not put into the DHT");
        }
        Ok(())
    }

    /// Announces the certified files that are here.
    fn announce(&self, published: &mut Published) {
        let wanted: Vec<InfoHash> = published.certified.values().copied().collect();
        published.announcements.retain(|info_hash, _| wanted.contains(info_hash));
        for info_hash in wanted.into_iter().filter(|info_hash| published.files.contains_key(info_hash)) {
            let port = self.torrent.listen().port();
            published.announcements.entry(info_hash).or_insert_with(|| self.dht.announce(info_hash, port));
        }
    }

    /// Proofs are made from the file that was cut last, once it is certified.
    fn prove_from(&self, published: &Published, certificate: &Certificate) {
        let file = published.newest_cut.as_ref();
        if let Some(file) = file.filter(|file| file.file_ref() == certificate.checkpoint.snapshot) {
            let (certificate, table, path) = (certificate.clone(), Arc::clone(&file.table), file.path.clone());
            self.proofs.use_from_now(ProofSource { certificate, table, path });
        }
    }

    /// Stops and deletes files that are older than the last certified ones.
    async fn forget_old(&self, published: &mut Published) {
        let newest = published.newest_cut.as_ref().map(|file| file.metainfo.info_hash());
        let wanted: Vec<InfoHash> = published.certified.values().copied().chain(newest).collect();
        let is_old = |info_hash: &InfoHash| !wanted.contains(info_hash);
        let old: Vec<InfoHash> = published.files.keys().copied().filter(is_old).collect();
        for info_hash in old {
            self.torrent.stop(info_hash).await;
            let Some((_, path)) = published.files.remove(&info_hash) else { continue };
            if let Err(error) = tokio::fs::remove_file(&path).await {
                tracing::warn!(path = %path.display(), %error, "an old snapshot is not deleted");
            }
        }
    }
}

/// The certificates whose files are seeded, oldest first.
pub(crate) fn newest_certificates(store: &Store) -> Result<Vec<Certificate>, StoreError> {
    let Some(newest) = store.newest_certificate()? else { return Ok(Vec::new()) };
    let newest = newest.checkpoint.epoch.0;
    let epochs = newest.saturating_sub(CHECKPOINTS_SEEDED as u64 - 1)..=newest;
    epochs.map(|epoch| store.certificate(Epoch(epoch))).filter_map(Result::transpose).collect()
}

fn next_seq(store: &Store, seen: Option<u64>) -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis())?;
    let seq = now.max(last_seq(store)? + 1).max(seen.map_or(0, |seen| seen + 1));
    keep_seq(store, seq)?;
    Ok(seq)
}

/// Remembers the number of the last record.
pub(crate) fn keep_seq(store: &Store, seq: u64) -> Result<(), StoreError> {
    store.meta_put(RECORD_SEQ, &seq.to_be_bytes())
}

/// The number of the last record that was made here.
pub(crate) fn last_seq(store: &Store) -> Result<u64, StoreError> {
    let last = store.meta(RECORD_SEQ)?;
    Ok(last.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map_or(0, u64::from_be_bytes))
}

/// The best certificate of the first one's epoch that comes within [`BETTER_WITHIN`], and the first
/// of a later epoch if one came meanwhile: most clients see the best grade at once, and a put is saved.
async fn best_soon(first: Certified, certificates: &mut mpsc::Receiver<Certified>) -> Vec<Certified> {
    let deadline = Instant::now() + BETTER_WITHIN;
    let mut best = first;
    while best.0.signatures.len() < best.1.count() {
        match timeout_at(deadline, certificates.recv()).await {
            Ok(Some(next)) if next.0.checkpoint.epoch != best.0.checkpoint.epoch => return vec![best, next],
            Ok(Some(next)) if next.0.signatures.len() > best.0.signatures.len() => best = next,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    vec![best]
}
