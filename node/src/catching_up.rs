//! A server that is too far behind for batches goes on from the newest certified state: its checkpoint, proven from
//! the servers that are known here, its snapshot from the swarm, the header that closed it; then the batches since.
//!
//! Nothing is taken from anybody that the servers' signatures do not confirm, and until the last write the old state
//! stands.
mod fetching;
mod finding;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use seedbank_api::{CatchingUp, ServerState};
use seedbank_quorum::{CertifiedState, Input};
use seedbank_torrent::TorrentHandle;
use seedbank_types::Height;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::fetching::Snapshot;
use crate::engine_thread::View;
use crate::shared::{Parts, Shared};

/// A server that hears no quorum for so long looks whether other servers are in force by now.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// So often the newest state is tried before the quorum hears that there is none.
const TRIES: usize = 3;

/// Where it is asked for, and what is told of it.
pub(crate) struct CatchUpDesk {
    wanted: Notify,
    told: Mutex<Option<CatchingUp>>,
    torrent: TorrentHandle,
}

impl CatchUpDesk {
    pub(crate) fn new(torrent: TorrentHandle) -> Self {
        Self { wanted: Notify::new(), told: Mutex::new(None), torrent }
    }

    /// A certified state is wanted.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// How far it is, as of now.
    pub(crate) fn progress(&self, view: &View) -> Option<CatchingUp> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told.or_else(|| {
            let to = view.behind?;
            let percent = view.height.0.saturating_mul(100).checked_div(to.0).unwrap_or(0).min(100);
            let percent = u8::try_from(percent).expect("at most a hundred");
            Some(CatchingUp { step: "fetching batches".to_owned(), to, percent })
        })
    }

    fn tell(&self, step: &str, to: Height, percent: u8) {
        let told = CatchingUp { step: step.to_owned(), to, percent };
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    fn tell_no_more(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Runs until `stop`.
pub(crate) async fn run(shared: Shared, dir: PathBuf, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let is_asked_for = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = shared.catch_up.wanted.notified() => true,
            () = tokio::time::sleep(LOOK_AFTER) => false,
        };
        if is_asked_for || is_lost(&shared) {
            stop.run_until_cancelled(catch_up(&shared, &dir, is_asked_for)).await;
            shared.catch_up.tell_no_more();
            // What was wanted meanwhile has been seen to; if it was not, it is wanted again soon.
            tokio::select! {
                biased;
                () = shared.catch_up.wanted.notified() => {}
                () = std::future::ready(()) => {}
            }
        }
    }
}

/// Whether no quorum of the servers that are known here is heard: others may be in force by now.
fn is_lost(shared: &Parts) -> bool {
    shared.engine.view().state == ServerState::Joining && !shared.reach().is_quorum
}

async fn catch_up(shared: &Shared, dir: &std::path::Path, is_asked_for: bool) {
    for _ in 0..TRIES {
        match go_on_from_newest(shared, dir, is_asked_for).await {
            Ok(true) => return,
            Ok(false) => break,
            Err(error) => tracing::warn!("the newest certified state was not taken over: {error:#}"),
        }
    }
    if is_asked_for {
        shared.engine.send(Input::NoState).await;
    }
}

/// Whether there was a newer state that is of use.
async fn go_on_from_newest(shared: &Shared, dir: &std::path::Path, is_asked_for: bool) -> anyhow::Result<bool> {
    let height = shared.store.ledger_state().height;
    let Some(state) = finding::newest(shared).await? else { return Ok(false) };
    let checkpoint = &state.epoch.certificate.checkpoint;
    // A server that only waits for others to come back needs no snapshot.
    let is_of_use = is_asked_for || !state.epoch.handovers.is_empty();
    if checkpoint.height <= height || !is_of_use {
        return Ok(false);
    }
    tracing::info!(
        "at height {height}, far behind: going on from the certified state of epoch {} at height {}, {} accounts",
        checkpoint.epoch,
        checkpoint.height,
        checkpoint.count,
    );
    let snapshot = fetching::snapshot(shared, dir, checkpoint).await?;
    install(shared, state, snapshot).await?;
    if let Err(error) = tokio::fs::remove_dir_all(dir).await {
        tracing::warn!(%error, "the fetched snapshot is not deleted");
    }
    Ok(true)
}

async fn install(shared: &Shared, state: CertifiedState, snapshot: Snapshot) -> anyhow::Result<()> {
    let (store, checkpoint) = (shared.store.clone(), state.epoch.certificate.checkpoint.clone());
    let (to, last_change, parts) = (checkpoint.height, snapshot.last_change, Arc::clone(shared));
    let work =
        move || snapshot.stage(&store, &checkpoint, |percent| parts.catch_up.tell("writing accounts", to, percent));
    let staged = tokio::task::spawn_blocking(work).await.context("the writing of accounts died")??;
    let installed = shared.engine.install(state, staged, last_change).await;
    installed.map_err(|why| anyhow!(why))?;
    let store = shared.store.clone();
    tokio::task::spawn_blocking(move || store.forget_replaced()).await.context("the clearing died")??;
    Ok(())
}
