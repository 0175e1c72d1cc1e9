//! The task that carries a file which is there.
use std::{path::PathBuf, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{TorrentEvent, answer, tell};
use crate::{
    engine::{Engine, State, Torrent},
    error::TorrentError,
    metainfo::Metainfo,
    storage::Access,
};

/// How often a check is looked after. The engine's own notice is looked for only every 100 ms.
const CHECK_LOOK: Duration = Duration::from_millis(5);

pub(super) struct Seeding {
    pub(super) engine: Engine,
    pub(super) metainfo: Box<Metainfo>,
    pub(super) path: PathBuf,
    pub(super) ready: CancellationToken,
    pub(super) events: mpsc::Sender<TorrentEvent>,
}

impl Seeding {
    pub(super) async fn run(self, stop: CancellationToken, reply: oneshot::Sender<Result<(), TorrentError>>) {
        let info_hash = self.metainfo.info_hash();
        let outcome = tokio::select! {
            () = stop.cancelled() => Err(TorrentError::Stopped),
            outcome = self.begin() => outcome,
        };
        if outcome.is_ok() {
            self.ready.cancel();
            tell(&self.events, TorrentEvent::Seeding { info_hash });
            answer(reply, outcome);
            stop.cancelled().await;
            self.engine.remove(info_hash).await;
        } else {
            self.engine.remove(info_hash).await;
            answer(reply, outcome);
        }
    }

    /// Hands the file to the engine and waits until it was found right.
    ///
    /// The engine hashes it once more, at about 1 GB/s: nothing wrong is ever offered, even if the
    /// disk lost what was written.
    async fn begin(&self) -> Result<(), TorrentError> {
        self.check_length().await?;
        let refused = |why| TorrentError::Engine { info_hash: self.metainfo.info_hash(), why };
        let access = Access::Read(self.events.clone());
        let torrent = self.engine.add(&self.metainfo, &self.path, access, Vec::new()).await.map_err(refused)?;
        self.await_check(&torrent).await
    }

    async fn check_length(&self) -> Result<(), TorrentError> {
        let failed = |source| TorrentError::Open { path: self.path.clone(), source };
        let file = tokio::fs::File::open(&self.path).await.map_err(failed)?;
        let (expected, got) = (self.metainfo.length(), file.metadata().await.map_err(failed)?.len());
        if got == expected { Ok(()) } else { Err(TorrentError::Length { path: self.path.clone(), expected, got }) }
    }

    async fn await_check(&self, torrent: &Torrent) -> Result<(), TorrentError> {
        let mut look = tokio::time::interval(CHECK_LOOK);
        loop {
            look.tick().await;
            match torrent.stats() {
                (State::Checking, _) => {}
                (State::Live, stats) if stats.finished => return Ok(()),
                (State::Live, stats) => {
                    let expected = self.metainfo.length();
                    return Err(TorrentError::Damaged { path: self.path.clone(), expected, good: stats.bytes_have });
                }
                (State::Failed(why), _) => {
                    return Err(TorrentError::Engine { info_hash: self.metainfo.info_hash(), why });
                }
            }
        }
    }
}
