//! Answers to peers of the mesh and to programs at the API.
use std::sync::Arc;

use seedbank_api::{AccountView, ApiRequest, DhtStatus, RecordKept, Status, TryLater};
use seedbank_dht::DhtHealth;
use seedbank_ledger::View as _;
use seedbank_mesh::{DecidedBatch, PeerInfo, Reply, Request, RequestRefusal, Response};
use seedbank_store::{Store, StoreError};
use seedbank_types::{AccountId, Epoch, Guarantee, Handover, Hash, Height, PaymentState, SignedPayment, Stamp};
use tokio::sync::oneshot;

use crate::proofs::ProvenAccount;
use crate::shared::{Parts, Shared};
use crate::{handovers, orders, payments};

/// Bytes of batches that are read for one answer.
const BATCHES_BYTES_MAX: usize = 4 << 20;

/// Answers a peer of the mesh.
pub(crate) async fn answer_peer(shared: Shared, from: PeerInfo, request: Request, reply: Reply) {
    let response = response(&shared, &from, request).await;
    if reply.send(response).await.is_err() {
        tracing::trace!("the mesh has stopped");
    }
}

/// What a server may not answer whose own state is not what the others agreed on.
const fn is_about_state(request: &Request) -> bool {
    matches!(
        request,
        Request::SubmitPayments(_)
            | Request::SubmitStamped(_)
            | Request::PaymentState(_)
            | Request::AccountWithProof(_)
            | Request::NextSequence(_)
    )
}

async fn response(shared: &Shared, from: &PeerInfo, request: Request) -> Response {
    if is_about_state(&request) && shared.divergence.told().is_some() {
        return Response::Refused(RequestRefusal::NotHere);
    }
    match request {
        Request::Genesis => Response::Genesis(shared.genesis.encode()),
        Request::SubmitPayments(payments) => submitted(shared, from, payments, &[]).await,
        Request::SubmitStamped(stamped) => {
            let (stamps, payments): (Vec<Stamp>, Vec<SignedPayment>) = stamped.into_iter().unzip();
            submitted(shared, from, payments, &stamps).await
        }
        Request::PaymentState(id) => Response::PaymentState(payments::state(shared, id).await),
        Request::AccountWithProof(id) => {
            let shared = Arc::clone(shared);
            read(move || account(&shared, &id)).await
        }
        Request::NextSequence(id) => match shared.engine.next_sequence(id).await {
            Some(sequence) => Response::NextSequence { sequence },
            None => Response::Refused(RequestRefusal::Busy),
        },
        Request::Batches { from, max } => {
            let store = shared.store.clone();
            read(move || batches(&store, from, max)).await
        }
        Request::Body { digest } => {
            let shared = Arc::clone(shared);
            read(move || body(&shared, &digest)).await
        }
        Request::Checkpoint(epoch) => {
            let shared = Arc::clone(shared);
            read(move || checkpoint(&shared, epoch)).await
        }
        Request::Handovers { from } => {
            let store = shared.store.clone();
            read(move || Ok(Response::Handovers(handovers::from(&store, &from)?))).await
        }
        Request::SubmitOrder(order) => Response::OrderState(orders::admit(shared, order).await),
        Request::Evidence => Response::Evidence(shared.evidence.all()),
    }
}

/// A peer that hands in forged payments is shut out after a few times.
async fn submitted(shared: &Shared, from: &PeerInfo, payments: Vec<SignedPayment>, stamps: &[Stamp]) -> Response {
    match payments::submit_from(shared, from.into(), payments, stamps).await {
        Ok(submitted) => {
            let states: Vec<PaymentState> = submitted.into_iter().map(|one| one.state).collect();
            if states.iter().any(payments::is_forged) && shared.mesh.strike(from.peer).await.is_err() {
                tracing::trace!("the mesh has stopped");
            }
            Response::Submitted(states)
        }
        Err(ms) => Response::Refused(RequestRefusal::Later { ms }),
    }
}

/// Reads the database off the runtime's threads.
async fn read(work: impl FnOnce() -> Result<Response, StoreError> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "a request cannot be answered");
            Response::Refused(RequestRefusal::Busy)
        }
        Err(error) => {
            tracing::error!(%error, "the answer to a request died");
            Response::Refused(RequestRefusal::Busy)
        }
    }
}

/// The record at the end of the newest certified epoch with its proof, if its snapshot was cut
/// here; else the record as it is now.
fn account(shared: &Parts, id: &AccountId) -> Result<Response, StoreError> {
    match shared.proofs.prove(id) {
        Ok(Some(ProvenAccount { record, proof, certificate })) => {
            return Ok(Response::Account { proof: Some(proof), record, epoch: certificate.checkpoint.epoch });
        }
        Ok(None) => {}
        // The file may have been replaced by a newer one in this moment.
        Err(error) => tracing::debug!(%error, "no proof"),
    }
    let epoch = payments::certified_epoch(shared).unwrap_or_default();
    Ok(Response::Account { proof: None, record: shared.store.account(id), epoch })
}

fn batches(store: &Store, from: Height, max: u16) -> Result<Response, StoreError> {
    let lowest = store.lowest_body();
    if from < lowest {
        return Ok(Response::Pruned { lowest });
    }
    let (mut batches, mut bytes) = (Vec::new(), 0);
    for height in (from.0.max(1)..).take(usize::from(max)).map(Height) {
        let Some(header) = store.header(height)? else { break };
        let (Some(body), Some(decision)) = (store.body(height)?, store.decision(height)?) else { break };
        bytes += body.len() + decision.len();
        if bytes > BATCHES_BYTES_MAX && !batches.is_empty() {
            break;
        }
        batches.push(DecidedBatch { header, body, decision });
    }
    Ok(Response::batches(batches))
}

fn body(shared: &Parts, digest: &Hash) -> Result<Response, StoreError> {
    match shared.bodies.body(digest) {
        Some(body) => Ok(Response::Body(Some(body))),
        None => Ok(Response::Body(shared.store.body_by_digest(digest)?)),
    }
}

fn checkpoint(shared: &Parts, epoch: Option<Epoch>) -> Result<Response, StoreError> {
    Ok(Response::Checkpoint(match epoch {
        Some(epoch) => shared.store.certificate(epoch)?,
        None => shared.engine.view().certified.as_ref().map(|(certificate, _)| certificate.clone()),
    }))
}

/// Answers a program at the API.
pub(crate) async fn answer_api(shared: Shared, request: ApiRequest) {
    match request {
        ApiRequest::Status { reply } => give(reply, Box::new(status(&shared).await)),
        ApiRequest::Genesis { reply } => give(reply, shared.genesis.encode()),
        ApiRequest::Account { id, reply } => match account_view(&shared, id).await {
            Ok(view) => give(reply, view),
            // A dropped reply says "busy"; the log says why.
            Err(error) => tracing::error!(%error, "an account cannot be read"),
        },
        ApiRequest::Checkpoint { reply } => give(reply, shared.engine.view().certified.clone()),
        ApiRequest::Evidence { reply } => give(reply, shared.evidence.all()),
        ApiRequest::Servers { reply } => give(reply, Box::new(orders::view(&shared))),
        ApiRequest::Handovers { from, reply } => give_handovers(&shared, from, reply).await,
        ApiRequest::Order { order, reply } => give(reply, orders::submit(&shared, order).await),
        ApiRequest::Payment { id, reply } => give(reply, payments::state(&shared, id).await),
        ApiRequest::Submit { from, payments, stamps, reply } => {
            let submitted = payments::submit_from(&shared, from.into(), payments, &stamps).await;
            give(reply, submitted.map_err(|ms| TryLater { ms }));
        }
    }
}

/// A dropped reply says "busy"; the log says why.
async fn give_handovers(shared: &Shared, from: Hash, reply: oneshot::Sender<Vec<Handover>>) {
    let store = shared.store.clone();
    match tokio::task::spawn_blocking(move || handovers::from(&store, &from)).await {
        Ok(Ok(handovers)) => give(reply, handovers),
        Ok(Err(error)) => tracing::error!(%error, "handovers cannot be read"),
        Err(error) => tracing::error!(%error, "the reading of handovers died"),
    }
}

fn give<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("whoever asked at the API has gone");
    }
}

/// Record and height are of one moment: a program that saw a payment at a height relies on it.
async fn account_view(shared: &Shared, id: AccountId) -> Result<Option<AccountView>, StoreError> {
    let (record, height) = shared.store.account_now(&id)?;
    let Some(record) = record else { return Ok(None) };
    let next_sequence = shared.engine.next_sequence(id).await.unwrap_or(record.sequence);
    Ok(Some(AccountView { record, next_sequence, height, epoch: shared.engine.view().open_epoch }))
}

async fn status(shared: &Parts) -> Status {
    let dht = dht_status(shared).await;
    let (genesis, view, reach) = (&shared.genesis, shared.engine.view(), shared.reach());
    let checkpoint = view.certified.as_ref().map(|(certificate, _)| &certificate.checkpoint);
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        community: shared.community,
        name: genesis.name.clone(),
        symbol: genesis.symbol.clone(),
        decimals: genesis.decimals,
        epoch_ms: genesis.epoch_ms,
        server: shared.key,
        quorum: genesis.quorum,
        guarantee: Guarantee::of(&view.servers, genesis.quorum),
        state: view.state,
        height: view.height,
        open_epoch: view.open_epoch,
        certified: view.certified.as_ref().map(|(certificate, grade)| (certificate.checkpoint.epoch, *grade)),
        root: checkpoint.map_or(genesis.root, |checkpoint| checkpoint.root),
        snapshot: checkpoint.map(|checkpoint| checkpoint.snapshot),
        supply: view.supply,
        count: view.count,
        servers_connected: reach.connected,
        servers_total: reach.total,
        quorum_in_reach: reach.is_quorum,
        waiting: view.waiting,
        stamp_bits: shared.stamps.bits(view.fullness),
        mesh: vec![shared.mesh.multiaddr()],
        torrent: shared.torrent,
        dht,
        double_signers: shared.evidence.double_signers(),
        divergence: shared.divergence.told(),
        catching_up: shared.catch_up.progress(&view),
        lowest_batch: shared.store.lowest_body(),
    }
}

async fn dht_status(shared: &Parts) -> DhtStatus {
    let health = shared.dht.health().await.ok();
    let record = shared.record.get().map(|record| *record.borrow()).and_then(|record| {
        let (stored, age) = (record.stored?, record.age()?);
        Some(RecordKept { nodes: stored.nodes, tried: stored.tried, age })
    });
    DhtStatus {
        address: shared.dht.local_address(),
        nodes: health.as_ref().map_or(0, DhtHealth::known_nodes),
        last_answer_ms: health.and_then(|health| health.last_answer_ms),
        record,
    }
}
