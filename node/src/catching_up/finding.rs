//! The newest certified state that peers can prove, from the servers that are known here.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{bail, ensure};
use seedbank_mesh::{PeerRef, Request, Response};
use seedbank_quorum::{CertifiedEpoch, CertifiedState, NotCertified, Succession};
use seedbank_types::Height;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fetching::read;
use crate::shared::Shared;

/// Peers asked at once, servers first; every one may be anybody.
const PEERS_MAX: usize = 16;
/// Answers hold 256 handovers: nobody has followed more than this many of them.
const ROUNDS_MAX: usize = 16;
/// How long a peer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The newest state that anybody proves; `None` if nobody has one.
pub(super) async fn newest(shared: &Shared) -> anyhow::Result<Option<CertifiedState>> {
    let mut asking = JoinSet::new();
    for peer in peers(shared) {
        let shared = std::sync::Arc::clone(shared);
        asking.spawn(async move {
            let answer = timeout(ANSWER_WITHIN, ask(&shared, peer)).await;
            (peer, answer.unwrap_or_else(|_late| Err(anyhow::anyhow!("it did not answer in time"))))
        });
    }
    let mut found: BTreeMap<Height, Vec<(PeerRef, CertifiedEpoch)>> = BTreeMap::new();
    while let Some(answer) = asking.join_next().await {
        match answer? {
            (peer, Ok(Some(epoch))) => found.entry(epoch.height()).or_default().push((peer, epoch)),
            (_, Ok(None)) => {}
            (peer, Err(error)) if error.is::<NotCertified>() => {
                tracing::warn!(%peer, "what a peer says of the newest state is not believed: {error}");
            }
            (peer, Err(error)) => tracing::debug!(%peer, "a peer says nothing of the newest state: {error:#}"),
        }
    }
    let Some((_, mut newest)) = found.pop_last() else { return Ok(None) };
    let checkpoint = &newest[0].1.certificate.checkpoint;
    ensure!(
        newest.iter().all(|(_, other)| other.certificate.checkpoint == *checkpoint),
        "epoch {} has two certified checkpoints: servers have lied; nothing is taken over",
        checkpoint.epoch
    );
    while let Some((peer, epoch)) = newest.pop() {
        match closing(shared, peer, epoch).await {
            Ok(state) => return Ok(Some(state)),
            Err(error) => tracing::warn!(%peer, "a peer does not give the closing header: {error:#}"),
        }
    }
    bail!("nobody gives the header that closed the newest certified epoch")
}

fn peers(shared: &Shared) -> Vec<PeerRef> {
    let mut peers = shared.mesh.peers();
    peers.sort_by_key(|peer| peer.server.is_none());
    peers.into_iter().map(|peer| peer.peer).take(PEERS_MAX).collect()
}

/// The newest certificate of a peer, with the handovers that lead to it.
async fn ask(shared: &Shared, peer: PeerRef) -> anyhow::Result<Option<CertifiedEpoch>> {
    let (state, view) = (shared.store.ledger_state(), shared.engine.view());
    let mut known = Succession::new(shared.community, shared.genesis.quorum, &state, view.open_epoch);
    let Response::Checkpoint(Some(certificate)) = shared.mesh.request(peer, Request::Checkpoint(None)).await? else {
        return Ok(None);
    };
    if certificate.checkpoint.height <= state.height {
        return Ok(None);
    }
    for _ in 0..ROUNDS_MAX {
        let from = known.newest().hash();
        let Response::Handovers(handovers) = shared.mesh.request(peer, Request::Handovers { from }).await? else {
            break;
        };
        if known.follow(&handovers) == 0 {
            break;
        }
    }
    Ok(Some(known.certified(certificate)?))
}

/// The batch that closed an epoch, from whoever knows the epoch.
async fn closing(shared: &Shared, peer: PeerRef, epoch: CertifiedEpoch) -> anyhow::Result<CertifiedState> {
    let request = Request::Batches { from: epoch.height(), max: 1 };
    match timeout(ANSWER_WITHIN, shared.mesh.request(peer, request)).await?? {
        Response::Batches(batches) => match batches.into_iter().next().and_then(read) {
            Some(batch) => Ok(epoch.closed_by(batch)?),
            None => bail!("it has none"),
        },
        Response::Pruned { lowest } => bail!("it has nothing below height {lowest}"),
        _ => bail!("it gives none"),
    }
}
