//! The one thread that owns the quorum: inputs in, writes to the disk, then what may be said.
//!
//! It never waits for the main loop's answers, only for room in its queue of events; and the main
//! loop never waits for this thread. So neither can hold the other up for ever.
mod accounts;
mod handle;
mod installing;
mod writes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use seedbank_api::ServerState;
use seedbank_quorum::{CutOrder, Effect, Event, Input, Now, Quorum, Settings};
use seedbank_store::Store;
use seedbank_types::{AccountRecord, Certificate, Grade, PaymentId, Refusal, SignedPayment, TimeMs};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::accounts::Accounts;
use self::handle::Installation;
pub(crate) use self::handle::{EngineEvent, EngineHandle, EngineInput, View};
use crate::bodies::Bodies;
use crate::divergence::{self, Noticed};
use crate::exit::Failure;

/// Inputs that wait for the thread.
const INPUTS_MAX: usize = 1024;
/// Events that wait for the main loop.
const EVENTS_MAX: usize = 4096;
/// Inputs handled before one synced write for all of them.
const INPUTS_AT_ONCE: usize = 64;
/// The wall clock may be set while the thread sleeps, so it never sleeps longer.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// The running thread.
pub(crate) struct EngineThread {
    pub(crate) handle: EngineHandle,
    pub(crate) events: mpsc::Receiver<EngineEvent>,
    pub(crate) thread: JoinHandle<Result<(), Failure>>,
}

/// Starts the thread; it ends when `stop` is cancelled, or with a failure.
pub(crate) fn spawn(
    quorum: Quorum,
    settings: Settings,
    store: Store,
    bodies: Arc<Bodies>,
    certified: Option<(Certificate, Grade)>,
    stop: CancellationToken,
) -> Result<EngineThread, Failure> {
    let has_diverged = divergence::recall(&store)?.is_some();
    let (inputs, received) = mpsc::channel(INPUTS_MAX);
    let (events, events_received) = mpsc::channel(EVENTS_MAX);
    let mut engine = Engine {
        quorum,
        settings,
        accounts: Accounts::new(store.clone()),
        store,
        bodies,
        events,
        started: Instant::now(),
        effects: VecDeque::new(),
        admitted: BTreeMap::new(),
        submitted: Vec::new(),
        orders: Vec::new(),
        has_joined: false,
        has_diverged,
        certified,
    };
    let (view, viewed) = watch::channel(Arc::new(engine.view()));
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("quorum".to_owned());
    let thread = thread.spawn(move || {
        let result = engine.run(received, &view, &runtime, &stop);
        // Before the end is noticed elsewhere, so that the log has the reason first.
        result.inspect_err(|failure| tracing::error!("the quorum cannot go on: {failure}"))
    });
    let thread = thread.map_err(Failure::unexpected)?;
    Ok(EngineThread { handle: EngineHandle { inputs, view: viewed }, events: events_received, thread })
}

struct Engine {
    quorum: Quorum,
    /// To begin again with.
    settings: Settings,
    accounts: Accounts,
    store: Store,
    bodies: Arc<Bodies>,
    events: mpsc::Sender<EngineEvent>,
    started: Instant,
    effects: VecDeque<Effect>,
    admitted: BTreeMap<PaymentId, Result<bool, Refusal>>,
    submitted: Vec<Submitted>,
    orders: Vec<(PaymentId, oneshot::Sender<Result<bool, Refusal>>)>,
    has_joined: bool,
    has_diverged: bool,
    certified: Option<(Certificate, Grade)>,
}

/// Payments whose answers are given when the inputs at hand are settled.
struct Submitted {
    payments: Vec<(PaymentId, SignedPayment)>,
    is_ours: bool,
    reply: oneshot::Sender<Vec<Result<bool, Refusal>>>,
}

enum Next {
    Input(EngineInput),
    Tick,
    Stop,
}

impl Engine {
    fn run(
        &mut self,
        mut inputs: mpsc::Receiver<EngineInput>,
        view: &watch::Sender<Arc<View>>,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        loop {
            let next = runtime.block_on(next(&mut inputs, self.sleep(), stop));
            match next {
                Next::Stop => return Ok(()),
                Next::Tick => self.handle(Input::Tick),
                Next::Input(input) => self.take(input)?,
            }
            for _ in 1..INPUTS_AT_ONCE {
                let Ok(input) = inputs.try_recv() else { break };
                self.take(input)?;
            }
            self.settle()?;
            self.answer();
            view.send_replace(Arc::new(self.view()));
        }
    }

    fn sleep(&self) -> Duration {
        let now = self.now().steady_ms;
        Duration::from_millis(self.quorum.wake_at_ms().saturating_sub(now)).min(SLEEP_MAX)
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: TimeMs(millis(wall)), steady_ms: millis(self.started.elapsed()) }
    }

    fn take(&mut self, input: EngineInput) -> Result<(), Failure> {
        match input {
            EngineInput::Install(installation) => self.install(*installation)?,
            EngineInput::Quorum(input) => self.handle(*input),
            EngineInput::Submit { payments, is_ours, reply } => {
                let named = payments.iter().map(|payment| (payment.id(), payment.signed().clone())).collect();
                self.submitted.push(Submitted { payments: named, is_ours, reply });
                self.handle(Input::Payments(payments));
            }
            EngineInput::SubmitOrder { order, reply } => {
                self.orders.push((order.order.id(&self.store.community()), reply));
                self.handle(Input::Order(order));
            }
            EngineInput::NextSequence { id, reply } => {
                let record = seedbank_ledger::View::account(&self.accounts, &id).unwrap_or(AccountRecord::empty(id));
                give(reply, self.quorum.next_sequence(&record));
            }
            EngineInput::IsWaiting { id, reply } => give(reply, self.quorum.is_waiting(&id)),
        }
        Ok(())
    }

    fn handle(&mut self, input: Input) {
        let effects = self.quorum.handle(self.now(), input, &self.accounts);
        self.effects.extend(effects);
    }

    /// Carries out effects, and those that follow from them, until nothing is left. All writes at
    /// hand are one step, before what rests on them is said.
    fn settle(&mut self) -> Result<(), Failure> {
        loop {
            let (mut last_token, mut writes) = (None, Vec::new());
            while let Some(effect) = self.effects.pop_front() {
                match effect {
                    Effect::Store { token, writes: more } => {
                        last_token = Some(token);
                        writes.extend(more);
                    }
                    effect => self.carry_out(effect)?,
                }
            }
            let Some(token) = last_token else { return Ok(()) };
            writes::write(&self.store, &writes)?;
            self.accounts.written(&writes);
            self.handle(Input::Stored(token));
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Store { .. } => unreachable!("settled by the caller"),
            Effect::Send(message) => self.tell(EngineEvent::Send { topic: message.topic(), bytes: message.encode() }),
            Effect::Offer { digest, body } => self.bodies.keep(digest, body),
            Effect::FetchBody { digest, from } => self.tell(EngineEvent::FetchBody { digest, from }),
            Effect::FetchBatches { first, count, from } => {
                self.tell(EngineEvent::FetchBatches { first, count, from });
            }
            Effect::FetchState => self.tell(EngineEvent::FetchState),
            Effect::Cut(order) => self.cut(order)?,
            Effect::Admitted { id, result } => drop(self.admitted.entry(id).or_insert(result)),
            Effect::Event(event) => self.on_event(event)?,
            Effect::Halt(why) => return Err(Failure::Halted(why)),
        }
        Ok(())
    }

    /// The accounts are held as they are at this very moment; they are read elsewhere.
    fn cut(&self, order: CutOrder) -> Result<(), Failure> {
        let records = (self.store.closed_records()?, self.store.closed_records()?);
        let found = records.0.state().height;
        if found == order.height {
            self.tell(EngineEvent::Cut { order, records: Box::new(records) });
        } else {
            tracing::warn!(epoch = %order.epoch, wanted = %order.height, %found, "a later epoch was closed: no cut");
        }
        Ok(())
    }

    fn on_event(&mut self, mut event: Event) -> Result<(), Failure> {
        match &mut event {
            Event::Joined { .. } => self.has_joined = true,
            Event::Diverged { height, why, certificate } => {
                self.has_diverged = true;
                if certificate.is_none() {
                    *certificate = self.certified.as_ref().map(|(certificate, _)| Box::new(certificate.clone()));
                }
                let newest = certificate.as_deref().cloned();
                divergence::remember(&self.store, &Noticed { height: *height, why: why.clone(), certificate: newest })?;
            }
            Event::Certified { certificate, grade } => self.certified = Some((certificate.clone(), *grade)),
            _ => {}
        }
        self.tell(EngineEvent::Event(Box::new(event)));
        Ok(())
    }

    /// The receiver ends only with the program.
    fn tell(&self, event: EngineEvent) {
        if self.events.blocking_send(event).is_err() {
            tracing::debug!("the main loop has ended: an event was dropped");
        }
    }

    fn answer(&mut self) {
        for Submitted { payments, is_ours, reply } in std::mem::take(&mut self.submitted) {
            let results: Vec<Result<bool, Refusal>> =
                payments.iter().map(|(id, _)| self.admitted.get(id).copied().unwrap_or(Err(Refusal::Busy))).collect();
            if is_ours {
                let fresh: Vec<SignedPayment> = payments
                    .into_iter()
                    .zip(&results)
                    .filter(|(_, result)| **result == Ok(true))
                    .map(|((_, payment), _)| payment)
                    .collect();
                if !fresh.is_empty() {
                    self.tell(EngineEvent::Fresh(fresh));
                }
            }
            give(reply, results);
        }
        for (id, reply) in std::mem::take(&mut self.orders) {
            give(reply, self.admitted.get(&id).copied().unwrap_or(Err(Refusal::Busy)));
        }
        self.admitted.clear();
    }

    fn view(&self) -> View {
        let chain = self.quorum.chain();
        let behind = self.quorum.behind();
        let state = match () {
            () if self.has_diverged => ServerState::Diverged,
            () if behind.is_some() => ServerState::CatchingUp,
            () if !self.has_joined => ServerState::Joining,
            () if self.quorum.may_vote() => ServerState::Active,
            () => ServerState::Observing,
        };
        View {
            state,
            height: chain.state.height,
            open_epoch: chain.epoch,
            supply: chain.state.supply,
            count: chain.state.count,
            waiting: self.quorum.waiting(),
            fullness: self.quorum.fullness(),
            behind,
            servers: chain.state.servers.clone(),
            signers: chain.state.signers.clone(),
            certified: self.certified.clone(),
        }
    }
}

async fn next(inputs: &mut mpsc::Receiver<EngineInput>, sleep: Duration, stop: &CancellationToken) -> Next {
    tokio::select! {
        biased;
        () = stop.cancelled() => Next::Stop,
        input = inputs.recv() => input.map_or(Next::Stop, Next::Input),
        () = tokio::time::sleep(sleep) => Next::Tick,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whoever asked may have gone; then there is nobody to tell.
fn give<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("nobody waits for the answer");
    }
}
