//! What happens to machines from outside, and what their operators do about it.
use seedbank_types::ServerKey;

use super::{Happening, World};
use crate::disk::Content;
use crate::{Disk, Liar, Random};

/// After so long an operator has made room on a full disk, or replaced a damaged one.
const REPAIR_MS: u64 = 700;
/// After so long a process that stopped itself is started again.
const RESTART_MS: u64 = 1_000;

impl World {
    /// A server loses what is not on its disk; it starts again after `down_ms`.
    pub fn crash(&mut self, machine: usize, down_ms: u64) {
        self.note(|| format!("server {machine} crashes, for {down_ms} ms"));
        self.counts.crashes += 1;
        self.stop(machine);
        let life = self.servers[machine].life;
        self.schedule_us(down_ms * 1_000, machine, life, Happening::Boot);
    }

    fn stop(&mut self, machine: usize) {
        self.servers[machine].crash();
        self.joined.remove(&machine);
        let survived = self.servers[machine].disk.crash(&mut self.random);
        self.write(machine, survived);
    }

    /// A server that does not run begins to.
    pub fn start(&mut self, machine: usize) {
        self.boot(machine);
    }

    /// All servers that are down start now.
    pub fn start_all(&mut self) {
        for machine in 0..self.servers.len() {
            self.servers[machine].disk.is_full = false;
            if self.servers[machine].quorum.is_none() {
                self.boot(machine);
            }
        }
    }

    /// A server crashes and starts after `down_ms` with another disk, for instance an old copy.
    pub fn restore(&mut self, machine: usize, content: Content, down_ms: u64) {
        self.crash(machine, down_ms);
        self.counts.disks_replaced += 1;
        self.note(|| format!("server {machine} gets a disk that ends at height {}", content.state().height));
        self.servers[machine].disk = Disk::new(content, self.plan.mutation);
        self.servers[machine].is_damaged = false;
    }

    /// All operators stop their servers, take it upon them that no disk knows more than theirs, and start them.
    pub fn speak_again(&mut self, down_ms: u64) {
        self.note(|| "all operators let their servers speak again".to_owned());
        for machine in 0..self.servers.len() {
            self.crash(machine, down_ms);
            self.watch.signatures.forget_votes(self.servers[machine].key);
            self.servers[machine].disk.kept_mut().speak_again();
        }
    }

    /// Every write of a server fails until its operator has made room.
    pub fn fill_disk(&mut self, machine: usize) {
        self.note(|| format!("the disk of server {machine} is full"));
        self.counts.disks_full += 1;
        self.servers[machine].disk.is_full = true;
    }

    pub(super) fn stop_with_full_disk(&mut self, machine: usize) {
        self.crash(machine, REPAIR_MS);
        self.servers[machine].disk.is_full = false;
    }

    /// A bit of the log flips, which its checksum shows when the server starts; the operator then
    /// restores the server without its log. False if there is no log.
    pub fn flip_in_log(&mut self, machine: usize, random: &mut Random) -> bool {
        if self.servers[machine].disk.content().log().is_empty() {
            return false;
        }
        self.crash(machine, REPAIR_MS);
        let content = self.servers[machine].disk.kept_mut();
        if content.flip_in_log(random) {
            content.lose_log();
        }
        self.counts.bits_flipped += 1;
        self.note(|| format!("a bit flipped in the log of server {machine}"));
        true
    }

    /// A bit of an account flips unnoticed; the server may say what is wrong from now on, until its
    /// operator replaces the disk.
    pub fn flip_in_account(&mut self, machine: usize, random: &mut Random) {
        self.note(|| format!("a bit flips in an account of server {machine}"));
        self.counts.bits_flipped += 1;
        self.servers[machine].is_damaged = true;
        self.servers[machine].disk.kept_mut().flip_in_account(random);
    }

    /// Sets a server's wall clock wrong by so much.
    pub fn set_clock(&mut self, machine: usize, off_ms: i64) {
        self.note(|| format!("the clock of server {machine} is off by {off_ms} ms"));
        self.servers[machine].clock_off_ms = off_ms;
    }

    /// Sets of how many inputs in a million a server crashes; gives how it was.
    pub const fn set_crash_rate(&mut self, per_million: u64) -> u64 {
        std::mem::replace(&mut self.plan.crashes_per_million, per_million)
    }

    /// Nothing gets from one machine to another any more.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.note(|| format!("nothing gets from server {from} to server {to}"));
        self.counts.cuts += 1;
        self.network.cut_one_way(from, to);
    }

    /// A group of machines is parted from the rest.
    pub fn part(&mut self, group: &std::collections::BTreeSet<usize>) {
        self.note(|| format!("servers {group:?} are cut off"));
        self.counts.cuts += 1;
        self.network.part(group, self.servers.len());
    }

    /// A liar cuts the other servers into two groups and tells each its own story for a while.
    pub fn conspire(&mut self, number: usize, deceived: u64, ms: u64) {
        self.note(|| format!("liar {number} parts the others, for {ms} ms"));
        self.counts.conspiracies += 1;
        let (until_us, key) = (self.now_us + ms * 1_000, self.servers[number].key);
        for server in self.servers.iter_mut().filter(|server| server.key == key) {
            if let Some(liar) = &mut server.liar {
                liar.resolve(deceived, until_us);
            }
        }
        self.align_twins(number);
        let honest = |machine: &usize| self.servers[*machine].liar.is_none();
        let honest: Vec<usize> = (0..self.servers.len()).filter(honest).collect();
        for one in &honest {
            for other in honest.iter().filter(|other| deceived >> *one & 1 != deceived >> **other & 1) {
                self.network.cut_one_way(*one, *other);
            }
        }
    }

    /// Each machine of a liar goes on from what those have whom it talks to, and remembers nothing that
    /// would hold it back.
    fn align_twins(&mut self, number: usize) {
        let machines = (0..self.servers.len()).filter(|machine| self.servers[*machine].number == number);
        let machines: Vec<usize> = machines.collect();
        if machines.len() < 2 {
            return;
        }
        for machine in machines {
            let talks = |other: &usize| self.servers[*other].is_honest() && self.may_talk(machine, *other);
            let height = |other: &usize| self.servers[*other].disk.content().state().height;
            let Some(friend) = (0..self.servers.len()).filter(talks).max_by_key(height) else { continue };
            let mut content = self.disk(friend);
            content.forget_own_words();
            self.servers[machine].crash();
            self.servers[machine].disk = Disk::new(content, self.plan.mutation);
            self.boot(machine);
        }
    }

    /// The network heals.
    pub fn heal(&mut self) {
        self.note(|| "all links are open".to_owned());
        self.network.heal();
    }

    /// All faults end: links, clocks and disks are good, and everybody is up. Damaged disks are
    /// replaced; liars lie on where the rule stands it, and fall silent where not.
    pub fn make_peace(&mut self) {
        self.note(|| "all faults end".to_owned());
        self.network.become_good();
        self.plan.crashes_per_million = 0;
        let liars_stay = !self.plan.may_fork();
        for machine in 0..self.servers.len() {
            self.servers[machine].clock_off_ms = 0;
            if let Some(liar) = self.servers[machine].liar.as_mut().filter(|_| !liars_stay) {
                Liar::fall_silent(liar);
            }
            if self.servers[machine].is_damaged {
                let empty = self.empty_disk();
                self.restore(machine, empty, REPAIR_MS);
            }
        }
        self.start_all();
    }

    pub(super) fn boot(&mut self, machine: usize) {
        let (genesis, mutation) = (self.genesis.clone(), self.plan.mutation);
        let booted = self.servers[machine].boot(&genesis, mutation);
        assert!(booted.is_ok(), "server {machine} does not start: {booted:?}");
        let life = self.servers[machine].life;
        self.note(|| format!("server {machine} starts"));
        self.schedule_us(0, machine, life, Happening::Tick);
    }

    /// A process stopped itself. It is started again: one that heard its own key speak observes then.
    pub(super) fn halt(&mut self, machine: usize, why: String) {
        self.note(|| format!("server {machine} stops: {why}"));
        self.counts.halted += 1;
        if self.servers[machine].is_honest() {
            self.halted.insert(why);
        }
        self.stop(machine);
        let life = self.servers[machine].life;
        self.schedule_us(RESTART_MS * 1_000, machine, life, Happening::Boot);
    }

    /// A server found that the others agreed on something else: its operator replaces the disk. A
    /// liar takes a disk that fits those whom it talks to.
    pub(super) fn diverges(&mut self, machine: usize) {
        let server = &self.servers[machine];
        if server.is_honest() {
            self.diverged.insert(machine);
        } else if server.is_damaged {
            let empty = self.empty_disk();
            self.restore(machine, empty, REPAIR_MS);
        }
    }

    /// The key of a machine.
    #[must_use]
    pub fn key(&self, machine: usize) -> ServerKey {
        self.servers[machine].key
    }
}
