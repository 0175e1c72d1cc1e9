//! What goes into the thread of the quorum and what comes out.
use std::sync::Arc;

use seedbank_api::ServerState;
use seedbank_quorum::{CertifiedState, CheckedPayment, CutOrder, Event, Input, MessageTopic};
use seedbank_store::{Records, Staged};
use seedbank_types::{
    AccountId, Amount, Certificate, Epoch, Grade, Hash, Height, PaymentId, Refusal, ServerKey, ServerSet, SignedOrder,
    SignedPayment,
};
use tokio::sync::{mpsc, oneshot, watch};

/// What the rest of the program asks of the thread.
#[derive(Debug)]
pub(crate) enum EngineInput {
    /// For the quorum.
    Quorum(Box<Input>),
    /// Payments with good signatures; one answer for each, in order.
    Submit { payments: Vec<CheckedPayment>, is_ours: bool, reply: oneshot::Sender<Vec<Result<bool, Refusal>>> },
    /// An order of the servers.
    SubmitOrder { order: SignedOrder, reply: oneshot::Sender<Result<bool, Refusal>> },
    /// The sequence that the account's next payment must carry.
    NextSequence { id: AccountId, reply: oneshot::Sender<u64> },
    /// A certified state takes the place of the present one.
    Install(Box<Installation>),
    /// Whether a payment waits to be ordered.
    IsWaiting { id: PaymentId, reply: oneshot::Sender<bool> },
}

/// A certified state whose accounts lie beside those in use.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) state: CertifiedState,
    pub(crate) accounts: Staged,
    /// Height of the snapshot file.
    pub(crate) last_change: Height,
    /// Whether it was taken, or why not.
    pub(crate) reply: oneshot::Sender<Result<(), String>>,
}

/// What the thread wants done outside.
#[derive(Debug)]
pub(crate) enum EngineEvent {
    /// Say to all servers.
    Send { topic: MessageTopic, bytes: Vec<u8> },
    /// Ask for a body.
    FetchBody { digest: Hash, from: ServerKey },
    /// Ask for decided batches.
    FetchBatches { first: Height, count: u16, from: ServerKey },
    /// Fetch the newest certified state.
    FetchState,
    /// Cut a snapshot of these accounts, which are read twice.
    Cut { order: CutOrder, records: Box<(Records, Records)> },
    /// Payments handed in here that the other servers do not know yet.
    Fresh(Vec<SignedPayment>),
    /// A certified state took the place of the one before: the quorum begins again.
    Installed(Box<(Certificate, Grade, ServerSet)>),
    /// Something to be known.
    Event(Box<Event>),
}

/// How the quorum stands, as of the last input.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: ServerState,
    pub(crate) height: Height,
    pub(crate) open_epoch: Epoch,
    pub(crate) supply: Amount,
    pub(crate) count: u64,
    pub(crate) waiting: usize,
    /// The share of places for payments that is taken, in sixteenths.
    pub(crate) fullness: usize,
    /// What the others have reached, while this server is well behind.
    pub(crate) behind: Option<Height>,
    pub(crate) servers: ServerSet,
    /// The servers that signed the newest certificate's epoch.
    pub(crate) signers: ServerSet,
    pub(crate) certified: Option<(Certificate, Grade)>,
}

/// Orders to the thread; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EngineHandle {
    pub(super) inputs: mpsc::Sender<EngineInput>,
    pub(super) view: watch::Receiver<Arc<View>>,
}

impl EngineHandle {
    /// Waits for room. Only for tasks of their own: the main loop must not wait for the thread.
    pub(crate) async fn send(&self, input: Input) {
        if self.inputs.send(EngineInput::Quorum(Box::new(input))).await.is_err() {
            tracing::debug!("the quorum has stopped: an input was dropped");
        }
    }

    /// False if there is no room.
    pub(crate) fn try_send(&self, input: Input) -> bool {
        self.inputs.try_send(EngineInput::Quorum(Box::new(input))).is_ok()
    }

    pub(crate) async fn submit(&self, payments: Vec<CheckedPayment>, is_ours: bool) -> Vec<Result<bool, Refusal>> {
        let count = payments.len();
        let asked = self.ask(|reply| EngineInput::Submit { payments, is_ours, reply }).await;
        asked.unwrap_or_else(|| vec![Err(Refusal::Busy); count])
    }

    /// `Ok(false)`: it waits already.
    pub(crate) async fn submit_order(&self, order: SignedOrder) -> Result<bool, Refusal> {
        let asked = self.ask(|reply| EngineInput::SubmitOrder { order, reply }).await;
        asked.unwrap_or(Err(Refusal::Busy))
    }

    pub(crate) async fn next_sequence(&self, id: AccountId) -> Option<u64> {
        self.ask(|reply| EngineInput::NextSequence { id, reply }).await
    }

    /// Why it was not taken, if it was not.
    pub(crate) async fn install(
        &self,
        state: CertifiedState,
        accounts: Staged,
        last_change: Height,
    ) -> Result<(), String> {
        let asked =
            self.ask(|reply| EngineInput::Install(Box::new(Installation { state, accounts, last_change, reply })));
        asked.await.unwrap_or_else(|| Err("the quorum has stopped".to_owned()))
    }

    pub(crate) async fn is_waiting(&self, id: PaymentId) -> bool {
        self.ask(|reply| EngineInput::IsWaiting { id, reply }).await.unwrap_or(false)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// `None` if the thread has stopped.
    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> EngineInput) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(input(reply)).await.ok()?;
        answer.await.ok()
    }
}
