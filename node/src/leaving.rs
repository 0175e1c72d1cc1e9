//! The end of a server that an order removed, and what the others do for it afterwards.
use std::time::Duration;

use anyhow::Context;
use seedbank_dht::{DhtError, DhtHandle, FoundRecord};
use seedbank_store::{Store, StoreError};
use seedbank_types::{DecodeError, Reader, ServerKey, Signature, Writer};
use tokio_util::sync::CancellationToken;

use crate::handovers;
use crate::shared::Shared;

/// A leaving server stays so long at least: others may still lack the signatures that it has.
const STAYS: Duration = Duration::from_secs(5);
/// And so long at most for its last record to be stored.
const RECORD_WITHIN: Duration = Duration::from_secs(60);
/// Nodes of the DHT forget a record after two hours.
const PUT_AGAIN_EVERY: Duration = Duration::from_secs(30 * 60);
/// The first time comes sooner: who has just left may be gone soon.
const PUT_AGAIN_FIRST: Duration = Duration::from_secs(20);
/// A record that was not found or not stored is looked for again after this time.
const RETRY: Duration = Duration::from_secs(60);
/// Former servers whose records are kept up; the ones that left longest ago are let go.
const DEPARTED_MAX: usize = 32;
/// Where the last record of a former server is kept in the store.
fn place(key: &ServerKey) -> String {
    format!("last record/{key}")
}

/// Waits until this server, which no set needs any more, may go: its last record, with the certificate that hands
/// over, is in the DHT.
pub(crate) async fn may_go(shared: Shared) {
    let stored = async {
        let Some(mut status) = shared.record.get().cloned() else { return };
        let is_new = status.borrow_and_update().stored.map(|stored| stored.seq);
        let newer = status.wait_for(|status| status.stored.map(|stored| stored.seq) > is_new);
        if newer.await.is_err() {
            tracing::debug!("the record is not kept any more");
        }
    };
    let (_, stored) = tokio::join!(tokio::time::sleep(STAYS), tokio::time::timeout(RECORD_WITHIN, stored));
    if stored.is_err() {
        tracing::warn!("the last record of this server was not stored in the DHT; other servers' records must do");
    }
}

/// Keeps the last records of former servers in the DHT, unchanged, so that an old trust file still finds a way in.
pub(crate) async fn keep_records(store: Store, dht: DhtHandle, stop: CancellationToken) -> anyhow::Result<()> {
    let mut pause = PUT_AGAIN_FIRST;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        let (departing, kept) = (store.clone(), store.clone());
        let read = move || handovers::departed(&departing, DEPARTED_MAX);
        let departed = tokio::task::spawn_blocking(read).await.context("the look at former servers died")??;
        pause = PUT_AGAIN_EVERY;
        if departed.is_empty() {
            pause = PUT_AGAIN_FIRST;
        }
        for key in departed {
            let put = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                put = put_again(&kept, &dht, key) => put?,
            };
            if !put {
                pause = RETRY;
            }
        }
    }
}

/// Whether the record is in the DHT now. What the DHT has is newer than what is kept, or the same.
async fn put_again(store: &Store, dht: &DhtHandle, key: ServerKey) -> anyhow::Result<bool> {
    let found = match dht.record(key).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(server = %key.short(), %error, "a former server's record was not looked for");
            return Ok(false);
        }
    };
    let store = store.clone();
    let newest = tokio::task::spawn_blocking(move || newest(&store, &key, found)).await.context("a read died")??;
    let Some(record) = newest else { return Ok(false) };
    match dht.put_again(record).await {
        Ok(stored) => {
            tracing::info!(nodes = stored.nodes, "the last record of former server {} is put again", key.short());
            Ok(true)
        }
        Err(DhtError::NewerRecord { .. }) => Ok(false),
        Err(error) => {
            tracing::debug!(server = %key.short(), %error, "a former server's record was not put again");
            Ok(false)
        }
    }
}

/// The newer of the record that was found and the one that is kept, which is the same from then on.
fn newest(store: &Store, key: &ServerKey, found: Option<FoundRecord>) -> Result<Option<FoundRecord>, StoreError> {
    let kept = store.meta(&place(key))?;
    let kept = kept.map(|bytes| decode(*key, &bytes)).transpose()?;
    match (kept, found) {
        (Some(kept), Some(found)) if found.seq <= kept.seq => Ok(Some(kept)),
        (kept, None) => Ok(kept),
        (_, Some(found)) => {
            store.meta_put(&place(key), &encode(&found))?;
            Ok(Some(found))
        }
    }
}

/// `seq u64 ‖ signature 64 ‖ value`.
fn encode(record: &FoundRecord) -> Vec<u8> {
    Writer::default().u64(record.seq).bytes(&record.signature.0).bytes(&record.value).finish()
}

fn decode(key: ServerKey, bytes: &[u8]) -> Result<FoundRecord, DecodeError> {
    let mut reader = Reader::new("last record", bytes);
    let (seq, signature) = (reader.u64("seq")?, Signature(reader.array("signature")?));
    Ok(FoundRecord { key, seq, value: bytes.get(72..).unwrap_or_default().to_vec(), signature })
}

#[cfg(test)]
mod tests {
    use seedbank_types::ServerSecret;

    use super::*;

    #[test]
    fn a_kept_record_is_put_again_byte_for_byte() {
        let secret = ServerSecret::from_bytes(&[4; 32]);
        let (value, signature) = (b"the last certificate".to_vec(), Signature([9; 64]));
        let record = FoundRecord { key: secret.public(), seq: 17, value, signature };
        assert_eq!(decode(secret.public(), &encode(&record)), Ok(record));
        assert!(decode(secret.public(), &[0; 71]).is_err());
    }
}
