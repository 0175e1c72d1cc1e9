//! Orders of the servers: taken in, said on, and what the next one must say.
use std::sync::Arc;

use seedbank_api::{ServersView, SubmittedPayment};
use seedbank_ledger::View as _;
use seedbank_mesh::{PeerRef, Request, Response};
use seedbank_types::{PaymentState, RESERVED_ORDERS_ACCOUNT, Refusal, ServerKey, SignedOrder};

use crate::payments;
use crate::shared::{Parts, Shared};

/// Takes an order in, as a person handed it in; the other servers are told, so that whoever leads has it.
pub(crate) async fn submit(shared: &Shared, order: SignedOrder) -> SubmittedPayment {
    let id = order.order.id(&shared.community);
    let state = match admit(shared, order.clone()).await {
        PaymentState::Sent => {
            for server in shared.mesh.servers_connected() {
                tokio::spawn(tell(Arc::clone(shared), server, order.clone()));
            }
            PaymentState::Sent
        }
        state => state,
    };
    SubmittedPayment { id, state }
}

/// Takes an order in, as another server told it.
pub(crate) async fn admit(shared: &Shared, order: SignedOrder) -> PaymentState {
    match payments::state(shared, order.order.id(&shared.community)).await {
        PaymentState::Unknown | PaymentState::Refused(_) => {}
        known => return known,
    }
    if !shared.reach().is_quorum {
        return PaymentState::Refused(Refusal::NoQuorum);
    }
    let what = order.order.id(&shared.community);
    match shared.engine.submit_order(order).await {
        Ok(is_new) => {
            if is_new {
                tracing::info!("order {what} is signed by a quorum and waits for its batch");
            }
            PaymentState::Sent
        }
        Err(refusal) => PaymentState::Refused(refusal),
    }
}

async fn tell(shared: Shared, server: ServerKey, order: SignedOrder) {
    match shared.mesh.request(PeerRef::of_server(&server), Request::SubmitOrder(order)).await {
        Ok(Response::OrderState(PaymentState::Refused(refusal))) => {
            tracing::warn!(server = %server.short(), %refusal, "another server refuses an order");
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(server = %server.short(), %error, "an order could not be told"),
    }
}

/// Who decides, and what the next order must say.
pub(crate) fn view(shared: &Parts) -> ServersView {
    let (genesis, state, view) = (&shared.genesis, shared.store.ledger_state(), shared.engine.view());
    let counter = shared.store.account(&RESERVED_ORDERS_ACCOUNT);
    ServersView {
        community: shared.community,
        name: genesis.name.clone(),
        symbol: genesis.symbol.clone(),
        decimals: genesis.decimals,
        quorum: genesis.quorum,
        open_epoch: view.open_epoch,
        servers: state.servers,
        next: state.next_servers,
        order_sequence: counter.map_or(0, |record| record.sequence),
    }
}
