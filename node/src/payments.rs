//! Payments: handed in, looked up, said on.
use std::time::Instant;

use seedbank_api::SubmittedPayment;
use seedbank_mesh::{PeerRef, Request};
use seedbank_quorum::CheckedPayment;
use seedbank_store::StoreError;
use seedbank_types::{Epoch, PaymentId, PaymentState, Refusal, ServerKey, SignedPayment, Stamp};

use crate::allowances::Source;
use crate::shared::{Parts, Shared};
use crate::stamps;

/// Takes payments of a peer in, or says in how many milliseconds it may try again.
pub(crate) async fn submit_from(
    shared: &Shared,
    source: Source,
    payments: Vec<SignedPayment>,
    stamps: &[Stamp],
) -> Result<Vec<SubmittedPayment>, u32> {
    let checking = shared.allowances.take(source, payments.len(), Instant::now())?;
    let submitted = submit(shared, payments, stamps, shared.stamp_bits(&source)).await;
    checking.punish(submitted.iter().filter(|one| is_forged(&one.state)).count());
    Ok(submitted)
}

/// Whether no honest peer hands this in: it could have seen that the signature does not fit.
pub(crate) const fn is_forged(state: &PaymentState) -> bool {
    matches!(state, PaymentState::Refused(Refusal::BadSignature | Refusal::BadKey))
}

/// Takes payments in; one answer for each, in order. A payment that was ordered before says so:
/// sending it again is always safe.
async fn submit(shared: &Shared, payments: Vec<SignedPayment>, stamps: &[Stamp], bits: u8) -> Vec<SubmittedPayment> {
    let ids: Vec<PaymentId> = payments.iter().map(|one| one.payment.id(&shared.community)).collect();
    let mut states = vec![PaymentState::Unknown; ids.len()];
    for (state, id) in states.iter_mut().zip(&ids) {
        *state = stored_or_busy(shared, id);
    }
    for (index, (state, id)) in states.iter_mut().zip(&ids).enumerate() {
        // Before the signature: that is what a stamp is to spare.
        if let (PaymentState::Unknown, Err(refusal)) = (*state, stamps::check(id, stamps.get(index).copied(), bits)) {
            *state = PaymentState::Refused(refusal);
        }
    }
    let is_new = |(index, _): &(usize, SignedPayment)| states[*index] == PaymentState::Unknown;
    let new: Vec<(usize, SignedPayment)> = payments.into_iter().enumerate().filter(is_new).collect();
    for (index, state) in submit_new(shared, new).await {
        states[index] = state;
    }
    for (id, state) in ids.iter().zip(&mut states) {
        // It may have been ordered by way of another server in the meantime.
        if let PaymentState::Refused(Refusal::WrongSequence { .. }) = state
            && let Ok(Some(ordered)) = stored(shared, id)
        {
            *state = ordered;
        }
    }
    ids.into_iter().zip(states).map(|(id, state)| SubmittedPayment { id, state }).collect()
}

async fn submit_new(shared: &Shared, new: Vec<(usize, SignedPayment)>) -> Vec<(usize, PaymentState)> {
    if new.is_empty() {
        return Vec::new();
    }
    if !shared.reach().is_quorum {
        return new.into_iter().map(|(index, _)| (index, PaymentState::Refused(Refusal::NoQuorum))).collect();
    }
    let (indices, payments): (Vec<usize>, Vec<SignedPayment>) = new.into_iter().unzip();
    let checked = shared.checker.check(payments).await;
    let good: Vec<CheckedPayment> = checked.iter().filter_map(|one| one.clone().ok()).collect();
    let mut admitted = shared.engine.submit(good, true).await.into_iter();
    let states = checked.into_iter().map(|one| {
        let admitted = one.and_then(|_checked| admitted.next().unwrap_or(Err(Refusal::Busy)));
        admitted.map_or_else(PaymentState::Refused, |_is_new| PaymentState::Sent)
    });
    indices.into_iter().zip(states).collect()
}

/// Hands payments to another server, as a program would.
pub(crate) async fn tell(shared: Shared, server: ServerKey, payments: Vec<SignedPayment>) {
    let count = payments.len();
    match shared.mesh.request(PeerRef::of_server(&server), Request::SubmitPayments(payments)).await {
        Ok(_) => tracing::debug!(server = %server.short(), count, "payments told again"),
        Err(error) => tracing::debug!(server = %server.short(), count, %error, "payments could not be told"),
    }
}

/// How far a payment has come. The order matters: a payment leaves the waiting ones only after it
/// is in the store.
pub(crate) async fn state(shared: &Shared, id: PaymentId) -> PaymentState {
    match stored_or_busy(shared, &id) {
        PaymentState::Unknown => {}
        known => return known,
    }
    if shared.engine.is_waiting(id).await {
        return PaymentState::Sent;
    }
    match stored_or_busy(shared, &id) {
        PaymentState::Unknown => shared.refused.refusal(&id).map_or(PaymentState::Unknown, PaymentState::Refused),
        known => known,
    }
}

fn stored_or_busy(shared: &Parts, id: &PaymentId) -> PaymentState {
    match stored(shared, id) {
        Ok(state) => state.unwrap_or(PaymentState::Unknown),
        Err(error) => {
            tracing::error!(%error, "a payment cannot be looked up");
            PaymentState::Refused(Refusal::Busy)
        }
    }
}

/// The state of a payment that was ordered.
fn stored(shared: &Parts, id: &PaymentId) -> Result<Option<PaymentState>, StoreError> {
    let Some(place) = shared.store.payment(id)? else { return Ok(None) };
    let certified = certified_epoch(shared);
    let (height, header, epoch) = (place.height, place.header, place.epoch);
    Ok(Some(if certified.is_some_and(|certified| epoch <= certified) {
        PaymentState::Certified { height, header, epoch }
    } else {
        PaymentState::Final { height, header }
    }))
}

/// The newest certified epoch.
pub(crate) fn certified_epoch(shared: &Parts) -> Option<Epoch> {
    shared.engine.view().certified.as_ref().map(|(certificate, _)| certificate.checkpoint.epoch)
}
