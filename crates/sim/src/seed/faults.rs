//! The faults that a seed injects, one after the other.
use std::collections::{BTreeMap, BTreeSet};

use seedbank_quorum::Guard;

use crate::disk::Content;
use crate::{Random, World};

/// How long those who matter must have been in contact before an old copy of a disk is put in.
const CONTACT_MS: u64 = 3_000;
/// A clock that is further off than this, and others the other way, keeps servers from voting.
const FAR_MS: i64 = 2_000;
/// How long it may take to hear them out when it starts.
const HEARING_MS: u64 = 9_000;

/// What goes wrong, and what went wrong so far.
pub(super) struct Faults {
    random: Random,
    /// Copies of disks, by server.
    backups: BTreeMap<usize, Content>,
    /// Servers whose disk was replaced or damaged, and which have not voted since.
    weak: BTreeSet<usize>,
    has_replaced_disks: bool,
    /// When cut links are open again.
    heals_at_ms: u64,
}

impl Faults {
    pub(super) fn new(seed: u64, world: &World) -> Self {
        let weak = world.plan().liars.keys().copied().collect();
        let random = Random::new(seed.wrapping_mul(0xfa17));
        Self { random, backups: BTreeMap::new(), weak, has_replaced_disks: false, heals_at_ms: 0 }
    }

    /// Whether some server may have said what its disk does not know.
    pub(super) const fn has_replaced_disks(&self) -> bool {
        self.has_replaced_disks
    }

    /// Some time passes, then something happens.
    pub(super) fn go_on(&mut self, world: &mut World) {
        world.run_ms(self.random.between(50, 900));
        if world.now_ms() >= self.heals_at_ms {
            world.heal();
        }
        self.recovered(world);
        match self.random.below(100) {
            0..20 => self.part(world),
            20..32 => self.cut_some(world),
            32..47 => self.crash_some(world),
            47..51 => self.crash_all(world),
            51..55 => self.fill_disk(world),
            55..60 => self.set_clock(world),
            60..70 => self.back_up(world),
            70..74 => self.restore(world),
            74..77 => self.lose_disk(world),
            77..80 => self.flip_in_log(world),
            80..82 => self.flip_in_account(world),
            82..90 => self.conspire(world),
            _ => {}
        }
    }

    /// Servers that got another disk are as good as before once they vote again. With liars they must sign again
    /// too: without the consent of all, no epoch would be certified if the rest is no quorum, and none closed.
    fn recovered(&mut self, world: &World) {
        let is_weak = |machine: &usize| {
            let server = &world.servers()[*machine];
            let votes = server.quorum.as_ref().is_some_and(seedbank_quorum::Quorum::may_vote);
            !server.is_honest() || !votes || is_silenced(world, *machine)
        };
        self.weak.retain(is_weak);
    }

    fn honest(&mut self, world: &World) -> usize {
        let honest: Vec<usize> =
            (0..world.servers().len()).filter(|machine| world.servers()[*machine].is_honest()).collect();
        self.random.pick(&honest)
    }

    fn heal_later(&mut self, world: &World) {
        self.heals_at_ms = world.now_ms() + self.random.between(100, 6_000);
    }

    fn part(&mut self, world: &mut World) {
        let bits = self.random.next_u64();
        let group = (0..world.servers().len()).filter(|machine| bits >> machine & 1 == 1).collect();
        world.part(&group);
        self.heal_later(world);
    }

    fn cut_some(&mut self, world: &mut World) {
        for _ in 0..self.random.between(1, 4) {
            let count = world.servers().len();
            world.cut_one_way(self.random.index(count), self.random.index(count));
        }
        self.heal_later(world);
    }

    fn crash_some(&mut self, world: &mut World) {
        for _ in 0..self.random.between(1, 3) {
            let machine = self.honest(world);
            world.crash(machine, self.random.between(5, 3_000));
        }
    }

    fn crash_all(&mut self, world: &mut World) {
        for machine in 0..world.servers().len() {
            world.crash(machine, self.random.between(5, 1_000));
        }
    }

    fn fill_disk(&mut self, world: &mut World) {
        let machine = self.honest(world);
        world.fill_disk(machine);
    }

    fn conspire(&mut self, world: &mut World) {
        let liars: Vec<usize> = world.plan().liars.keys().copied().collect();
        if !liars.is_empty() {
            world.heal();
            world.start_all();
            let ms = self.random.between(2_000, 7_000);
            world.conspire(self.random.pick(&liars), self.random.next_u64(), ms);
            world.run_ms(ms);
            world.heal();
        }
    }

    fn set_clock(&mut self, world: &mut World) {
        let machine = self.honest(world);
        let by_ms = self.random.pick(&[-70_000, -4_000, -1_500, 0, 0, 1_500, 4_000, 70_000]);
        // If a quorum agreed on a time in the future, nobody could go on before it has come.
        let is_far = |off_ms: i64| off_ms.abs() > FAR_MS;
        let others = (0..world.servers().len()).filter(|other| *other != machine);
        let far = others.filter(|other| is_far(world.servers()[*other].clock_off_ms) || self.weak.contains(other));
        let power: u64 = far.chain([machine]).map(|machine| world.plan().power(machine)).sum();
        if !is_far(by_ms) || power <= world.plan().spare() {
            world.set_clock(machine, by_ms);
        }
    }

    fn back_up(&mut self, world: &World) {
        let machine = self.honest(world);
        self.backups.insert(machine, world.disk(machine));
    }

    /// Whether one more server may be as good as down. More power than the rule can spare must not
    /// have forgotten what it said.
    fn may_weaken(&self, world: &World, machine: usize) -> bool {
        let mut weak = self.weak.clone();
        weak.extend((0..world.servers().len()).filter(|machine| is_silenced(world, *machine)));
        let power: u64 =
            if weak.insert(machine) { weak.iter().map(|machine| world.plan().power(*machine)).sum() } else { u64::MAX };
        power <= world.plan().spare()
    }

    /// An old copy is put in as operators are told to: while the others run and are in contact, so
    /// that they know all that the server has said.
    fn restore(&mut self, world: &mut World) {
        let candidates: Vec<usize> =
            self.backups.keys().copied().filter(|machine| self.may_weaken(world, *machine)).collect();
        if candidates.is_empty() {
            return;
        }
        let machine = self.random.pick(&candidates);
        let Some(backup) = self.backups.remove(&machine) else { return };
        let crashes = world.set_crash_rate(0);
        world.heal();
        world.start_all();
        world.run_ms(CONTACT_MS);
        self.weaken(machine);
        world.restore(machine, backup, self.random.between(50, 1_000));
        let until_ms = world.now_ms() + HEARING_MS;
        while !world.has_joined(machine) && world.now_ms() < until_ms {
            world.run_ms(200);
        }
        world.set_crash_rate(crashes);
    }

    fn weaken(&mut self, machine: usize) {
        self.weak.insert(machine);
        self.has_replaced_disks = true;
    }

    fn lose_disk(&mut self, world: &mut World) {
        let machine = self.honest(world);
        if self.may_weaken(world, machine) && world.certified_epoch_of(machine).0 > 3 {
            self.weaken(machine);
            let empty = world.empty_disk();
            world.restore(machine, empty, self.random.between(50, 1_000));
        }
    }

    fn flip_in_log(&mut self, world: &mut World) {
        let machine = self.honest(world);
        if self.may_weaken(world, machine)
            && world.certified_epoch_of(machine).0 > 3
            && world.flip_in_log(machine, &mut self.random)
        {
            self.weaken(machine);
        }
    }

    fn flip_in_account(&mut self, world: &mut World) {
        let machine = self.honest(world);
        if self.may_weaken(world, machine) && world.certified_epoch_of(machine).0 > 3 {
            self.weaken(machine);
            world.flip_in_account(machine, &mut self.random);
        }
    }
}

/// Whether a server does not vote yet, because its disk may have forgotten what it said; or does not sign yet
/// where somebody may refuse to let it.
fn is_silenced(world: &World, machine: usize) -> bool {
    let content = world.servers()[machine].disk.content();
    if world.plan().liars.is_empty() {
        return content.guard().vote_from > content.state().height.next();
    }
    let signed = content.intents().keys().next_back().copied().unwrap_or_default();
    let guard = content.guard();
    guard != Guard::default() && (signed < guard.sign_from || signed < world.certified_epoch_of(machine))
}
