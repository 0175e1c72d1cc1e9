//! What the API asks of the node.
use std::net::IpAddr;

use seedbank_types::{
    AccountId, Certificate, Evidence, Grade, Handover, Hash, PaymentId, PaymentState, SignedOrder, SignedPayment, Stamp,
};
use tokio::sync::oneshot;

use crate::{AccountView, ServersView, Status, SubmittedPayment, TryLater};

/// Most payments in one request.
pub const SUBMIT_PAYMENTS_MAX: usize = 500;

/// Where an answer goes. Whoever asked may have gone: then sending fails, which is no error.
pub type Reply<T> = oneshot::Sender<T>;

/// One question to the node, with the place for its answer. A dropped reply becomes "busy".
#[derive(Debug)]
pub enum ApiRequest {
    /// How the server is doing.
    Status {
        /// Where the answer goes.
        reply: Reply<Box<Status>>,
    },
    /// The bytes of the genesis.
    Genesis {
        /// Where the answer goes.
        reply: Reply<Vec<u8>>,
    },
    /// What an account holds now; `None`: it was never opened.
    Account {
        /// Whose.
        id: AccountId,
        /// Where the answer goes.
        reply: Reply<Option<AccountView>>,
    },
    /// The newest certificate with its grade.
    Checkpoint {
        /// Where the answer goes.
        reply: Reply<Option<(Certificate, Grade)>>,
    },
    /// All evidence.
    Evidence {
        /// Where the answer goes.
        reply: Reply<Vec<Evidence>>,
    },
    /// Who decides, and what the next order must say.
    Servers {
        /// Where the answer goes.
        reply: Reply<Box<ServersView>>,
    },
    /// How sets of servers named the next ones, beginning with this one.
    Handovers {
        /// The hash of the set.
        from: Hash,
        /// Where the answer goes, the next one first.
        reply: Reply<Vec<Handover>>,
    },
    /// Carry out this order of the servers.
    Order {
        /// As it was sent.
        order: SignedOrder,
        /// How far it has come.
        reply: Reply<SubmittedPayment>,
    },
    /// How far a payment or an order has come.
    Payment {
        /// Which.
        id: PaymentId,
        /// Where the answer goes.
        reply: Reply<PaymentState>,
    },
    /// Order these payments, at most [`SUBMIT_PAYMENTS_MAX`].
    Submit {
        /// The address that they come from.
        from: IpAddr,
        /// As they were sent.
        payments: Vec<SignedPayment>,
        /// The stamps of the first of them; none if no stamps are asked for.
        stamps: Vec<Stamp>,
        /// One answer for each, in the same order.
        reply: Reply<Result<Vec<SubmittedPayment>, TryLater>>,
    },
}
