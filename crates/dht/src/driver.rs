//! The one task that owns a node and its sockets.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use seedbank_dht_proto::{Effect, Input, Item, Job, Node, Report, TaskId, Time};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::DhtHealth;
use crate::listener::Listener;
use crate::sockets::{FAMILIES, PACKET_BUFFER_BYTES, Sockets};
use crate::state::StateFile;

/// Commands that wait for the task.
pub(crate) const COMMANDS_MAX: usize = 256;
/// Tasks under way; further ones wait among the commands.
const TASKS_MAX: usize = 512;
/// After so many packets of a family the others have their turn.
const PACKETS_IN_A_ROW: usize = 64;
/// So many are read before anybody is held to be late: their answers may be among them.
const PACKETS_BEFORE_LATE: usize = 1_024;
const SAVE_EVERY: Duration = Duration::from_secs(5 * 60);
/// What a young node has found is worth keeping soon.
const SAVE_FIRST: Duration = Duration::from_secs(30);
/// The task looks around at least this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What a handle wants of its node.
#[derive(Debug)]
pub(crate) enum Command {
    Start {
        job: Box<Job>,
        listener: Listener,
    },
    Health(oneshot::Sender<DhtHealth>),
    /// The hosts to ask first have these addresses now.
    Bootstrap(Vec<SocketAddr>),
    /// An item that is the owner's, as long as the other end of the channel is there.
    Own(watch::Receiver<Item>),
}

/// A running node.
pub(crate) struct Driver {
    node: Node,
    sockets: Sockets,
    commands: mpsc::Receiver<Command>,
    state: Option<StateFile>,
    started: Instant,
    save_at: Instant,
    /// Packets that had come in when the state was last saved.
    packets_saved: u64,
    last_task: u64,
    listeners: BTreeMap<TaskId, Listener>,
    own: Vec<watch::Receiver<Item>>,
}

impl Driver {
    /// The node's time begins at `started`.
    pub(crate) fn new(
        node: Node,
        sockets: Sockets,
        commands: mpsc::Receiver<Command>,
        state: Option<StateFile>,
        started: Instant,
    ) -> Self {
        Self {
            node,
            sockets,
            commands,
            state,
            started,
            save_at: started + SAVE_FIRST,
            packets_saved: 0,
            last_task: 0,
            listeners: BTreeMap::new(),
            own: vec![],
        }
    }

    /// Runs until it is stopped, and then saves what it knows.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.handle(Input::Wake);
        loop {
            let wake_at = self.wake_at();
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.sockets.readable() => self.receive().await,
                Some(command) = self.commands.recv(), if self.listeners.len() < TASKS_MAX => self.obey(command),
                () = sleep_until(wake_at) => self.wake(),
            }
        }
        self.end().await;
    }

    fn now(&self) -> Time {
        Time(self.started.elapsed())
    }

    fn wake_at(&self) -> Instant {
        let longest = self.started.elapsed() + LONGEST_SLEEP;
        let node = self.started + self.node.wake_at().0.min(longest);
        if self.state.is_some() { node.min(self.save_at) } else { node }
    }

    async fn receive(&mut self) {
        if !self.read(PACKETS_IN_A_ROW) {
            // A flood must not keep other tasks of this thread from their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Reads at most so many packets of each family; whether those were all.
    fn read(&mut self, packets_max: usize) -> bool {
        let mut buffer = [0; PACKET_BUFFER_BYTES];
        let mut all_read = true;
        for family in FAMILIES {
            let mut left = packets_max;
            while left > 0
                && let Some((length, from)) = self.sockets.receive(family, &mut buffer)
            {
                self.handle(Input::Packet { from, bytes: &buffer[..length] });
                left -= 1;
            }
            all_read &= left > 0;
        }
        all_read
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { job, listener } => self.start(*job, listener),
            Command::Health(reply) => {
                let now = self.now();
                if reply.send(DhtHealth::new(&self.node.health(now), &self.sockets, now)).is_err() {
                    tracing::trace!("nobody waits for the health of the DHT node any more");
                }
            }
            Command::Own(item) if self.state.is_some() => self.own.push(item),
            Command::Own(_) => {}
            Command::Bootstrap(addresses) => self.handle(Input::Bootstrap(addresses)),
        }
    }

    fn start(&mut self, job: Job, listener: Listener) {
        if !listener.is_there() {
            return;
        }
        self.last_task += 1;
        let task = TaskId(self.last_task);
        self.listeners.insert(task, listener);
        self.handle(Input::Start { task, job });
    }

    fn wake(&mut self) {
        self.cancel_unwanted();
        self.read(PACKETS_BEFORE_LATE);
        self.handle(Input::Wake);
        if self.state.is_some() && self.save_at <= Instant::now() {
            self.save_at = Instant::now() + SAVE_EVERY;
            self.own.retain(|item| item.has_changed().is_ok());
            self.save_news();
        }
    }

    /// Ends the tasks to which nobody listens any more.
    fn cancel_unwanted(&mut self) {
        let unwanted: Vec<TaskId> =
            self.listeners.iter().filter(|(_, listener)| !listener.is_there()).map(|(task, _)| *task).collect();
        for task in unwanted {
            self.listeners.remove(&task);
            self.handle(Input::Cancel(task));
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut unsent = self.apply(input);
        while let Some(to) = unsent.pop() {
            let more = self.apply(Input::Unsent(to));
            unsent.extend(more);
        }
    }

    /// Gives back to whom no way leads.
    fn apply(&mut self, input: Input<'_>) -> Vec<SocketAddr> {
        let mut unsent = vec![];
        for effect in self.node.handle(self.now(), input) {
            match effect {
                Effect::Send { to, bytes } => unsent.extend(self.sockets.send(to, &bytes).is_err().then_some(to)),
                Effect::Report { task, report } => self.pass(task, report),
            }
        }
        unsent
    }

    fn pass(&mut self, task: TaskId, report: Report) {
        let is_last = matches!(report, Report::Done(_));
        if let Some(listener) = self.listeners.get_mut(&task) {
            listener.hear(report);
        }
        if is_last {
            self.listeners.remove(&task);
        }
    }

    /// Nothing has changed if nobody has said anything.
    fn save_news(&mut self) {
        let packets = self.node.health(self.now()).traffic.packets_in;
        if std::mem::replace(&mut self.packets_saved, packets) != packets {
            self.save();
        }
    }

    fn save(&mut self) {
        let (saved, own) = (self.node.save(self.now()), self.own_items());
        if let Some(state) = &mut self.state {
            state.write(saved, own);
        }
    }

    /// The newest item for each target.
    fn own_items(&self) -> Vec<Item> {
        let mut items: BTreeMap<_, Item> = BTreeMap::new();
        for item in self.own.iter().map(|item| item.borrow().clone()) {
            let there = items.entry(item.target()).or_insert_with(|| item.clone());
            if there.seq() < item.seq() {
                *there = item;
            }
        }
        items.into_values().collect()
    }

    /// Everybody who waits is told first, and the port is free before the disk is asked. Own items are
    /// saved even if nobody is left who keeps them: their keepers were stopping, too.
    async fn end(self) {
        let (saved, own) = (self.node.save(self.now()), self.own_items());
        let Self { mut commands, listeners, sockets, state, .. } = self;
        commands.close();
        while commands.try_recv().is_ok() {}
        drop((listeners, sockets));
        if let Some(mut state) = state {
            state.written().await;
            state.write(saved, own);
            state.written().await;
        }
    }
}
