//! Asking other servers for bodies and for batches that were missed.
use seedbank_mesh::{PeerRef, Request, Response};
use seedbank_quorum::{DecidedBatch, Decision, Input};
use seedbank_types::{Body, Hash, Height, ServerKey};

use crate::shared::Shared;

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

/// Asks for decided batches, and verifies signatures in them before the quorum takes them in.
pub(crate) async fn batches(shared: Shared, first: Height, count: u16, from: ServerKey) {
    let request = Request::Batches { from: first, max: count };
    let lowest = match shared.mesh.request(PeerRef::of_server(&from), request).await {
        Ok(Response::Batches(batches)) if !batches.is_empty() => {
            let batches: Vec<DecidedBatch> = batches.into_iter().map_while(read).collect();
            tracing::debug!(server = %from.short(), %first, count = batches.len(), "fetched batches");
            let (servers, rule) = (&shared.engine.view().servers, shared.genesis.quorum);
            let batches = shared.checker.check_batches(batches, servers, rule).await;
            return shared.engine.send(Input::CheckedBatches(batches)).await;
        }
        Ok(Response::Pruned { lowest }) => {
            tracing::debug!(server = %from.short(), %first, %lowest, "the server has no batches below");
            Some(lowest)
        }
        Ok(_) => {
            tracing::debug!(server = %from.short(), %first, "the server gives no batches");
            None
        }
        Err(error) => {
            tracing::debug!(server = %from.short(), %first, %error, "no batches");
            None
        }
    };
    shared.engine.send(Input::NoBatches { from, first, lowest }).await;
}

/// A batch as the quorum wants it.
pub(crate) fn read(batch: seedbank_mesh::DecidedBatch) -> Option<DecidedBatch> {
    let decision = Decision::decode(&batch.decision).ok()?;
    Some(DecidedBatch { header: batch.header, body: batch.body, decision })
}
