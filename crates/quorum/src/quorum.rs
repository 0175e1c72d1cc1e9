//! One server's whole part in the quorum, as a state machine.
mod candidates;
mod catch_up;
mod closing;
mod consent;
mod effects;
mod fetching;
mod height;
mod joining;
mod queues;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use malachitebft_core_types::Timeout;
use seedbank_ledger::{Place, View};
use seedbank_types::{
    AccountRecord, BODY_BYTES_MAX, Checkpoint, CommunityId, DecodeError, Epoch, Evidence, Genesis, Hash, Header,
    Height, PaymentId, Refusal, Rule, ServerKey, ServerSecret, SignedOrder, TimeMs,
};

use crate::chain::{Accepted, Chain};
use crate::checkpoints::Checkpoints;
use crate::engine::{Engine, Polka, SignedProposal, SignedVote};
use crate::guard::{Guard, Hearing};
use crate::log::Log;
use crate::message::{Message, Said, Status, Uncertified};
use crate::pool::{PAYMENTS_MAX, Pool};
use candidates::Candidate;
use fetching::Fetching;

pub use closing::{Cut, CutOrder, LastClosed};
pub use effects::{CheckedBatch, Commit, DecidedBatch, Effect, Event, Input, Write};
pub use queues::Queue;

/// Engine messages of one server for the next height that are kept until it begins.
const EARLY_PER_SERVER_MAX: usize = 64;
/// No honest server gets this far: rounds become longer up to seconds.
const ROUND_MAX: u32 = 1 << 20;
/// Headers proposed at one height that are looked at.
const CANDIDATES_MAX: usize = 32;
/// Fetched batches that wait to be applied.
const INCOMING_MAX: usize = 4_096;
/// Their bodies together.
const INCOMING_BYTES_MAX: usize = 64 << 20;
/// How often a server says where it stands.
const STATUS_MS: u64 = 1_000;
/// How soon a server that just came back hears where this one stands.
const CONNECTED_MS: u64 = 50;
/// A proposal whose time is further from the own clock is not voted for.
const CLOCK_TOLERANCE_MS: u64 = 5_000;
/// Largest body that this server proposes, unless set otherwise.
const BATCH_BYTES_DEFAULT: usize = 1 << 20;
/// Larger ones are never proposed, whatever is set: the last entry may exceed the limit, and the
/// body must not exceed that of the protocol.
const BATCH_BYTES_MAX: usize = BODY_BYTES_MAX / 2;
/// Further behind, a certified state is fetched instead of batches, unless set otherwise.
const BATCHES_BEHIND_MAX_DEFAULT: u64 = 10_000;
/// How long a step of the agreement waits before going on without, unless set otherwise.
const STEP_MS_DEFAULT: u64 = 800;

/// The time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: TimeMs,
    /// A clock that never goes back, in milliseconds.
    pub steady_ms: u64,
}

/// What does not change while a server runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The community.
    pub community: CommunityId,
    /// Whose agreement is enough.
    pub rule: Rule,
    /// This server's key.
    pub secret: ServerSecret,
    /// Largest body that this server proposes, in bytes.
    pub batch_bytes_max: usize,
    /// How long a step of the agreement waits before it goes on without, in milliseconds.
    pub step_ms: u64,
    /// A server that lacks more batches fetches a certified state instead of them.
    pub batches_behind_max: u64,
    /// What this server does wrong, so that the simulator can show that it would notice.
    #[cfg(feature = "mutations")]
    pub mutation: Option<crate::Mutation>,
}

impl Settings {
    /// The defaults for a server of a community.
    #[must_use]
    pub fn new(genesis: &Genesis, secret: ServerSecret) -> Self {
        Self {
            community: genesis.community(),
            rule: genesis.quorum,
            secret,
            batch_bytes_max: BATCH_BYTES_DEFAULT,
            step_ms: STEP_MS_DEFAULT,
            batches_behind_max: BATCHES_BEHIND_MAX_DEFAULT,
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }
}

/// What a server finds on its disk when it starts.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The decided past.
    pub chain: Chain,
    /// The epoch closed last.
    pub last_closed: Option<LastClosed>,
    /// The log of the height that was being decided, in order.
    pub log: Vec<Vec<u8>>,
    /// Whether this disk ever held a log: false after the files were lost.
    pub log_started: bool,
    /// Limits from an earlier loss.
    pub guard: Guard,
    /// The newest intents.
    pub intents: Vec<Checkpoint>,
    /// All evidence.
    pub evidence: Vec<Evidence>,
}

impl Recovered {
    /// The disk of a server that never ran.
    #[must_use]
    pub fn fresh(chain: Chain) -> Self {
        Self {
            chain,
            last_closed: None,
            log: Vec::new(),
            log_started: false,
            guard: Guard::default(),
            intents: Vec::new(),
            evidence: Vec::new(),
        }
    }
}

/// Why a server cannot take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// The log cannot be read, so nobody knows what this server has said.
    #[error(
        "the log on this server's disk is damaged ({0}); restore the server without its log: it will observe first"
    )]
    Log(#[from] DecodeError),
}

/// A decided batch on its way to the disk.
#[derive(Debug)]
struct Committing {
    token: u64,
    header: Header,
    accepted: Accepted,
}

/// One server's part in the quorum.
pub struct Quorum {
    settings: Settings,
    key: ServerKey,
    now: Now,
    chain: Chain,
    engine: Engine,
    pool: Pool,
    /// Nothing that waits can be ordered before something changes. Asked at every input, this would
    /// else be a search through all that waits.
    nothing_ready: bool,
    checkpoints: Checkpoints,
    last_closed: Option<LastClosed>,
    /// The checkpoint of the last closed epoch, if this server waits for a later one to sign.
    unsigned: Option<Checkpoint>,
    /// What each server said last of an epoch that it knows no certificate of.
    uncertified: BTreeMap<ServerKey, Uncertified>,

    hearing: Option<Hearing>,
    /// The height that was on the disk at the start: a new server may catch up before it has heard a quorum.
    started_at: Height,
    guard: Guard,
    /// What others had decided when this server started: it does not vote up to there.
    decided_elsewhere: Height,
    log: Log,
    /// Entries that are on disk already while they are replayed. A timeout's bytes do not name its
    /// height, so this must never outlive the replay.
    replaying: BTreeSet<Vec<u8>>,
    /// Whether this server has voted since it started.
    has_spoken: bool,
    /// Why this server stopped for good.
    halted: Option<String>,
    diverged: bool,

    candidates: BTreeMap<Hash, Candidate>,
    early: VecDeque<(ServerKey, Message)>,
    wanted: Option<u32>,
    own_proposal: Option<SignedProposal>,
    /// The polka said last: a header that is proposed again rests on one.
    own_polka: Option<Polka>,
    timers: Vec<(u64, Timeout)>,

    heights: BTreeMap<ServerKey, Height>,
    /// The last vote that was heard of each server.
    votes: BTreeMap<ServerKey, SignedVote>,
    /// When each server was last heard to say where it stands.
    heard_ms: BTreeMap<ServerKey, u64>,
    fetching: Fetching,
    /// At which height and since when this server is behind.
    behind_since: Option<(Height, u64)>,
    next_state_ms: u64,
    no_state_until_ms: u64,
    /// The snapshot of the epoch closed last is not ordered yet, because more was to be fetched.
    is_cut_due: bool,
    fetches: usize,
    next_status_ms: u64,
    /// When bodies that have not come are asked of another server.
    next_body_ms: u64,

    writes: Vec<Write>,
    said: Vec<Effect>,
    held: VecDeque<(u64, Effect)>,
    token: u64,
    stored: u64,
    committing: Option<Committing>,
}

impl Quorum {
    /// A server that continues from what is on its disk. It says nothing before it has heard
    /// from a quorum how high its key was heard.
    pub fn new(settings: Settings, recovered: Recovered) -> Result<Self, QuorumError> {
        let key = settings.secret.public();
        let Recovered { chain, last_closed, log, log_started, guard, intents, evidence } = recovered;
        let (secret, next) = (settings.secret.clone(), chain.next_height());
        let log = Log::read(next, log_started, log)?;
        let servers = &chain.state.servers;
        let engine = Engine::new(settings.community, secret, servers, settings.rule, settings.step_ms, next);
        #[cfg(feature = "mutations")]
        let (engine, chain) = crate::mutation::applied(settings.mutation, &settings, engine, chain, next);
        Ok(Self {
            key,
            now: Now { wall: TimeMs(0), steady_ms: 0 },
            engine,
            pool: Pool::default(),
            nothing_ready: false,
            checkpoints: Checkpoints::new(intents, &evidence),
            last_closed,
            unsigned: None,
            uncertified: BTreeMap::new(),
            hearing: Some(Hearing::default()),
            started_at: Height(next.0 - 1),
            guard,
            decided_elsewhere: Height(0),
            votes: log.votes(),
            log,
            replaying: BTreeSet::new(),
            has_spoken: false,
            halted: None,
            diverged: false,
            candidates: BTreeMap::new(),
            early: VecDeque::new(),
            wanted: None,
            own_proposal: None,
            own_polka: None,
            timers: Vec::new(),
            heights: BTreeMap::new(),
            heard_ms: BTreeMap::new(),
            fetching: Fetching::default(),
            behind_since: None,
            next_state_ms: 0,
            no_state_until_ms: 0,
            is_cut_due: false,
            fetches: 0,
            next_status_ms: 0,
            next_body_ms: u64::MAX,
            writes: Vec::new(),
            said: Vec::new(),
            held: VecDeque::new(),
            token: 0,
            stored: 0,
            committing: None,
            settings,
            chain,
        })
    }

    /// One input; the effects are to be carried out in order.
    pub fn handle<V: View>(&mut self, now: Now, input: Input, accounts: &V) -> Vec<Effect> {
        self.now = now;
        if self.halted.is_some() {
            return self.flush();
        }
        match input {
            Input::Tick => {}
            Input::Connected => self.say_status_within(CONNECTED_MS),
            Input::Message { from, message } => self.on_message(from, message),
            Input::Payments(payments) => self.on_payments(payments, accounts),
            Input::Order(order) => self.on_order(order, accounts),
            Input::Body(body) => self.on_body(&body, &[], accounts),
            Input::CheckedBody { body, payments } => self.on_body(&body, &payments, accounts),
            Input::Batches(batches) => self.on_batches(batches.into_iter().map(CheckedBatch::from).collect()),
            Input::CheckedBatches(batches) => self.on_batches(batches),
            Input::NoBatches { from, first, lowest } => self.fetching.refused(from, first, lowest, now.steady_ms),
            Input::NoState => self.on_no_state(),
            Input::Certificate(certificate) => self.on_certificate(&certificate),
            Input::Evidence(evidence) => self.on_evidence(*evidence),
            Input::Cut(cut) => self.on_cut(&cut),
            Input::Stored(token) => self.on_stored(token, accounts),
        }
        if self.halted.is_none() {
            self.go_on(accounts);
        }
        self.flush()
    }

    /// When this server wants to be called at the latest, on the steady clock.
    #[must_use]
    pub fn wake_at_ms(&self) -> u64 {
        let timers = self.timers.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let closes_in = self.chain.header_time(self.chain.closes_at()).since(self.now.wall);
        let closes = match closes_in {
            0 => u64::MAX,
            _ if !self.chain.may_close() => u64::MAX,
            ms => self.now.steady_ms.saturating_add(ms),
        };
        timers.min(self.next_status_ms).min(self.next_body_ms).min(self.fetching_wake_ms()).min(closes)
    }

    /// The decided past.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Payments that wait to be ordered.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pool.len()
    }

    /// The share of the places for waiting payments that is taken, in sixteenths. Payments that wait for a missing
    /// one do not count: they give way, and would cost whoever wants to fill the places nothing.
    #[must_use]
    pub const fn fullness(&self) -> usize {
        self.pool.ready() * 16 / PAYMENTS_MAX
    }

    /// Whether a payment waits to be ordered.
    #[must_use]
    pub fn is_waiting(&self, id: &PaymentId) -> bool {
        self.pool.contains(id)
    }

    /// The sequence that an account's next payment must carry, counting those that wait.
    #[must_use]
    pub fn next_sequence(&self, record: &AccountRecord) -> u64 {
        self.pool.next_sequence(record)
    }

    /// Whether this server votes at the present height.
    #[must_use]
    pub fn may_vote(&self) -> bool {
        let joined = self.hearing.is_none() && !self.diverged;
        let next = self.chain.next_height();
        joined && next > self.decided_elsewhere && next >= self.guard.vote_from && self.is_member()
    }

    /// The round in which the next height is being decided.
    #[must_use]
    pub fn round(&self) -> u32 {
        self.engine.round()
    }

    fn is_member(&self) -> bool {
        self.chain.state.servers.number(&self.key).is_some()
    }

    fn place(&self) -> Place {
        Place { height: self.chain.next_height(), epoch: self.chain.epoch }
    }

    fn on_message(&mut self, from: ServerKey, message: Message) {
        if from == self.key {
            return self.halt("another machine speaks with this server's key; stop one of the two");
        }
        if !self.knows(&from) {
            return;
        }
        match message.0 {
            Said::Status(status) => self.on_status(from, status),
            Said::Checkpoint(signed) => self.on_signed_checkpoint(&signed),
            Said::Certificate(certificate) => self.on_certificate(&certificate),
            Said::Uncertified(uncertified) => self.on_uncertified(from, *uncertified),
            said => self.on_engine_message(from, Message(said)),
        }
    }

    /// Whether a key is that of a server: of the open epoch, the one before or the next.
    fn knows(&self, key: &ServerKey) -> bool {
        let state = &self.chain.state;
        [&state.servers, &state.next_servers, &state.signers].iter().any(|set| set.number(key).is_some())
    }

    /// What was heard of servers that have left the sets is of no use any more.
    fn forget_departed(&mut self) {
        let state = &self.chain.state;
        let sets = [&state.servers, &state.next_servers, &state.signers];
        let stays = |key: &ServerKey| *key == self.key || sets.iter().any(|set| set.number(key).is_some());
        self.votes.retain(|key, _| stays(key));
        self.heights.retain(|key, _| stays(key));
        self.heard_ms.retain(|key, _| stays(key));
        self.uncertified.retain(|key, _| stays(key));
        self.fetching.forget_departed(stays);
    }

    fn on_payments<V: View>(&mut self, payments: Vec<crate::CheckedPayment>, accounts: &V) {
        payments.into_iter().for_each(|payment| self.on_payment(payment, accounts));
        let evicted = self.pool.take_evicted();
        if !evicted.is_empty() {
            let evicted = evicted.into_iter().map(|id| (id, Refusal::Busy)).collect();
            self.say(Effect::Event(Event::Refused(evicted)));
        }
    }

    fn on_payment<V: View>(&mut self, payment: crate::CheckedPayment, accounts: &V) {
        let (id, epoch) = (payment.id(), self.chain.epoch);
        let result = self.pool.admit(payment, &self.chain.rules, accounts, epoch);
        self.nothing_ready = false;
        self.say(Effect::Admitted { id, result });
    }

    fn on_order<V: View>(&mut self, order: SignedOrder, accounts: &V) {
        let (id, epoch) = (order.order.id(&self.settings.community), self.chain.epoch);
        let result = self.pool.admit_order(order, &self.chain.rules, &self.chain.state, accounts, epoch);
        self.nothing_ready = false;
        self.say(Effect::Admitted { id, result });
    }

    /// All that time or the last input may have made possible.
    fn go_on<V: View>(&mut self, accounts: &V) {
        self.join(accounts);
        self.apply_incoming(accounts);
        self.fire_timers();
        self.start_if_due(accounts);
        self.propose_if_wanted(accounts);
        self.fetch_if_behind();
        self.cut_if_due();
        self.fetch_missing_bodies();
        self.say_status();
    }

    fn say_status_within(&mut self, ms: u64) {
        self.next_status_ms = self.next_status_ms.min(self.now.steady_ms + ms);
    }

    fn say_status(&mut self) {
        if self.now.steady_ms < self.next_status_ms {
            return;
        }
        self.next_status_ms = self.now.steady_ms + STATUS_MS;
        let votes = self.votes.values().cloned().collect();
        let status = Status { height: self.chain.state.height, epoch: self.certified_epoch(), votes };
        self.send(Said::Status(status));
        self.repeat_checkpoint();
        self.say_uncertified();
    }

    /// The newest epoch that this server knows to be certified.
    fn certified_epoch(&self) -> Epoch {
        let open = self.chain.epoch.0;
        let back = if self.chain.certificate.is_some() { 1 } else { 2 };
        Epoch(open.saturating_sub(back))
    }

    /// Stops for good: nothing is written or said from now on, whatever the rest of this call wants.
    fn halt(&mut self, why: &str) {
        self.halted.get_or_insert_with(|| why.to_owned());
    }

    /// Only servers are heard: who is none yet, or none any more, says nothing.
    fn send(&mut self, said: Said) {
        if self.knows(&self.key) {
            self.say(Effect::Send(Message(said)));
        }
    }

    /// Says something once everything written so far is on disk.
    fn say(&mut self, effect: Effect) {
        self.said.push(effect);
    }

    fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// The writes of this call become one store; what was said waits for it.
    fn flush(&mut self) -> Vec<Effect> {
        if let Some(why) = &self.halted {
            // Not held back for a store that is under way: its answer would never be heard.
            return vec![Effect::Halt(why.clone())];
        }
        let mut effects = Vec::new();
        if !self.writes.is_empty() {
            self.token += 1;
            effects.push(Effect::Store { token: self.token, writes: std::mem::take(&mut self.writes) });
        }
        let token = self.token;
        self.held.extend(std::mem::take(&mut self.said).into_iter().map(|effect| (token, effect)));
        while self.held.front().is_some_and(|(after, _)| *after <= self.stored) {
            effects.extend(self.held.pop_front().map(|(_, effect)| effect));
        }
        effects
    }

    fn on_stored<V: View>(&mut self, token: u64, accounts: &V) {
        self.stored = self.stored.max(token);
        if self.committing.as_ref().is_some_and(|committing| committing.token <= self.stored) {
            let committing = self.committing.take();
            committing.into_iter().for_each(|committing| self.committed(committing, accounts));
        }
    }
}
