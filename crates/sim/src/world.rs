//! Virtual time, and what happens in it.
mod community;
mod happening;
mod operator;
mod paying;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use seedbank_quorum::{Event, Now};
use seedbank_types::{AccountId, AccountRecord, CommunityId, Epoch, Genesis, ServerKey, ServerSecret, TimeMs};

use crate::disk::Content;
use crate::invariants::{self, Watch};
use crate::liar::{Habit, Liar};
use crate::{Disk, Network, Plan, Random, Server};
use happening::Happening;
use paying::Payers;

/// How often a liar changes its mind, in microseconds.
const LIE_US: u64 = 700_000;
/// A disk that lies about syncing does it after so long.
const LATE_SYNC_US: u64 = 2_000_000;
/// Lines of a trace that are kept.
const TRACE_MAX: usize = 200_000;

/// How often things happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inputs to all servers.
    pub inputs: u64,
    /// Crashes of servers.
    pub crashes: u64,
    /// Disks that were restored from a copy, or lost.
    pub disks_replaced: u64,
    /// Disks that were full for a while.
    pub disks_full: u64,
    /// Bits that were flipped on a disk.
    pub bits_flipped: u64,
    /// Cuts of the network.
    pub cuts: u64,
    /// Times that a liar parted the others.
    pub conspiracies: u64,
    /// Servers that began to observe.
    pub observed: u64,
    /// Servers that stopped themselves.
    pub halted: u64,
    /// Double signers that honest servers found out.
    pub found_out: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.inputs += more.inputs;
        self.crashes += more.crashes;
        self.disks_replaced += more.disks_replaced;
        self.disks_full += more.disks_full;
        self.bits_flipped += more.bits_flipped;
        self.cuts += more.cuts;
        self.conspiracies += more.conspiracies;
        self.observed += more.observed;
        self.halted += more.halted;
        self.found_out += more.found_out;
    }
}

/// The whole simulated community.
pub struct World {
    plan: Plan,
    random: Random,
    genesis: Rc<Genesis>,
    community: CommunityId,
    first_accounts: BTreeMap<AccountId, AccountRecord>,
    now_us: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), (usize, u64, Happening)>,
    /// The servers by key, then the second machines of liars.
    servers: Vec<Server>,
    network: Network,
    payers: Payers,
    halted: BTreeSet<String>,
    diverged: BTreeSet<usize>,
    /// Machines that have heard a quorum since they started.
    joined: BTreeSet<usize>,
    watch: Watch,
    events: Vec<(u64, ServerKey, Event)>,
    counts: Counts,
    trace: VecDeque<String>,
}

impl World {
    /// Makes the community and starts all servers.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let payers = Payers::new();
        let mut secrets: Vec<ServerSecret> = (1..=plan.servers).map(|n| ServerSecret::from_bytes(&[n; 32])).collect();
        secrets.sort_by_key(ServerSecret::public);
        let first_accounts = community::first_accounts(payers.secrets());
        let genesis = Rc::new(community::genesis(&plan, &first_accounts, &secrets));
        let liars = plan.liars.keys().map(|number| secrets[*number].public()).collect();
        let mut world = Self {
            random: Random::new(plan.seed),
            community: genesis.community(),
            watch: Watch::new(&genesis, &first_accounts, liars, plan.may_fork()),
            genesis,
            first_accounts,
            now_us: 0,
            order: 0,
            queue: BTreeMap::new(),
            network: Network::new(&plan),
            payers,
            halted: BTreeSet::new(),
            diverged: BTreeSet::new(),
            joined: BTreeSet::new(),
            events: Vec::new(),
            counts: Counts::default(),
            trace: VecDeque::new(),
            servers: Vec::new(),
            plan,
        };
        world.settle(&secrets);
        world
    }

    fn settle(&mut self, secrets: &[ServerSecret]) {
        for (number, secret) in secrets.iter().enumerate() {
            let liar = self.liar(number, secret);
            self.add_machine(secret, number, liar);
        }
        for (number, habits) in self.plan.liars.clone() {
            if habits.contains(&Habit::Twin) {
                let liar = self.liar(number, &secrets[number]);
                self.add_machine(&secrets[number], number, liar);
            }
        }
        let early = secrets.len() - self.plan.late;
        let machines = (0..self.servers.len()).filter(|machine| *machine < early || *machine >= secrets.len());
        machines.for_each(|machine| self.boot(machine));
        if self.plan.payments_per_second > 0 {
            self.schedule_us(1_000, 0, 0, Happening::Pay);
        }
        let liars: Vec<usize> = self.plan.liars.keys().copied().collect();
        liars.into_iter().for_each(|machine| self.schedule_us(LIE_US, machine, 0, Happening::Lie));
        if self.plan.mutation == Some(crate::Mutation::SkipFsync) {
            self.schedule_us(LATE_SYNC_US, 0, 0, Happening::SyncAtLast);
        }
    }

    fn liar(&self, number: usize, secret: &ServerSecret) -> Option<Liar> {
        let habits = self.plan.liars.get(&number)?.clone();
        Some(Liar::new(habits, secret.clone(), self.community))
    }

    fn add_machine(&mut self, secret: &ServerSecret, number: usize, liar: Option<Liar>) {
        let disk = Disk::new(self.empty_disk(), self.plan.mutation);
        let mut server = Server::new(secret.clone(), number, disk, liar);
        server.clock_off_ms = self.plan.clocks_off_ms.get(number).copied().unwrap_or_default();
        self.servers.push(server);
    }

    /// The disk of a server that never ran.
    #[must_use]
    pub fn empty_disk(&self) -> Content {
        Content::new(&self.genesis, self.first_accounts.clone())
    }

    /// Goes on for so many virtual milliseconds; every invariant is held after every event.
    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now_us + ms * 1_000;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), (machine, life, happening)) = entry.remove_entry();
            self.now_us = at;
            self.happen(machine, life, happening);
        }
        self.now_us = end;
        self.check_wholly();
    }

    /// What is too dear to be held after every event.
    fn check_wholly(&self) {
        for server in self.honest() {
            invariants::supply::check_wholly(server.key, server.disk.content(), self.genesis.supply);
        }
        // A server that alone knows of a decision may lose its disk; the others will decide the same.
        let all_disks_stay = self.counts.disks_replaced == 0 && self.counts.bits_flipped == 0;
        if all_disks_stay && self.watch.no_fork.forked_at().is_none() {
            self.watch.finals.check_kept(self.servers.iter().map(|server| server.disk.kept()));
        }
    }

    /// Servers whose words have to be true.
    pub fn honest(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.is_honest())
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// What it was made of.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The servers by key, then the second machines of liars.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The links between them.
    pub const fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// All invariants, with what they have seen.
    #[must_use]
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// A copy of a server's disk as it is now.
    #[must_use]
    pub fn disk(&self, machine: usize) -> Content {
        self.servers[machine].disk.content().clone()
    }

    /// The newest certified epoch that any honest server knows.
    #[must_use]
    pub fn certified_epoch(&self) -> u64 {
        let newest = self.honest().filter_map(|server| server.disk.content().certificates().keys().next_back());
        newest.map(|epoch| epoch.0).max().unwrap_or(0)
    }

    /// The newest certified epoch that this server knows.
    #[must_use]
    pub fn certified_epoch_of(&self, machine: usize) -> Epoch {
        self.servers[machine].disk.content().certificates().keys().next_back().copied().unwrap_or_default()
    }

    /// Payments that were called final so far.
    #[must_use]
    pub fn finals(&self) -> usize {
        self.watch.finals.count()
    }

    /// What the servers reported, with the virtual time in microseconds.
    #[must_use]
    pub fn events(&self) -> &[(u64, ServerKey, Event)] {
        &self.events
    }

    /// Reasons for which honest servers stopped themselves.
    #[must_use]
    pub const fn halted(&self) -> &BTreeSet<String> {
        &self.halted
    }

    /// Honest machines that found that the others agreed on something else.
    #[must_use]
    pub const fn diverged(&self) -> &BTreeSet<usize> {
        &self.diverged
    }

    /// Whether a machine has heard a quorum since it started.
    #[must_use]
    pub fn has_joined(&self, machine: usize) -> bool {
        self.joined.contains(&machine)
    }

    /// How often things happened.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What happened, if it was to be written down.
    pub fn trace(&self) -> impl Iterator<Item = &String> {
        self.trace.iter()
    }

    /// Writes a line down, if that is wanted.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.plan.is_traced {
            if self.trace.len() >= TRACE_MAX {
                self.trace.pop_front();
            }
            let (seconds, micros) = (self.now_us / 1_000_000, self.now_us % 1_000_000);
            self.trace.push_back(format!("{seconds:4}.{micros:06} {}", line()));
        }
    }

    /// Writes down where every server stands.
    pub(crate) fn note_standing(&mut self) {
        for machine in 0..self.servers.len() {
            let Some(quorum) = &self.servers[machine].quorum else { continue };
            let (chain, round, votes) = (quorum.chain(), quorum.round(), quorum.may_vote());
            let (height, epoch, waiting) = (chain.state.height, chain.epoch, quorum.waiting());
            let line = format!(
                "server {machine}: height {height}, epoch {epoch}, round {round}, votes: {votes}, {waiting} wait"
            );
            self.note(|| line);
        }
    }

    fn now(&self, machine: usize) -> Now {
        let ms = self.now_us / 1_000;
        let wall = self.genesis.created.plus_ms(ms).0.saturating_add_signed(self.servers[machine].clock_off_ms);
        Now { wall: TimeMs(wall), steady_ms: ms }
    }

    fn schedule_us(&mut self, after_us: u64, machine: usize, life: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now_us + after_us, self.order), (machine, life, happening));
    }
}
