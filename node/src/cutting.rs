//! The task that cuts snapshots, one after the other, off the runtime's threads.
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use seedbank_quorum::{Cut, CutOrder, Input};
use seedbank_store::Records;
use seedbank_types::{CommunityId, FileRef};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::engine_thread::EngineHandle;
use crate::snapshots::{self, SnapshotFile};

/// An order with the accounts of that moment, to be read twice.
pub(crate) type CutWork = (CutOrder, Box<(Records, Records)>);

/// The order that waits. A newer one takes its place: the epoch before is certified by then.
#[derive(Debug, Default)]
pub(crate) struct CutSlot {
    waiting: Mutex<Option<CutWork>>,
    filled: Notify,
}

impl CutSlot {
    pub(crate) fn put(&self, work: CutWork) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        self.filled.notify_one();
    }

    async fn take(&self) -> CutWork {
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            match waiting {
                Some(work) => return work,
                None => self.filled.notified().await,
            }
        }
    }
}

/// Cuts snapshots and remembers the newest: a state without changes has the same file.
pub(crate) struct Cutter {
    pub(crate) dir: PathBuf,
    pub(crate) community: CommunityId,
    pub(crate) engine: EngineHandle,
    /// Where finished files go.
    pub(crate) files: mpsc::Sender<Arc<SnapshotFile>>,
}

impl Cutter {
    /// Runs until `stop`. An error is fatal: the server could sign nothing.
    pub(crate) async fn run(self, slot: Arc<CutSlot>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut newest: Option<Arc<SnapshotFile>> = None;
        while let Some((order, records)) = stop.run_until_cancelled(slot.take()).await {
            let file = match newest.filter(|file| file.height == order.last_change) {
                Some(file) => file,
                None => Arc::new(self.cut(&order, *records).await?),
            };
            self.answer(&order, &file).await;
            newest = Some(file);
        }
        Ok(())
    }

    async fn cut(&self, order: &CutOrder, (first, second): (Records, Records)) -> anyhow::Result<SnapshotFile> {
        let (dir, community, height) = (self.dir.clone(), self.community, order.last_change);
        let count = first.state().count;
        let work = move || snapshots::cut(&dir, community, height, count, first, second);
        tokio::task::spawn_blocking(work).await.context("the cut of a snapshot died")?
    }

    async fn answer(&self, order: &CutOrder, file: &Arc<SnapshotFile>) {
        if self.files.send(Arc::clone(file)).await.is_err() {
            tracing::debug!("the publisher has stopped");
        }
        let (root, count, supply) = (file.table.root(), file.table.count(), file.table.supply());
        let cut = Cut { epoch: order.epoch, root, count, supply, snapshot: file.file_ref(), delta: FileRef::NONE };
        self.engine.send(Input::Cut(cut)).await;
    }
}
