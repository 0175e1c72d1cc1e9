//! Noticing that somebody else uses this server's key.
use std::time::Duration;

use anyhow::Context;
use seedbank_dht::{DhtError, DhtHandle, RecordStatus};
use seedbank_store::Store;
use seedbank_types::ServerKey;
use tokio::sync::watch;

use crate::exit::Failure;
use crate::publishing::last_seq;

/// How often the DHT is asked for this server's own record. A put that meets a newer one asks at once.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Ends only with a failure: the DHT holds a signed record of this key that this server never made.
///
/// It is looked for once this run has stored a record. Until then a record with a higher number
/// may stem from this server's own lost state.
pub(crate) async fn watch(
    store: Store,
    dht: DhtHandle,
    key: ServerKey,
    mut status: watch::Receiver<RecordStatus>,
) -> anyhow::Error {
    if status.wait_for(|status| status.stored.is_some()).await.is_err() {
        return std::future::pending().await;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = newer_was_seen(&mut status) => {}
        }
        if let Err(error) = look(&store, &dht, key).await {
            return error;
        }
    }
}

async fn newer_was_seen(status: &mut watch::Receiver<RecordStatus>) {
    while status.changed().await.is_ok() {
        if status.borrow_and_update().seen.is_some() {
            return;
        }
    }
    std::future::pending().await
}

/// The own number is read last: what was put meanwhile is no stranger's.
async fn look(store: &Store, dht: &DhtHandle, key: ServerKey) -> anyhow::Result<()> {
    let found = match dht.record(key).await {
        Ok(Some(record)) => record.seq,
        Ok(None) => return Ok(()),
        Err(DhtError::Stopped) => return std::future::pending().await,
        Err(error) => {
            tracing::debug!(%error, "whether this key is used elsewhere is not known");
            return Ok(());
        }
    };
    let store = store.clone();
    let own = tokio::task::spawn_blocking(move || last_seq(&store)).await.context("the look at records died")??;
    if found <= own {
        return Ok(());
    }
    Err(Failure::MayHaveSpoken(format!(
        "this server's key is in use elsewhere: the DHT holds record {found} of it, but the last one made here is {own}; \
         stop one of the two"
    ))
    .into())
}
