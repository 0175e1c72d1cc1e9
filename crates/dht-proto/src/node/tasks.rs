//! Tasks: a look-up in each family, what it finds on the way, and the storing that may follow.
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::asking::Purpose;
use super::upkeep::LONELY;
use super::{Family, Node, is_what_was_asked};
use crate::best::Best;
use crate::krpc::{KrpcError, Method, Response};
use crate::lookup::{Lookup, WIDTH};
use crate::{Effect, Id, Item, Job, MutableItem, NodeInfo, Outcome, Pong, Report, TaskId, Time};

/// More tasks than this at once are over before they begin.
const TASKS_MAX: usize = 1_024;
/// More peers than this are of no use to anybody, and may be made up.
const PEERS_MAX: usize = 1_000;

/// Whose task it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TaskKey {
    Owner(TaskId),
    Upkeep(u64),
}

/// A task under way.
#[derive(Debug)]
pub(super) struct Task {
    job: Job,
    /// What it looks for; nothing in a ping.
    target: Id,
    lookups: Vec<Lookup>,
    best: Best,
    peers: BTreeSet<SocketAddr>,
    outcome: Outcome,
    storing: Option<Storing>,
}

/// Nodes that were told to store and have not answered.
#[derive(Debug, Default)]
struct Storing {
    waiting: BTreeSet<SocketAddr>,
    slow: BTreeSet<SocketAddr>,
}

impl Task {
    /// The query that each node on the way gets.
    fn question(&self) -> Method {
        let target = self.target;
        match self.job {
            Job::Ping(_) => Method::Ping,
            Job::FindNode(_) => Method::FindNode { target },
            Job::Peers(_) | Job::Announce { .. } => Method::GetPeers { info_hash: target },
            Job::Get { .. } | Job::Put { .. } => Method::Get { target, seq: None },
        }
    }

    fn salt(&self) -> &[u8] {
        match &self.job {
            Job::Get { salt, .. } => salt,
            Job::Put { item: Item::Mutable(item), .. } => &item.salt,
            _ => &[],
        }
    }

    /// What a node is told to store, if anything.
    fn order(&self, token: Vec<u8>) -> Option<Method> {
        match &self.job {
            Job::Announce { info_hash, port } => {
                Some(Method::AnnouncePeer { info_hash: *info_hash, port: *port, token })
            }
            Job::Put { item, cas } => Some(Method::Put { token, item: item.clone(), cas: *cas }),
            _ => None,
        }
    }

    /// Nobody is left to wait for. The slow ones are waited for while nobody has confirmed.
    fn has_stored(&self) -> bool {
        let over =
            |storing: &Storing| storing.waiting.is_empty() && (storing.slow.is_empty() || self.outcome.stored > 0);
        self.storing.as_ref().is_some_and(over)
    }
}

impl Node {
    pub(super) fn start(&mut self, now: Time, key: TaskKey, job: Job) {
        let target = sought(&job);
        let (best, peers, outcome) = (Best::default(), BTreeSet::new(), Outcome::default());
        let mut task = Task { job, target, lookups: vec![], best, peers, outcome, storing: None };
        if self.tasks.len() >= TASKS_MAX {
            return self.finish(key, task);
        }
        if let Job::Ping(to) = task.job {
            return self.start_ping(now, key, to, task);
        }
        self.look_here(now, key, &mut task);
        let needs_token = matches!(task.job, Job::Get { .. } | Job::Put { .. });
        task.lookups = Family::BOTH
            .into_iter()
            .filter(|family| self.has(*family))
            .map(|family| self.look_up(family, target, needs_token))
            .collect();
        self.tasks.insert(key, task);
        self.advance(now, key);
    }

    pub(super) fn cancel(&mut self, task: TaskId) {
        self.tasks.remove(&TaskKey::Owner(task));
    }

    pub(super) fn look_up_answered(&mut self, now: Time, key: TaskKey, node: NodeInfo, response: Response) {
        if node.id == self.own(Family::of(&node.address)) {
            return self.look_up_failed(now, key, node.address);
        }
        let Some(mut task) = self.tasks.remove(&key) else { return };
        let named = self.learnable(response.nodes.into_iter().chain(response.nodes6), &node.address);
        for lookup in &mut task.lookups {
            lookup.answered(node, response.token.clone());
            lookup.hear(node.address, &named);
        }
        if !response.values.is_empty() {
            task.outcome.holders += 1;
            let peers = response.values.into_iter().filter(|peer| self.may_learn(peer, &node.address)).collect();
            self.found_peers(key, &mut task, peers);
        }
        if let Some(item) = response.item {
            self.found_item(key, &mut task, item);
        }
        self.tasks.insert(key, task);
        self.advance(now, key);
    }

    /// A node does not know items (BEP44), but it may know who is nearer.
    pub(super) fn ask_the_way(&mut self, now: Time, key: TaskKey, to: SocketAddr) {
        if let Some(target) = self.tasks.get(&key).map(|task| task.target) {
            self.ask(now, to, Method::FindNode { target }, Purpose::LookUp(key));
        }
    }

    pub(super) fn look_up_slow(&mut self, now: Time, key: TaskKey, address: SocketAddr) {
        self.each_lookup(now, key, |lookup| lookup.is_slow(address));
    }

    pub(super) fn look_up_failed(&mut self, now: Time, key: TaskKey, address: SocketAddr) {
        self.each_lookup(now, key, |lookup| lookup.failed(address));
    }

    pub(super) fn store_answered(
        &mut self,
        now: Time,
        key: TaskKey,
        from: SocketAddr,
        answer: Result<(), Option<KrpcError>>,
    ) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if let Some(storing) = &mut task.storing {
            storing.waiting.remove(&from);
            storing.slow.remove(&from);
        }
        match answer {
            Ok(()) => task.outcome.stored += 1,
            Err(refusal) => task.outcome.refusal = refusal.or(task.outcome.refusal.take()),
        }
        self.advance(now, key);
    }

    pub(super) fn store_slow(&mut self, now: Time, key: TaskKey, address: SocketAddr) {
        let Some(storing) = self.tasks.get_mut(&key).and_then(|task| task.storing.as_mut()) else { return };
        if storing.waiting.remove(&address) {
            storing.slow.insert(address);
        }
        self.advance(now, key);
    }

    pub(super) fn ping_answered(&mut self, key: TaskKey, pong: Option<Pong>) {
        if let Some(mut task) = self.tasks.remove(&key) {
            task.outcome.answered = u32::from(pong.is_some());
            task.outcome.pong = pong;
            self.finish(key, task);
        }
    }

    fn start_ping(&mut self, now: Time, key: TaskKey, to: SocketAddr, mut task: Task) {
        if !self.may_reach(&to) {
            return self.finish(key, task);
        }
        task.outcome.asked = 1;
        self.tasks.insert(key, task);
        self.ask(now, to, Method::Ping, Purpose::Ping(key));
    }

    /// What this node keeps for others is found first.
    fn look_here(&mut self, now: Time, key: TaskKey, task: &mut Task) {
        match task.job {
            Job::Peers(_) => {
                let pick = self.number();
                let peers =
                    [false, true].map(|v6| self.peers.find(&task.target, v6, true, PEERS_MAX, pick, now)).concat();
                let peers = peers.into_iter().filter(|peer| self.may_reach(peer)).collect();
                self.found_peers(key, task, peers);
            }
            Job::Get { .. } | Job::Put { .. } => {
                if let Some(item) = self.items.get(&task.target, now).cloned() {
                    self.found_item(key, task, item);
                    task.best.holds_itself();
                }
            }
            _ => {}
        }
    }

    fn look_up(&self, family: Family, target: Id, needs_token: bool) -> Lookup {
        let mut nodes = self.tables[family.index()].closest(&target, WIDTH);
        let mut hosts = vec![];
        if nodes.len() < LONELY || self.is_cut_off() {
            let of_family = |address: &SocketAddr| Family::of(address) == family && self.may_reach(address);
            nodes.extend(self.upkeep.saved().iter().filter(|node| of_family(&node.address)));
            hosts.extend(self.config.bootstrap.iter().filter(|host| of_family(host)));
        }
        Lookup::new(family, target, needs_token, nodes, hosts)
    }

    fn each_lookup(&mut self, now: Time, key: TaskKey, change: impl Fn(&mut Lookup)) {
        if let Some(task) = self.tasks.get_mut(&key) {
            task.lookups.iter_mut().for_each(change);
            self.advance(now, key);
        }
    }

    /// Asks whoever is to be asked next; when nobody is left, stores or ends.
    fn advance(&mut self, now: Time, key: TaskKey) {
        let Some(mut task) = self.tasks.remove(&key) else { return };
        if task.storing.is_none() {
            self.ask_next(now, key, &mut task);
            if !task.lookups.iter().all(Lookup::is_complete) {
                self.tasks.insert(key, task);
                return;
            }
            self.store(now, key, &mut task);
        }
        if task.has_stored() {
            self.finish(key, task);
        } else {
            self.tasks.insert(key, task);
        }
    }

    fn ask_next(&mut self, now: Time, key: TaskKey, task: &mut Task) {
        for index in 0..task.lookups.len() {
            while let Some(to) = task.lookups[index].next() {
                let question = task.question();
                self.ask(now, to, question, Purpose::LookUp(key));
            }
        }
    }

    /// Tells the nearest nodes to store, if that is the task and nothing newer is there.
    fn store(&mut self, now: Time, key: TaskKey, task: &mut Task) {
        let mut storing = Storing::default();
        if let Job::Put { item, .. } = &task.job {
            task.outcome.newer = task.best.newer_than(item).cloned();
        }
        if task.outcome.newer.is_none() {
            for storer in task.lookups.iter().flat_map(Lookup::storers).collect::<Vec<_>>() {
                let Some(order) = task.order(storer.token) else { break };
                self.ask(now, storer.address, order, Purpose::Store(key));
                storing.waiting.insert(storer.address);
            }
            self.store_here(now, &task.job);
        }
        task.outcome.tried = count(storing.waiting.len());
        task.storing = Some(storing);
    }

    /// A node that serves keeps what it puts itself, too.
    fn store_here(&mut self, now: Time, job: &Job) {
        if let Job::Put { item, cas } = job
            && self.config.serve
        {
            // A full store is no reason not to put elsewhere.
            let _full = self.items.put(item.clone(), *cas, IpAddr::V4(Ipv4Addr::UNSPECIFIED), now);
        }
    }

    fn found_peers(&mut self, key: TaskKey, task: &mut Task, peers: Vec<SocketAddr>) {
        for peer in peers {
            if task.peers.len() < PEERS_MAX && task.peers.insert(peer) {
                self.report(key, Report::Peer(peer));
            }
        }
    }

    fn found_item(&mut self, key: TaskKey, task: &mut Task, item: Item) {
        let item = with_salt(item, task.salt());
        if task.best.repeats(&item) || task.best.outdates(&item) || !is_what_was_asked(&item, &task.target) {
            return;
        }
        task.best.take(item.clone());
        if matches!(task.job, Job::Get { .. }) {
            self.report(key, Report::Item(item));
        }
    }

    fn finish(&mut self, key: TaskKey, mut task: Task) {
        for lookup in &task.lookups {
            task.outcome.asked += count(lookup.asked());
            task.outcome.answered += count(lookup.answered_count());
            task.outcome.nodes.extend(lookup.nearest());
        }
        if matches!(task.job, Job::Get { .. } | Job::Put { .. }) {
            task.outcome.holders = task.best.holders();
        }
        self.report(key, Report::Done(task.outcome));
    }

    fn report(&mut self, key: TaskKey, report: Report) {
        if let TaskKey::Owner(task) = key {
            self.effects.push(Effect::Report { task, report });
        }
    }
}

/// The point that a job is about; a ping is about none.
fn sought(job: &Job) -> Id {
    match job {
        Job::Ping(_) => Id::default(),
        Job::FindNode(target) | Job::Peers(target) | Job::Get { target, .. } => *target,
        Job::Announce { info_hash, .. } => *info_hash,
        Job::Put { item, .. } => item.target(),
    }
}

/// A mutable item comes without its salt, which whoever asks knows.
fn with_salt(item: Item, salt: &[u8]) -> Item {
    match item {
        Item::Mutable(item) => Item::Mutable(MutableItem { salt: salt.to_vec(), ..item }),
        immutable @ Item::Immutable { .. } => immutable,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
