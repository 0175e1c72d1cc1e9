//! What can happen, and what servers make of it.
use seedbank_quorum::{DecidedBatch, Effect, Event, Input, Message, Write};
use seedbank_types::{Hash, Height};

use super::{LATE_SYNC_US, LIE_US, World};
use crate::liar::Habit;
use crate::wire;

/// A sync takes so long at least, in microseconds.
const SYNC_US: u64 = 150;
/// A slow one up to so much longer.
const SLOW_SYNC_US: u64 = 40_000;
/// How long it takes to make a snapshot file.
const CUT_US: u64 = 5_000;
const BATCHES_PER_ANSWER: usize = 64;
/// A server that is not called earlier is called after so long.
const TICK_MS_MAX: u64 = 50;

/// Something that is going to happen to a machine.
#[derive(Debug)]
pub(super) enum Happening {
    Boot,
    Tick,
    Deliver(Box<Input>),
    Synced(u64),
    AskBody { from: usize, digest: Hash },
    AskBatches { from: usize, first: Height },
    Pay,
    Lie,
    SyncAtLast,
}

impl World {
    pub(super) fn happen(&mut self, machine: usize, life: u64, happening: Happening) {
        let is_current = self.servers[machine].life == life;
        match happening {
            Happening::Pay => self.pay(),
            Happening::Lie => self.lie(machine),
            Happening::SyncAtLast => {
                self.servers.iter_mut().for_each(|server| server.disk.sync_at_last());
                self.schedule_us(LATE_SYNC_US, 0, 0, Happening::SyncAtLast);
            }
            Happening::AskBody { from, digest } => self.answer_body(machine, from, &digest),
            Happening::AskBatches { from, first } => self.answer_batches(machine, from, first),
            Happening::Boot if is_current => self.boot(machine),
            Happening::Tick if is_current => {
                self.input(machine, Input::Tick);
                self.next_tick(machine, life);
            }
            Happening::Deliver(input) if is_current => self.input(machine, *input),
            Happening::Synced(token) if is_current => {
                let writes = self.servers[machine].disk.take_until(token);
                self.write(machine, writes);
                self.input(machine, Input::Stored(token));
            }
            Happening::Boot | Happening::Tick | Happening::Deliver(_) | Happening::Synced(_) => {}
        }
    }

    fn next_tick(&mut self, machine: usize, life: u64) {
        let now_ms = self.now_us / 1_000;
        let Some(quorum) = self.servers[machine].quorum.as_ref().filter(|_| self.servers[machine].life == life) else {
            return;
        };
        let wait_ms = quorum.wake_at_ms().saturating_sub(now_ms).clamp(1, TICK_MS_MAX);
        self.schedule_us(wait_ms * 1_000, machine, life, Happening::Tick);
    }

    fn answer_body(&mut self, machine: usize, asker: usize, digest: &Hash) {
        let server = &self.servers[machine];
        let Some(body) = server.body(digest) else { return };
        let body = match &server.liar {
            Some(liar) => liar.body(body, &mut self.random),
            None => Some(body),
        };
        if let Some(body) = body {
            self.deliver(Some(machine), asker, Input::Body(body));
        }
    }

    fn answer_batches(&mut self, machine: usize, asker: usize, first: Height) {
        if self.servers[machine].quorum.is_none() {
            return;
        }
        let batches = self.servers[machine].disk.content().batches();
        let start = usize::try_from(first.0.saturating_sub(1)).unwrap_or(usize::MAX).min(batches.len());
        let answer = batches[start..].iter().take(BATCHES_PER_ANSWER);
        let mut answer: Vec<DecidedBatch> = answer.map(|batch| (**batch).clone()).collect();
        if let Some(liar) = &self.servers[machine].liar {
            answer = liar.batches(answer, &mut self.random);
        }
        self.deliver(Some(machine), asker, Input::Batches(answer));
    }

    /// Sends an input to a machine over the network: late, perhaps never, perhaps twice.
    pub(super) fn deliver(&mut self, from: Option<usize>, to: usize, input: Input) {
        if self.servers[to].quorum.is_none() {
            return;
        }
        let mut delays = self.network.route(from, to, &mut self.random);
        let life = self.servers[to].life;
        if let (2.., Input::Message { from, message }) = (delays.len(), &input) {
            let again = Input::Message { from: *from, message: message.clone() };
            let delay = delays.pop().unwrap_or_default();
            self.schedule_us(delay, to, life, Happening::Deliver(Box::new(again)));
        }
        if let Some(delay) = delays.pop() {
            self.schedule_us(delay, to, life, Happening::Deliver(Box::new(input)));
        }
    }

    /// One input, and all that follows from it; now and then the server crashes in the middle of that.
    pub(super) fn input(&mut self, machine: usize, input: Input) {
        let server = &self.servers[machine];
        let heard = match &server.liar {
            Some(liar) => liar.hear(input),
            None => Some(input),
        };
        let Some(input) = heard.filter(|_| server.quorum.is_some()) else { return };
        let (now, life) = (self.now(machine), server.life);
        self.counts.inputs += 1;
        let effects = self.servers[machine].handle(now, input);
        let crashes = self.plan.crashes_per_million > 0
            && self.random.below(1_000_000) < self.plan.crashes_per_million
            && self.servers[machine].liar.is_none();
        let reached = if crashes { self.random.index(effects.len() + 1) } else { effects.len() };
        for effect in effects.into_iter().take(reached) {
            if self.servers[machine].life != life {
                return;
            }
            self.carry_out(machine, effect);
        }
        if crashes && self.servers[machine].life == life {
            let down_ms = self.random.between(5, 1_500);
            self.crash(machine, down_ms);
        }
        self.watch.after(&self.servers[machine]);
    }

    fn carry_out(&mut self, machine: usize, effect: Effect) {
        match effect {
            Effect::Store { token, writes } => self.store(machine, token, writes),
            Effect::Send(message) => self.broadcast(machine, &message),
            Effect::Offer { digest, body } => self.servers[machine].offer(digest, body),
            Effect::FetchBody { digest, from } => {
                let happening = |asker| Happening::AskBody { from: asker, digest };
                self.ask(machine, from, happening);
            }
            Effect::FetchBatches { first, from, .. } => {
                let happening = |asker| Happening::AskBatches { from: asker, first };
                self.ask(machine, from, happening);
            }
            Effect::Cut(order) => {
                let server = &self.servers[machine];
                let cut = server.cut(self.community, &order);
                let life = server.life;
                // The accounts kept are those of the newest closing header only.
                let is_there = server.disk.content().state().height >= order.height;
                if is_there {
                    self.schedule_us(CUT_US, machine, life, Happening::Deliver(Box::new(Input::Cut(cut))));
                }
            }
            Effect::FetchState => self.deliver(None, machine, Input::NoState),
            Effect::Admitted { .. } => {}
            Effect::Event(event) => self.reported(machine, event),
            Effect::Halt(why) => self.halt(machine, why),
        }
    }

    fn store(&mut self, machine: usize, token: u64, writes: Vec<Write>) {
        let server = &mut self.servers[machine];
        if server.disk.is_full {
            // After a failed write nothing is written any more and the process stops.
            return self.stop_with_full_disk(machine);
        }
        server.disk.begin(token, writes);
        let slow_us = if self.random.chance(2) { self.random.below(SLOW_SYNC_US) } else { 0 };
        server.synced_at_us = server.synced_at_us.max(self.now_us + SYNC_US + slow_us);
        let (after_us, life) = (server.synced_at_us - self.now_us, server.life);
        self.schedule_us(after_us, machine, life, Happening::Synced(token));
    }

    /// Writes get to a disk.
    pub(super) fn write(&mut self, machine: usize, writes: Vec<Write>) {
        for write in writes {
            let server = &mut self.servers[machine];
            if !server.is_honest() {
                server.disk.apply(write);
                continue;
            }
            self.watch.writes(server.key, &write);
            let commits = matches!(write, Write::Commit(_));
            server.disk.apply(write);
            if commits {
                self.watch.committed(&self.servers[machine]);
            }
        }
    }

    fn ask(&mut self, asker: usize, of: seedbank_types::ServerKey, happening: impl Fn(usize) -> Happening) {
        let number = self.servers.iter().position(|server| server.key == of);
        let Some(asked) = number.and_then(|number| self.machine_that_talks_to(number, asker)) else { return };
        let delay = self.network.route(Some(asker), asked, &mut self.random).pop();
        if let Some(delay) = delay {
            self.schedule_us(delay, asked, 0, happening(asker));
        }
    }

    /// Of a liar's two machines the one that a server has to do with at present.
    fn machine_that_talks_to(&self, number: usize, other: usize) -> Option<usize> {
        let mut machines = (0..self.servers.len()).filter(|machine| self.servers[*machine].number == number);
        machines.find(|machine| self.may_talk(*machine, other))
    }

    /// The second machine of a liar talks to those whom the first deceives, and to nobody else.
    pub(super) fn may_talk(&self, one: usize, other: usize) -> bool {
        let chooses = |chooser: usize, peer: usize| {
            let server = &self.servers[chooser];
            let Some(liar) = server.liar.as_ref().filter(|liar| liar.does(Habit::Twin)) else { return true };
            let is_second = chooser != server.number;
            liar.deceives(self.servers[peer].number) == is_second
        };
        chooses(one, other) && chooses(other, one)
    }

    fn broadcast(&mut self, from: usize, message: &Message) {
        if self.servers[from].is_honest() {
            self.watch.says(self.servers[from].key, &self.servers[from].disk, message);
        }
        self.note(|| format!("server {from} says {}", wire::read(&message.encode()).describe()));
        // Through the bytes, as on a real network.
        let decoded = Message::decode(&message.encode()).expect("what is encoded can be decoded");
        assert_eq!(decoded, *message);
        for to in 0..self.servers.len() {
            if self.servers[to].number == self.servers[from].number || !self.may_talk(from, to) {
                continue;
            }
            let (key, number) = (self.servers[from].key, self.servers[to].number);
            let said = match &mut self.servers[from].liar {
                Some(liar) => liar.say(&decoded, number, &mut self.random),
                None => vec![decoded.clone()],
            };
            for message in said {
                self.deliver(Some(from), to, Input::Message { from: key, message });
            }
        }
    }

    /// A liar changes its mind, and floods the others. Its two machines know whom the other talks to.
    fn lie(&mut self, machine: usize) {
        let (deceived, is_tired) = (self.random.next_u64(), self.random.chance(70));
        let key = self.servers[machine].key;
        let liars =
            self.servers.iter_mut().filter(|server| server.key == key).filter_map(|server| server.liar.as_mut());
        liars.for_each(|liar| liar.change_mind(deceived, is_tired, self.now_us));
        let floods = self.random.chance(25);
        let noise = match &self.servers[machine].liar {
            Some(liar) if floods => liar.flood(&mut self.random),
            _ => Vec::new(),
        };
        for message in noise {
            let to = self.random.index(self.servers.len());
            if self.servers[to].key != key {
                self.deliver(Some(machine), to, Input::Message { from: key, message });
            }
        }
        self.schedule_us(LIE_US, machine, 0, Happening::Lie);
    }

    fn reported(&mut self, machine: usize, event: Event) {
        let key = self.servers[machine].key;
        self.note(|| format!("server {machine}: {}", describe(&event)));
        if self.servers[machine].is_honest() {
            self.watch.reports(key, &self.servers[machine].disk, &event);
        }
        match &event {
            Event::Joined { .. } => {
                self.joined.insert(machine);
            }
            Event::Observing { .. } => self.counts.observed += 1,
            Event::DoubleSigned(_) if self.servers[machine].liar.is_none() => self.counts.found_out += 1,
            Event::Diverged { .. } => self.diverges(machine),
            _ => {}
        }
        self.events.push((self.now_us, key, event));
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Decided { height, header, entries, .. } => {
            format!("decided height {height}: {header}, {} entries", entries.len())
        }
        Event::Certified { certificate, grade } => {
            let (epoch, count) = (certificate.checkpoint.epoch, certificate.signatures.len());
            format!("certified epoch {epoch} with {count} signatures: {grade}")
        }
        other => format!("{other:?}"),
    }
}
