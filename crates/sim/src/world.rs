//! Virtual time, the network between servers, and clients that pay.
use std::collections::{BTreeMap, BTreeSet};

use seedbank_quorum::{CheckedPayment, DecidedBatch, Effect, Event, Input, Message, Now};
use seedbank_types::{
    AccountId, AccountRecord, AccountSecret, Amount, CommunityId, Epoch, Genesis, Hash, Height, Payment, PaymentId,
    RESERVED_ORDERS_ACCOUNT, Rule, ServerKey, ServerSecret, ServerSet, TimeMs,
};

use crate::invariants::one_signature::Spoken;
use crate::{Disk, Random, Server, invariants};

const ACCOUNTS: u8 = 20;
const BALANCE: u64 = 1_000_000;
const FEE_ACCOUNT: AccountId = AccountId([0xfe; 20]);
const SYNC_US: u64 = 150;
/// After so long without progress a client pays again.
const PATIENCE_US: u64 = 3_000_000;
const BATCHES_PER_ANSWER: usize = 64;

/// What a simulation does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Determines everything that is random.
    pub seed: u64,
    /// How many servers.
    pub servers: u8,
    /// Whose agreement is enough.
    pub rule: Rule,
    /// Length of an epoch.
    pub epoch_ms: u64,
    /// Shortest and longest delay of a message, in milliseconds.
    pub delay_ms: (u64, u64),
    /// Messages lost, of 100.
    pub loss_percent: u64,
    /// Messages that arrive twice, of 100.
    pub duplicate_percent: u64,
    /// Payments made each second.
    pub payments_per_second: u64,
    /// By how much each server's wall clock is wrong, in milliseconds; 0 for those not named.
    pub clocks_off_ms: Vec<i64>,
    /// How many servers, the last by key, do not start at first.
    pub late: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 0,
            servers: 3,
            rule: Rule::Majority,
            epoch_ms: 1_000,
            delay_ms: (1, 20),
            loss_percent: 0,
            duplicate_percent: 0,
            payments_per_second: 50,
            clocks_off_ms: Vec::new(),
            late: 0,
        }
    }
}

#[derive(Debug)]
enum Happening {
    Boot,
    Tick,
    Deliver(Box<Input>),
    AskBody { from: ServerKey, digest: Hash },
    AskBatches { from: ServerKey, first: Height },
    Pay,
}

/// What the owner of an account knows of it.
#[derive(Debug, Clone, Copy, Default)]
struct Wallet {
    /// Sequence of the next payment.
    next: u64,
    /// Payments applied, as seen last.
    applied: u64,
    /// Since when that has been so.
    since_us: u64,
}

/// The whole simulated community.
pub struct World {
    plan: Plan,
    random: Random,
    genesis: Genesis,
    community: CommunityId,
    now_us: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), (ServerKey, u64, Happening)>,
    servers: BTreeMap<ServerKey, Server>,
    secrets: Vec<AccountSecret>,
    wallets: Vec<Wallet>,
    /// Payments that some server called final, with their height.
    finals: BTreeMap<PaymentId, Height>,
    halted: BTreeSet<String>,
    spoken: Spoken,
    events: Vec<(u64, ServerKey, Event)>,
}

impl World {
    /// Makes the community and starts all servers.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let secrets: Vec<AccountSecret> =
            (1..=ACCOUNTS).map(|n| AccountSecret::from_bytes(&[n; 32]).expect("small numbers are keys")).collect();
        let server_secrets: Vec<ServerSecret> =
            (1..=plan.servers).map(|n| ServerSecret::from_bytes(&[n; 32])).collect();
        let accounts = first_accounts(&secrets);
        let genesis = genesis(&plan, &accounts, &server_secrets);
        let servers =
            server_secrets.into_iter().map(|secret| Server::new(secret, Disk::new(&genesis, accounts.clone())));
        let servers: BTreeMap<ServerKey, Server> = servers.map(|server| (server.key, server)).collect();
        let mut world = Self {
            random: Random::new(plan.seed),
            community: genesis.community(),
            genesis,
            now_us: 0,
            order: 0,
            queue: BTreeMap::new(),
            wallets: vec![Wallet::default(); secrets.len()],
            secrets,
            finals: BTreeMap::new(),
            halted: BTreeSet::new(),
            spoken: Spoken::default(),
            events: Vec::new(),
            servers,
            plan,
        };
        let keys: Vec<ServerKey> = world.servers.keys().copied().collect();
        let early = keys.len() - world.plan.late;
        keys[..early].iter().for_each(|key| world.boot(*key));
        if world.plan.payments_per_second > 0 {
            world.schedule_us(1_000, keys[0], 0, Happening::Pay);
        }
        world
    }

    /// Goes on for so many virtual milliseconds; every invariant is checked after every event.
    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now_us + ms * 1_000;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), (key, life, happening)) = entry.remove_entry();
            self.now_us = at;
            self.happen(key, life, happening);
        }
        self.now_us = end;
        invariants::supply::check(&self.servers, self.genesis.supply);
        invariants::no_fork::check(&self.servers);
        invariants::one_checkpoint::check(&self.servers, self.genesis.quorum);
        invariants::final_stays::check(&self.servers, &self.finals);
    }

    /// A server loses what is not on its disk; it starts again after `down_ms`.
    pub fn crash(&mut self, index: usize, down_ms: u64) {
        let key = self.key(index);
        self.server(key).crash();
        let life = self.server(key).life;
        self.schedule_us(down_ms * 1_000, key, life, Happening::Boot);
    }

    /// A server that does not run begins to.
    pub fn start(&mut self, index: usize) {
        let key = self.key(index);
        self.boot(key);
    }

    /// A server crashes and starts after `down_ms` with another disk, for instance an old copy.
    pub fn restore(&mut self, index: usize, disk: Disk, down_ms: u64) {
        self.crash(index, down_ms);
        let key = self.key(index);
        self.server(key).disk = disk;
    }

    /// A copy of a server's disk as it is now.
    #[must_use]
    pub fn disk(&self, index: usize) -> Disk {
        self.servers[&self.key(index)].disk.clone()
    }

    /// All that was ever signed and sent.
    #[must_use]
    pub const fn spoken(&self) -> &Spoken {
        &self.spoken
    }

    /// The newest certified epoch that any server knows.
    #[must_use]
    pub fn certified_epoch(&self) -> u64 {
        let newest = self.servers.values().filter_map(|server| server.disk.certificates().keys().next_back());
        newest.map(|epoch| epoch.0).max().unwrap_or(0)
    }

    /// The newest certified epoch that this server knows.
    #[must_use]
    pub fn certified_epoch_of(&self, index: usize) -> Epoch {
        let server = &self.servers[&self.key(index)];
        server.disk.certificates().keys().next_back().copied().unwrap_or_default()
    }

    /// Payments that were called final so far.
    #[must_use]
    pub fn finals(&self) -> usize {
        self.finals.len()
    }

    /// The servers, by key.
    #[must_use]
    pub const fn servers(&self) -> &BTreeMap<ServerKey, Server> {
        &self.servers
    }

    /// What the servers reported, with the virtual time in microseconds.
    #[must_use]
    pub fn events(&self) -> &[(u64, ServerKey, Event)] {
        &self.events
    }

    /// Reasons for which servers stopped themselves.
    #[must_use]
    pub const fn halted(&self) -> &BTreeSet<String> {
        &self.halted
    }

    fn key(&self, index: usize) -> ServerKey {
        *self.servers.keys().nth(index).expect("an index below the number of servers")
    }

    fn server(&mut self, key: ServerKey) -> &mut Server {
        self.servers.get_mut(&key).expect("keys come from the map")
    }

    fn now(&self, key: ServerKey) -> Now {
        let ms = self.now_us / 1_000;
        let index = self.servers.keys().position(|server| *server == key).unwrap_or_default();
        let off_ms = self.plan.clocks_off_ms.get(index).copied().unwrap_or_default();
        let wall = self.genesis.created.plus_ms(ms).0.saturating_add_signed(off_ms);
        Now { wall: TimeMs(wall), steady_ms: ms }
    }

    fn schedule_us(&mut self, after_us: u64, key: ServerKey, life: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now_us + after_us, self.order), (key, life, happening));
    }

    fn boot(&mut self, key: ServerKey) {
        let genesis = self.genesis.clone();
        let server = self.server(key);
        server.boot(&genesis);
        let life = server.life;
        self.schedule_us(0, key, life, Happening::Tick);
    }

    fn happen(&mut self, key: ServerKey, life: u64, happening: Happening) {
        let is_current = self.servers[&key].life == life;
        match happening {
            Happening::Pay => self.pay(),
            Happening::Boot if is_current => self.boot(key),
            Happening::AskBody { from, digest } => {
                if let Some(body) = self.servers[&key].bodies.get(&digest).cloned() {
                    self.deliver(from, Input::Body(body));
                }
            }
            Happening::AskBatches { from, first } => {
                let batches = self.servers[&key].disk.batches();
                let start = usize::try_from(first.0.saturating_sub(1)).unwrap_or(usize::MAX).min(batches.len());
                let answer: Vec<DecidedBatch> = batches[start..].iter().take(BATCHES_PER_ANSWER).cloned().collect();
                self.deliver(from, Input::Batches(answer));
            }
            Happening::Tick if is_current => {
                self.input(key, Input::Tick);
                self.next_tick(key);
            }
            Happening::Deliver(input) if is_current => self.input(key, *input),
            Happening::Boot | Happening::Tick | Happening::Deliver(_) => {}
        }
    }

    fn next_tick(&mut self, key: ServerKey) {
        let now_ms = self.now_us / 1_000;
        let Some(quorum) = &self.servers[&key].quorum else { return };
        let (wait_ms, life) = (quorum.wake_at_ms().saturating_sub(now_ms).clamp(1, 50), self.servers[&key].life);
        self.schedule_us(wait_ms * 1_000, key, life, Happening::Tick);
    }

    /// Sends an input to a server over the network: late, perhaps never.
    fn deliver(&mut self, key: ServerKey, input: Input) {
        if self.random.chance(self.plan.loss_percent) {
            return;
        }
        if let Some(again) = self.duplicate(&input) {
            self.deliver_once(key, again);
        }
        self.deliver_once(key, input);
    }

    fn duplicate(&mut self, input: &Input) -> Option<Input> {
        match input {
            Input::Message { from, message } if self.random.chance(self.plan.duplicate_percent) => {
                Some(Input::Message { from: *from, message: message.clone() })
            }
            _ => None,
        }
    }

    fn deliver_once(&mut self, key: ServerKey, input: Input) {
        let (least, most) = self.plan.delay_ms;
        let delay_us = least * 1_000 + self.random.below((most - least).max(1) * 1_000);
        let life = self.servers[&key].life;
        self.schedule_us(delay_us, key, life, Happening::Deliver(Box::new(input)));
    }

    fn input(&mut self, key: ServerKey, input: Input) {
        let now = self.now(key);
        let effects = self.server(key).handle(now, input);
        effects.into_iter().for_each(|effect| self.carry_out(key, effect));
    }

    fn carry_out(&mut self, key: ServerKey, effect: Effect) {
        let life = self.servers[&key].life;
        match effect {
            Effect::Store { token, writes } => {
                // The write counts from now on; the answer comes after the sync.
                self.server(key).disk.store(writes);
                self.schedule_us(SYNC_US, key, life, Happening::Deliver(Box::new(Input::Stored(token))));
            }
            Effect::Send(message) => self.broadcast(key, &message),
            Effect::Offer { digest, body } => {
                self.server(key).bodies.insert(digest, body);
            }
            Effect::FetchBody { digest, from } => self.ask(from, Happening::AskBody { from: key, digest }),
            Effect::FetchBatches { first, from } => self.ask(from, Happening::AskBatches { from: key, first }),
            Effect::Cut(order) => {
                let cut = self.servers[&key].cut(&order);
                self.schedule_us(5_000, key, life, Happening::Deliver(Box::new(Input::Cut(cut))));
            }
            Effect::Admitted { .. } => {}
            Effect::Event(event) => self.note(key, event),
            Effect::Halt(why) => {
                self.halted.insert(why);
                self.server(key).crash();
            }
        }
    }

    fn ask(&mut self, of: ServerKey, happening: Happening) {
        let (least, most) = self.plan.delay_ms;
        let delay_us = least * 1_000 + self.random.below((most - least).max(1) * 1_000);
        self.schedule_us(delay_us, of, 0, happening);
    }

    fn broadcast(&mut self, from: ServerKey, message: &Message) {
        self.spoken.hear(message);
        // Through the bytes, as on a real network.
        let decoded = Message::decode(&message.encode()).expect("what is encoded can be decoded");
        assert_eq!(decoded, *message);
        let others: Vec<ServerKey> = self.servers.keys().copied().filter(|key| *key != from).collect();
        for key in others {
            self.deliver(key, Input::Message { from, message: decoded.clone() });
        }
    }

    fn note(&mut self, key: ServerKey, event: Event) {
        if let Event::Decided { height, entries, .. } = &event {
            for entry in entries {
                let id = entry.id(&self.community);
                let before = self.finals.insert(id, *height);
                assert!(before.is_none_or(|before| before == *height), "payment {id} was applied twice");
            }
        }
        self.events.push((self.now_us, key, event));
    }

    /// A client pays and tells all servers.
    fn pay(&mut self) {
        let count = self.secrets.len() as u64;
        let (from, to) = (self.random.below(count), self.random.below(count));
        let (from, to) = (usize::try_from(from).expect("20 accounts"), usize::try_from(to).expect("20 accounts"));
        if from != to {
            let payment = self.payment(from, to);
            let keys: Vec<ServerKey> = self.servers.keys().copied().collect();
            for key in keys {
                self.deliver(key, Input::Payments(vec![payment.clone()]));
            }
        }
        let key = self.key(0);
        self.schedule_us(1_000_000 / self.plan.payments_per_second, key, 0, Happening::Pay);
    }

    fn payment(&mut self, from: usize, to: usize) -> CheckedPayment {
        // A client asks a server for its sequence; here the highest that any server has applied.
        let payer = self.secrets[from].public().id();
        let applied =
            self.servers.values().filter_map(|server| server.disk.accounts().get(&payer)).map(|r| r.sequence).max();
        let sequence = self.next_sequence(from, applied.unwrap_or(0));
        let payment = Payment {
            payer_key: self.secrets[from].public().to_bytes(),
            payee: self.secrets[to].public().id(),
            amount: Amount(1 + self.random.below(50)),
            fee: Amount(1),
            sequence,
            expires: Epoch(1_000),
            memo: Vec::new(),
        };
        CheckedPayment::check(payment.sign(&self.community, &self.secrets[from]), &self.community).expect("well signed")
    }

    /// A client goes on from its last payment; if nothing of it is applied for long, that was lost on
    /// the way and it begins again at the gap.
    fn next_sequence(&mut self, from: usize, applied: u64) -> u64 {
        let wallet = self.wallets[from];
        let is_stuck = applied == wallet.applied && self.now_us > wallet.since_us + PATIENCE_US;
        let sequence = if is_stuck { applied } else { wallet.next.max(applied) };
        let since_us = if is_stuck || applied != wallet.applied { self.now_us } else { wallet.since_us };
        self.wallets[from] = Wallet { next: sequence + 1, applied, since_us };
        sequence
    }
}

fn first_accounts(secrets: &[AccountSecret]) -> BTreeMap<AccountId, AccountRecord> {
    let mut accounts: BTreeMap<AccountId, AccountRecord> = secrets
        .iter()
        .map(|secret| secret.public().id())
        .map(|id| (id, AccountRecord { id, balance: Amount(BALANCE), sequence: 0 }))
        .collect();
    for id in [RESERVED_ORDERS_ACCOUNT, FEE_ACCOUNT] {
        accounts.insert(id, AccountRecord::empty(id));
    }
    accounts
}

fn genesis(plan: &Plan, accounts: &BTreeMap<AccountId, AccountRecord>, servers: &[ServerSecret]) -> Genesis {
    let count = accounts.len() as u64;
    let table =
        seedbank_snapshot::BucketTable::from_records(count, accounts.values().copied()).expect("sorted by the map");
    Genesis {
        created: TimeMs(1_700_000_000_000),
        epoch_ms: plan.epoch_ms,
        full_interval: 1,
        quorum: plan.rule,
        decimals: 2,
        name: "Simulation".to_owned(),
        symbol: "SIM".to_owned(),
        fee_account: FEE_ACCOUNT,
        minimum_fee: Amount(1),
        opening_minimum: Amount(1),
        root: table.root(),
        count,
        supply: Amount(accounts.values().map(|record| record.balance.0).sum()),
        servers: ServerSet::new(servers.iter().map(|secret| (secret.public(), 1))).expect("distinct keys"),
    }
}
