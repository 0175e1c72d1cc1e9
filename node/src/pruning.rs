//! Old bodies are forgotten, off the main loop, once snapshots stand in their place.
use std::time::Duration;

use anyhow::Context;
use seedbank_store::{Store, StoreError};
use seedbank_types::Epoch;
use tokio_util::sync::CancellationToken;

use crate::publishing::CHECKPOINTS_SEEDED;
use crate::shared::Shared;

/// Bodies are kept for a week, unless set otherwise.
const KEEP_MS: u64 = 7 * 24 * 3_600_000;
/// A payment can be ordered up to so many epochs after it was made.
const ORDERED_WITHIN: u64 = 1_440;
/// All remembered payments are read to forget the old ones: once for so many epochs.
const FORGET_EVERY: u64 = 144;
/// How often it is looked at, at most and at least.
const LOOK_MIN: Duration = Duration::from_millis(500);
const LOOK_MAX: Duration = Duration::from_secs(60);

/// The task that forgets.
pub(crate) struct Pruner {
    pub(crate) shared: Shared,
    pub(crate) keep_batches: Option<u64>,
}

impl Pruner {
    /// Runs until `stop`. An error is fatal: the disk does not do what it should.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let epoch_ms = self.shared.genesis.epoch_ms.max(1);
        let keep = self.keep_batches.unwrap_or(KEEP_MS / epoch_ms);
        let pause = Duration::from_millis(epoch_ms).clamp(LOOK_MIN, LOOK_MAX);
        let mut forgotten = Epoch(0);
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            if self.shared.divergence.told().is_some() {
                continue;
            }
            let store = self.shared.store.clone();
            let work = move || prune(&store, keep, forgotten);
            forgotten = tokio::task::spawn_blocking(work).await.context("the forgetting of old bodies died")??;
        }
        Ok(())
    }
}

/// Forgets what is due; gives the epoch up to which payments are forgotten.
fn prune(store: &Store, keep: u64, forgotten: Epoch) -> Result<Epoch, StoreError> {
    let Some(newest) = store.newest_certificate()? else { return Ok(forgotten) };
    let newest = newest.checkpoint.epoch;
    if let Some(below) = store.closing_height(floor(newest, keep))? {
        let lowest = store.lowest_body();
        store.prune_bodies(below)?;
        if lowest < below {
            tracing::debug!("batches below height {below} are forgotten");
        }
    }
    // With the bodies gone and no chance to be ordered any more, nothing needs to know of a payment.
    let old = floor(newest, keep.max(ORDERED_WITHIN + 1));
    if old.0 < forgotten.0.saturating_add(FORGET_EVERY) {
        return Ok(forgotten);
    }
    if let Some(below) = store.closing_height(old)? {
        let count = store.forget_payments(below)?;
        tracing::debug!("{count} payments of epochs up to {old} are forgotten");
    }
    Ok(old)
}

/// The epoch whose closing header is the lowest batch to keep: a server that begins from any snapshot that is seeded
/// finds there all that it needs.
fn floor(newest: Epoch, keep: u64) -> Epoch {
    let seeded = newest.0.saturating_sub(CHECKPOINTS_SEEDED as u64 - 1);
    Epoch(seeded.min(newest.0.saturating_sub(keep)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_seeded_snapshots_need_is_kept_whatever_is_set() {
        assert_eq!(floor(Epoch(100), 0), Epoch(98));
        assert_eq!(floor(Epoch(100), 30), Epoch(70));
        assert_eq!(floor(Epoch(100), 1_000), Epoch(0));
        assert_eq!(floor(Epoch(1), 0), Epoch(0));
    }
}
