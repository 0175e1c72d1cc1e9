//! The directory in which the client keeps everything: `wallet`, `current`, and one directory a community.
//!
//! In the community's directory: `trust.keys`, `genesis`, `newest` (the certificate of the highest epoch seen),
//! `verified` (that of the balances which are there), `snapshots/`, `payments/`, `conflict/`.
use std::path::{Path, PathBuf};
use std::time::Duration;

use seedbank_types::{Certificate, CommunityId, Genesis, Handover, InfoHash, PaymentId, SignedPayment, TrustFile};

use crate::disk::{self, PUBLIC};
use crate::errors::{Exit, Failure};
use crate::ranking::Conflict;

/// Longest file of ours but snapshots.
const SMALL_FILE_BYTES_MAX: u64 = 64 << 10;
/// Snapshots kept: the newest and the one before, which others may still be fetching.
pub(crate) const SNAPSHOTS_KEPT: usize = 2;
/// Longest file of handovers: some thousands.
const HANDOVERS_BYTES_MAX: u64 = 8 << 20;
/// Ending of the files of refused payments.
const REFUSED: &str = "refused";
/// Ending of the empty files that say that a payment reached a server.
const SENT: &str = "sent";
/// How often a lock that another process holds is tried.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The client's directory.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
}

/// What is kept about one community.
#[derive(Debug, Clone)]
pub(crate) struct CommunityHome {
    directory: PathBuf,
}

/// Held while snapshots are fetched or removed; other processes wait.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: std::fs::File,
}

impl Home {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory, made if need be.
    pub(crate) fn root(&self) -> Result<&Path, Failure> {
        disk::make_directory(&self.root)?;
        Ok(&self.root)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The place of one community, whether or not anything is there yet.
    pub(crate) fn community(&self, community: CommunityId) -> CommunityHome {
        CommunityHome { directory: self.root.join(community.to_string()) }
    }

    /// The community that was synced last.
    pub(crate) fn current(&self) -> Result<Option<CommunityId>, Failure> {
        let path = self.path("current");
        let Some(bytes) = disk::read(&path, SMALL_FILE_BYTES_MAX)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        text.trim().parse().map(Some).map_err(|error| Failure::damaged(&path, error))
    }

    pub(crate) fn set_current(&self, community: CommunityId) -> Result<(), Failure> {
        if self.current()? == Some(community) {
            return Ok(());
        }
        self.root()?;
        disk::write(&self.path("current"), format!("{community}\n").as_bytes(), PUBLIC)
    }

    /// The community whose servers these are, if its trust file was accepted before: a server's key is used
    /// for one community only.
    pub(crate) fn community_of(&self, trust: &TrustFile) -> Result<Option<CommunityId>, Failure> {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return Ok(None) };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for community in names.filter_map(|name| name.parse::<CommunityId>().ok()) {
            let kept = self.community(community).trust()?;
            if kept.is_some_and(|(kept, _)| kept.servers == trust.servers) {
                return Ok(Some(community));
            }
        }
        Ok(None)
    }
}

impl CommunityHome {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The trust file and its text.
    pub(crate) fn trust(&self) -> Result<Option<(TrustFile, String)>, Failure> {
        let path = self.path("trust.keys");
        let Some(bytes) = disk::read(&path, SMALL_FILE_BYTES_MAX)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let trust = text.parse().map_err(|error| Failure::damaged(&path, error))?;
        Ok(Some((trust, text)))
    }

    pub(crate) fn store_trust(&self, text: &str) -> Result<(), Failure> {
        self.store("trust.keys", text.as_bytes())
    }

    pub(crate) fn genesis(&self) -> Result<Option<Genesis>, Failure> {
        self.load("genesis", Genesis::decode)
    }

    pub(crate) fn store_genesis(&self, genesis: &Genesis) -> Result<(), Failure> {
        self.store("genesis", &genesis.encode())
    }

    /// The handovers that were followed from the trust file's servers, oldest first.
    pub(crate) fn handovers(&self) -> Result<Vec<Handover>, Failure> {
        let path = self.path("handovers");
        let Some(bytes) = disk::read(&path, HANDOVERS_BYTES_MAX)? else { return Ok(Vec::new()) };
        let (mut handovers, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let split = more.split_at_checked(length);
            let (one, after) = split.ok_or_else(|| damaged(&path, &"it is cut short"))?;
            handovers.push(Handover::decode(one).map_err(|error| damaged(&path, &error))?);
            rest = after;
        }
        Ok(handovers)
    }

    /// Keeps them, each behind its length (u32).
    pub(crate) fn store_handovers(&self, handovers: &[Handover]) -> Result<(), Failure> {
        if handovers.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for handover in handovers {
            let one = handover.encode();
            bytes.extend_from_slice(&u32::try_from(one.len()).expect("a handover has some KiB at most").to_be_bytes());
            bytes.extend_from_slice(&one);
        }
        disk::make_directory(&self.directory)?;
        disk::write(&self.path("handovers"), &bytes, PUBLIC)
    }

    /// The certificate of the highest epoch ever believed.
    pub(crate) fn newest(&self) -> Result<Option<Certificate>, Failure> {
        self.load("newest", Certificate::decode)
    }

    /// Keeps it, unless a higher epoch is kept: the highest is never gone back on, whichever process saw it. What is
    /// kept of the same epoch and says something else is given back.
    pub(crate) fn store_newest(&self, certificate: &Certificate) -> Result<Option<Certificate>, Failure> {
        self.raise("newest", certificate)
    }

    /// Where the certificate of the highest epoch is.
    pub(crate) fn newest_path(&self) -> PathBuf {
        self.path("newest")
    }

    /// Where the genesis is.
    pub(crate) fn genesis_path(&self) -> PathBuf {
        self.path("genesis")
    }

    /// Where the certificate of the balances is.
    pub(crate) fn verified_path(&self) -> PathBuf {
        self.path("verified")
    }

    /// Compares and writes under a lock of its own: that of the files is held through whole fetches.
    fn raise(&self, name: &str, certificate: &Certificate) -> Result<Option<Certificate>, Failure> {
        let load = || self.load(name, Certificate::decode);
        if load()?.is_some_and(|kept| kept == *certificate) {
            return Ok(None);
        }
        disk::make_directory(&self.directory)?;
        let path = self.path("certificates.lock");
        let failed = |error: std::io::Error| Failure::disk("lock", &path, error);
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let (kept, new) = (load()?, &certificate.checkpoint);
        match kept {
            Some(kept) if kept.checkpoint.epoch > new.epoch => Ok(None),
            Some(kept) if kept.checkpoint.epoch == new.epoch && kept.checkpoint.hash() != new.hash() => Ok(Some(kept)),
            _ => self.store(name, &certificate.encode()).map(|()| None),
        }
    }

    /// The certificate of the balances that are there.
    pub(crate) fn verified(&self) -> Result<Option<Certificate>, Failure> {
        self.load("verified", Certificate::decode)
    }

    /// Like [`Self::store_newest`].
    pub(crate) fn store_verified(&self, certificate: &Certificate) -> Result<Option<Certificate>, Failure> {
        self.raise("verified", certificate)
    }

    /// Where a verified snapshot is.
    pub(crate) fn snapshot_path(&self, info_hash: InfoHash) -> PathBuf {
        self.path("snapshots").join(format!("{info_hash}.snapshot"))
    }

    /// Where a snapshot comes in; an interrupted fetch goes on there.
    pub(crate) fn staging_path(&self, info_hash: InfoHash) -> Result<PathBuf, Failure> {
        disk::make_directory(&self.path("staging"))?;
        disk::make_directory(&self.path("snapshots"))?;
        Ok(self.path("staging").join(format!("{info_hash}.part")))
    }

    /// Removes all snapshots but the newest few by age, `keep` in any case, and what was left half fetched.
    pub(crate) fn prune(&self, keep: InfoHash) -> Result<(), Failure> {
        let mut others: Vec<_> = files(&self.path("snapshots"));
        others.retain(|(_, path)| *path != self.snapshot_path(keep));
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(SNAPSHOTS_KEPT);
        let half_fetched = files(&self.path("staging"));
        others.into_iter().take(surplus).chain(half_fetched).try_for_each(|(_, path)| disk::remove(&path))
    }

    /// Takes the lock of this community's files, waiting for whoever holds it.
    pub(crate) async fn lock(&self) -> Result<Lock, Failure> {
        self.lock_named("lock").await
    }

    /// Held from asking for a sequence until the payment that carries it was sent: two payments made at once
    /// would else carry the same one.
    pub(crate) async fn lock_payments(&self) -> Result<Lock, Failure> {
        self.lock_named("payments.lock").await
    }

    async fn lock_named(&self, name: &str) -> Result<Lock, Failure> {
        disk::make_directory(&self.directory)?;
        let path = self.path(name);
        let failed = |error: std::io::Error| Failure::disk("lock", &path, error);
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
                Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Keeps a payment; it is on disk when this returns.
    pub(crate) fn store_payment(&self, id: PaymentId, payment: &SignedPayment) -> Result<(), Failure> {
        disk::make_directory(&self.path("payments"))?;
        disk::write(&self.path("payments").join(id.to_string()), &payment.encode(), PUBLIC)
    }

    pub(crate) fn payment(&self, id: PaymentId) -> Result<Option<SignedPayment>, Failure> {
        self.load(&format!("payments/{id}"), SignedPayment::decode)
    }

    /// Remembers that the servers refused a payment for good, so that it is never sent again by itself.
    pub(crate) fn set_refused(&self, id: PaymentId) -> Result<(), Failure> {
        let path = self.path("payments").join(id.to_string());
        if path.exists() { disk::rename_flushed(&path, &path.with_extension(REFUSED)) } else { Ok(()) }
    }

    /// Remembers that a payment made here reached a server: whoever pays the same again means a second payment.
    pub(crate) fn set_sent(&self, id: PaymentId) -> Result<(), Failure> {
        let path = self.path("payments").join(id.to_string());
        if path.exists() && !self.is_sent(id) { disk::write(&path.with_extension(SENT), b"", PUBLIC) } else { Ok(()) }
    }

    /// Whether a payment is known to have reached a server.
    pub(crate) fn is_sent(&self, id: PaymentId) -> bool {
        self.path("payments").join(format!("{id}.{SENT}")).exists()
    }

    /// A payment that the servers refused for good.
    pub(crate) fn refused_payment(&self, id: PaymentId) -> Result<Option<SignedPayment>, Failure> {
        self.load(&format!("payments/{id}.{REFUSED}"), SignedPayment::decode)
    }

    /// All payments made from here but those that were refused.
    pub(crate) fn payments(&self) -> Result<Vec<(PaymentId, SignedPayment)>, Failure> {
        let names = files(&self.path("payments")).into_iter().filter_map(|(_, path)| {
            let name = path.file_name()?.to_str()?;
            name.parse::<PaymentId>().ok()
        });
        let mut payments = Vec::new();
        for id in names {
            payments.extend(self.payment(id)?.map(|payment| (id, payment)));
        }
        Ok(payments)
    }

    /// Keeps what contradicts itself; from now on nothing is believed.
    pub(crate) fn store_conflict(&self, conflict: &Conflict, evidence: &[Vec<u8>]) -> Result<PathBuf, Failure> {
        let directory = self.path("conflict");
        disk::make_directory(&directory)?;
        for (number, bytes) in evidence.iter().enumerate() {
            disk::write(&directory.join(format!("evidence-{number}")), bytes, PUBLIC)?;
        }
        disk::write(&directory.join("certificate-1"), &conflict.one.encode(), PUBLIC)?;
        disk::write(&directory.join("certificate-2"), &conflict.other.encode(), PUBLIC)?;
        Ok(directory)
    }

    /// Fails if two certified histories were seen in an earlier run.
    pub(crate) fn check_no_conflict(&self) -> Result<(), Failure> {
        let directory = self.path("conflict");
        if !directory.join("certificate-2").exists() {
            return Ok(());
        }
        Err(conflict_failure(&directory, "two certificates that contradict each other were seen"))
    }

    /// Keeps a signed statement that contradicts what is certified, without being certified itself.
    pub(crate) fn store_dispute(&self, certificate: &Certificate) -> Result<PathBuf, Failure> {
        let directory = self.path("disputes");
        disk::make_directory(&directory)?;
        let checkpoint = &certificate.checkpoint;
        let path = directory.join(format!("{}-{}", checkpoint.epoch, &checkpoint.hash().to_string()[..16]));
        if !path.exists() {
            disk::write(&path, &certificate.encode(), PUBLIC)?;
        }
        Ok(path)
    }

    /// Writes a file, unless it holds the same already: a home that cannot be written to is still of use.
    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        if disk::read(&self.path(name), SMALL_FILE_BYTES_MAX).is_ok_and(|kept| kept.as_deref() == Some(bytes)) {
            return Ok(());
        }
        disk::make_directory(&self.directory)?;
        disk::write(&self.path(name), bytes, PUBLIC)
    }

    fn load<T, E: std::fmt::Display>(
        &self,
        name: &str,
        decode: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>, Failure> {
        let path = self.path(name);
        let Some(bytes) = disk::read(&path, SMALL_FILE_BYTES_MAX)? else { return Ok(None) };
        decode(&bytes).map(Some).map_err(|error| damaged(&path, &error))
    }
}

/// Everything can be had again but payments: one that was sent may still be ordered.
fn damaged(path: &Path, error: &impl std::fmt::Display) -> Failure {
    let failure = Failure::damaged(path, error);
    if !path.parent().is_some_and(|parent| parent.ends_with("payments")) {
        return failure;
    }
    let next =
        "Ask for it with `seedbank payment` and the name of the file, from another --home, and move the file away.";
    Failure { next: next.to_owned(), ..failure }
}

/// What is said when certified histories contradict each other.
pub(crate) fn conflict_failure(directory: &Path, what: &str) -> Failure {
    let message = format!("{what}: servers have lied, and no balance is believed any more");
    let next = format!(
        "Ask the people who run the servers; the proof is in {}. Remove that directory only when they have explained it.",
        directory.display()
    );
    Failure { code: "conflict".into(), ..Failure::new(Exit::Unverified, message, next) }
}

/// The files of a directory with the time of their last change; none if there is no directory.
fn files(directory: &Path) -> Vec<(std::time::SystemTime, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let dated = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    entries.filter_map(|entry| dated(entry.ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use seedbank_types::Epoch;

    use super::*;
    use crate::samples::{COMMUNITY, certificate, trust};

    #[test]
    fn the_highest_epoch_on_disk_is_never_gone_back_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
        for epoch in [5, 7, 6] {
            home.store_newest(&certificate(epoch, 1, &[0, 1])).expect("writable");
        }
        assert_eq!(home.newest().expect("readable").expect("there").checkpoint.epoch, Epoch(7));
    }

    #[test]
    fn another_statement_of_the_same_epoch_is_given_back_and_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
        let (one, other) = (certificate(7, 1, &[0, 1]), certificate(7, 2, &[1, 2]));
        assert_eq!(home.store_newest(&one).expect("writable"), None);
        assert_eq!(home.store_newest(&certificate(7, 1, &[0, 2])).expect("writable"), None, "other signers");
        assert_eq!(home.store_newest(&one).expect("writable"), None);
        assert_eq!(home.store_newest(&other).expect("readable"), Some(one.clone()));
        assert_eq!(home.newest().expect("readable"), Some(one));
    }

    #[test]
    fn a_cut_file_is_damaged_and_no_fault_of_the_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Home::new(directory.path().to_owned());
        let home = root.community(COMMUNITY);
        disk::make_directory(&home.directory).expect("writable");
        for name in ["newest", "verified", "genesis", "trust.keys"] {
            std::fs::write(home.path(name), b"cut").expect("writable");
        }
        std::fs::write(root.path("current"), b"cut").expect("writable");
        let failures = [
            home.newest().map(drop),
            home.verified().map(drop),
            home.genesis().map(drop),
            home.trust().map(drop),
            root.current().map(drop),
        ];
        for failure in failures.map(|read| read.expect_err("cut")) {
            assert_eq!((failure.exit, &*failure.code), (Exit::Unverified, "damaged"), "{failure}");
        }
    }

    #[test]
    fn a_community_is_known_again_by_its_servers() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned());
        assert_eq!(home.community_of(&trust()).expect("readable"), None);
        home.community(COMMUNITY).store_trust(&trust().to_string()).expect("writable");
        assert_eq!(home.community_of(&trust()).expect("readable"), Some(COMMUNITY));
    }

    #[test]
    fn a_refused_payment_is_set_aside() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
        let (id, payment) = crate::samples::payment(3, 10);
        home.store_payment(id, &payment).expect("writable");
        assert_eq!(home.payments().expect("readable"), [(id, payment.clone())]);
        home.set_refused(id).expect("writable");
        assert_eq!(home.payments().expect("readable"), []);
        assert_eq!(home.payment(id).expect("readable"), None);
        assert_eq!(home.refused_payment(id).expect("readable"), Some(payment));
    }

    #[test]
    fn that_a_payment_was_sent_is_remembered() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
        let (id, payment) = crate::samples::payment(3, 10);
        home.set_sent(id).expect("not made here");
        assert!(!home.is_sent(id));
        home.store_payment(id, &payment).expect("writable");
        assert!(!home.is_sent(id));
        home.set_sent(id).expect("writable");
        assert!(home.is_sent(id));
        assert_eq!(home.payments().expect("readable"), [(id, payment)]);
    }

    #[tokio::test]
    async fn who_pays_waits_for_who_is_paying() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
        let held = home.lock_payments().await.expect("free");
        let second = tokio::time::timeout(LOCK_POLL * 3, home.lock_payments()).await;
        assert!(second.is_err(), "the first one still pays");
        drop(held);
        home.lock_payments().await.expect("free again");
    }

    #[test]
    fn a_conflict_is_remembered() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
        home.check_no_conflict().expect("none yet");
        let conflict = Conflict { one: certificate(7, 1, &[0, 1]), other: certificate(7, 2, &[1, 2]) };
        home.store_conflict(&conflict, &[vec![1]]).expect("writable");
        let failure = home.check_no_conflict().expect_err("remembered");
        assert_eq!((failure.exit, &*failure.code), (Exit::Unverified, "conflict"));
    }

    #[test]
    fn old_snapshots_go_and_the_newest_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
        home.staging_path(InfoHash([9; 20])).expect("writable");
        for number in 1..=4 {
            std::fs::write(home.snapshot_path(InfoHash([number; 20])), b"balances").expect("writable");
        }
        home.prune(InfoHash([1; 20])).expect("removable");
        assert!(home.snapshot_path(InfoHash([1; 20])).exists());
        assert_eq!(files(&home.path("snapshots")).len(), SNAPSHOTS_KEPT);
    }
}
