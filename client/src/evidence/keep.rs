//! Evidence in the home directory, and asking the servers for theirs.
use std::path::{Path, PathBuf};
use std::time::Duration;

use seedbank_types::{CommunityId, Evidence, ServerSet};
use tokio::time::timeout;

use super::{FILE_BYTES_MAX, file_name};
use crate::disk::{self, PUBLIC};
use crate::errors::Failure;
use crate::home::CommunityHome;
use crate::servers::Servers;

/// Pieces of evidence kept of one key: the first decides, a few more show that it goes on.
pub(crate) const EVIDENCE_PER_KEY_MAX: usize = 4;
/// How long the servers may take to tell theirs.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The evidence in a directory that proves something against these servers, oldest epoch first. What is there
/// besides is passed over: nothing is believed because it lies there.
pub(crate) fn read_all(
    directory: &Path,
    community: CommunityId,
    servers: &ServerSet,
) -> Result<Vec<(Evidence, PathBuf)>, Failure> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()) {
        let bytes = disk::read(&path, FILE_BYTES_MAX)?.unwrap_or_default();
        match Evidence::decode(&bytes) {
            Ok(evidence) if is_against(&evidence, community, servers) => all.push((evidence, path)),
            Ok(_) => tracing::debug!(path = %path.display(), "evidence against nobody here"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "no evidence"),
        }
    }
    all.sort_by_key(|(evidence, _)| (evidence.a.epoch, evidence.key));
    Ok(all)
}

/// Whether it proves that one of these servers signed twice.
pub(crate) fn is_against(evidence: &Evidence, community: CommunityId, servers: &ServerSet) -> bool {
    let is_ours = evidence.a.community == community && servers.number(&evidence.key).is_some();
    is_ours && evidence.verify().is_ok()
}

/// What the servers know; nothing if they do not answer soon. What they do not know is told to them.
pub(crate) async fn ask(
    connecting: impl Future<Output = Result<Servers, Failure>>,
    known: Vec<Evidence>,
) -> Vec<Evidence> {
    let asked = async {
        let servers = connecting.await?;
        let theirs = servers.evidence().await;
        let place = |one: &Evidence| (one.key, one.a.epoch);
        let news = known.into_iter().filter(|own| !theirs.iter().any(|one| place(one) == place(own)));
        servers.tell_evidence(news.collect()).await;
        Ok::<_, Failure>(theirs)
    };
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(evidence)) => evidence,
        Ok(Err(failure)) => {
            tracing::debug!(%failure, "no server tells of double signers");
            Vec::new()
        }
        Err(_elapsed) => Vec::new(),
    }
}

impl CommunityHome {
    /// Where evidence is kept.
    pub(crate) fn evidence_directory(&self) -> PathBuf {
        self.path("evidence")
    }

    /// Keeps evidence, once for each key and epoch; of one key only a few. It must have been verified.
    pub(crate) fn store_evidence(&self, evidence: &Evidence) -> Result<(), Failure> {
        let directory = self.evidence_directory();
        let path = directory.join(file_name(evidence));
        let of_key = format!("evidence-{}-", evidence.key.short());
        let names = std::fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok);
        let kept = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&of_key)).count();
        if path.exists() || kept >= EVIDENCE_PER_KEY_MAX {
            return Ok(());
        }
        disk::make_directory(&directory)?;
        disk::write(&path, &evidence.encode(), PUBLIC)
    }
}
