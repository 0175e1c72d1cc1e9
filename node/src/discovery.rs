//! Finding the other servers: only by way of the DHT.
use std::net::SocketAddr;
use std::time::Duration;

use seedbank_dht::{DhtHandle, rendezvous};
use seedbank_quorum::Input;
use seedbank_types::{Contact, ServerKey, ServerRecord};
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// First pause between look-ups while servers are missing; doubled up to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(15);

/// Looks for the other servers until `stop`, eagerly while any is missing.
pub(crate) async fn run(shared: Shared, dht: DhtHandle, stop: CancellationToken) {
    let mut pause = PAUSE_FIRST;
    loop {
        let missing = missing(&shared);
        let next = if missing.is_empty() {
            pause = PAUSE_FIRST;
            PAUSE_FIRST
        } else {
            let looked = async { tokio::join!(ask_rendezvous(&shared, &dht), read_records(&shared, &dht, &missing)) };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looked => {}
            }
            let this = pause;
            pause = (pause * 2).min(PAUSE_LAST);
            this
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next) => {}
        }
    }
}

/// Servers in force that are not connected.
fn missing(shared: &Shared) -> Vec<ServerKey> {
    let connected = shared.mesh.servers_connected();
    let view = shared.engine.view();
    // Who left with the last epoch may be the only one that holds all signatures under it.
    let certified = view.certified.as_ref().map_or(0, |(certificate, _)| certificate.checkpoint.epoch.0);
    let lacks = certified.saturating_add(1) < view.open_epoch.0;
    let former = view.signers.keys().filter(|key| lacks && view.servers.number(key).is_none());
    let wanted = view.servers.keys().chain(former);
    wanted.filter(|key| *key != shared.key && !connected.contains(key)).collect()
}

async fn ask_rendezvous(shared: &Shared, dht: &DhtHandle) {
    let mut peers = dht.peers(rendezvous(&shared.community));
    while let Some(address) = peers.recv().await {
        dial(shared, address).await;
    }
}

async fn dial(shared: &Shared, address: SocketAddr) {
    if address != shared.mesh.listen_address() && shared.mesh.dial(address).await.is_err() {
        tracing::trace!("the mesh has stopped");
    }
}

/// Records also tell of certificates that were made while this server was away.
async fn read_records(shared: &Shared, dht: &DhtHandle, servers: &[ServerKey]) {
    let mut records = dht.records(servers);
    while let Some(found) = records.recv().await {
        match ServerRecord::decode(&found.value) {
            Ok(record) => take_record(shared, found.key, record).await,
            Err(error) => tracing::warn!(server = %found.key.short(), %error, "a server's record cannot be read"),
        }
    }
}

async fn take_record(shared: &Shared, server: ServerKey, record: ServerRecord) {
    for contact in &record.contacts {
        if let Contact::Mesh(address) = contact
            && let Err(error) = shared.mesh.dial_multiaddr(address).await
        {
            tracing::debug!(server = %server.short(), %error, "its mesh address is of no use");
        }
    }
    shared.engine.send(Input::Certificate(record.certificate)).await;
}
