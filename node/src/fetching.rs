//! Asking other servers for bodies and for batches that were missed.
use seedbank_mesh::{PeerRef, Request, Response};
use seedbank_quorum::{DecidedBatch, Decision, Input};
use seedbank_types::{Body, Hash, Height, ServerKey};

use crate::shared::Shared;

/// Batches asked for at once; the answer holds as many as fit 4 MiB.
const BATCHES_MAX: u16 = 1024;

/// Asks for a body: first whoever proposed it, then the other servers.
pub(crate) async fn body(shared: Shared, digest: Hash, from: ServerKey) {
    let others = shared.mesh.servers_connected().into_iter().filter(|server| *server != from);
    for server in std::iter::once(from).chain(others) {
        match shared.mesh.request(PeerRef::of_server(&server), Request::Body { digest }).await {
            Ok(Response::Body(Some(body))) if Body::digest(&body) == digest => {
                let payments = shared.checker.check_body(&body).await;
                return shared.engine.send(Input::CheckedBody { body, payments }).await;
            }
            Ok(_) => tracing::debug!(server = %server.short(), %digest, "the server does not have this body"),
            Err(error) => tracing::debug!(server = %server.short(), %digest, %error, "no body"),
        }
    }
}

/// Asks for decided batches.
pub(crate) async fn batches(shared: Shared, first: Height, from: ServerKey) {
    let request = Request::Batches { from: first, max: BATCHES_MAX };
    match shared.mesh.request(PeerRef::of_server(&from), request).await {
        Ok(Response::Batches(batches)) => {
            let batches: Vec<DecidedBatch> = batches.into_iter().map_while(read).collect();
            tracing::debug!(server = %from.short(), %first, count = batches.len(), "fetched batches");
            shared.engine.send(Input::Batches(batches)).await;
        }
        Ok(_) => tracing::debug!(server = %from.short(), %first, "the server gives no batches"),
        Err(error) => tracing::debug!(server = %from.short(), %first, %error, "no batches"),
    }
}

fn read(batch: seedbank_mesh::DecidedBatch) -> Option<DecidedBatch> {
    let decision = Decision::decode(&batch.decision).ok()?;
    Some(DecidedBatch { header: batch.header, body: batch.body, decision })
}
