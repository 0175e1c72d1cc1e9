//! One seed: a random community with random faults, then peace, in which it must recover.
mod faults;
mod kind;
mod plans;

use seedbank_quorum::Event;

use crate::{Counts, Mutation, World};
use faults::Faults;
pub use kind::Kind;

/// How long faults go on.
const FAULTS_MS: u64 = 20_000;
/// How long there is peace at least.
const PEACE_MS: u64 = 10_000;
/// After so long in peace everything must be well again.
const PATIENCE_MS: u64 = 45_000;
const STEP_MS: u64 = 2_500;

/// What became of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Virtual time that passed.
    pub virtual_ms: u64,
    /// Until all was well again after the faults ended.
    pub recovered_after_ms: u64,
    /// Payments that became final.
    pub finals: u64,
    /// Epochs that were certified.
    pub epochs: u64,
    /// How often things happened.
    pub counts: Counts,
    /// Whether the liars had the power to make honest servers part, and did.
    pub has_forked: bool,
    /// Whether a client heard two certificates of one epoch, and stopped.
    pub client_stopped: bool,
    /// Liars that two certificates of one epoch named.
    pub double_signers: u64,
}

/// What a seed is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    /// Which communities.
    pub kind: Kind,
    /// What all servers do wrong.
    pub mutation: Option<Mutation>,
    /// Whether to write down what happens.
    pub is_traced: bool,
}

/// Runs a seed; panics if an invariant breaks or the community does not recover. `see` is shown the
/// world at the end, however that is.
pub fn run_seed(seed: u64, choice: Choice, mut see: impl FnMut(&World)) -> Outcome {
    let mut plan = plans::of_seed(seed, choice.kind);
    (plan.mutation, plan.is_traced) = (choice.mutation, choice.is_traced);
    let mut story = Story { world: World::new(plan), see: &mut see };
    story.run(seed)
}

/// A world that is shown when it is done with, be it by a panic.
struct Story<'a> {
    world: World,
    see: &'a mut dyn FnMut(&World),
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        self.world.note_standing();
        (self.see)(&self.world);
    }
}

impl Story<'_> {
    fn run(&mut self, seed: u64) -> Outcome {
        let world = &mut self.world;
        let mut faults = Faults::new(seed, world);
        while world.now_ms() < FAULTS_MS {
            faults.go_on(world);
            excused(world, &faults);
        }
        world.make_peace();
        let recovered_after_ms = recover(world, &faults);
        let epochs = world.certified_epoch();
        let has_forked = world.watch().no_fork.forked_at().is_some();
        let watch = world.watch();
        Outcome {
            seed,
            virtual_ms: world.now_ms(),
            recovered_after_ms,
            finals: world.finals() as u64,
            epochs,
            counts: world.counts(),
            has_forked,
            client_stopped: watch.client.conflict().is_some(),
            double_signers: watch.certificates.named().len() as u64,
        }
    }
}

/// Runs on in peace until epochs and payments go on everywhere; how long that took.
fn recover(world: &mut World, faults: &Faults) -> u64 {
    let (start_ms, epoch) = (world.now_ms(), world.certified_epoch());
    let mut finals = world.finals();
    let mut recovered = None;
    while world.now_ms() < start_ms + PATIENCE_MS {
        world.run_ms(STEP_MS);
        excused(world, faults);
        if world.watch().no_fork.forked_at().is_some() {
            return 0;
        }
        let missing = what_is_missing(world, epoch, finals);
        recovered = recovered.or_else(|| missing.is_none().then(|| world.now_ms() - start_ms));
        if recovered.is_some() && world.now_ms() >= start_ms + PEACE_MS {
            let finals = &world.watch().finals;
            finals.check_kept(world.honest().map(|server| server.disk.kept()));
            world.honest().for_each(|server| finals.check_held(server.key, server.disk.content()));
            return recovered.unwrap_or_default();
        }
        if recovered.is_none() && world.now_ms() == start_ms + STEP_MS {
            finals = world.finals();
        }
    }
    let missing = what_is_missing(world, epoch, finals).unwrap_or_else(|| "it went on too late".to_owned());
    panic!("no recovery in {PATIENCE_MS} ms of peace: {missing}");
}

fn what_is_missing(world: &World, epoch: u64, finals: usize) -> Option<String> {
    if world.finals() <= finals {
        return Some("no payment becomes final".to_owned());
    }
    let highest = world.honest().map(|server| server.disk.content().state().height.0).max().unwrap_or_default();
    for server in world.honest() {
        let key = server.key.short();
        let Some(quorum) = &server.quorum else { return Some(format!("server {key} is down")) };
        let certified = server.disk.content().certificates().keys().next_back().map_or(0, |epoch| epoch.0);
        if certified < epoch + 2 {
            return Some(format!("server {key} knows epoch {certified}, there was {epoch}"));
        }
        let height = server.disk.content().state().height.0;
        if height + 8 < highest {
            return Some(format!("server {key} is at height {height} of {highest}"));
        }
        if !quorum.may_vote() {
            return Some(format!("server {key} does not vote"));
        }
    }
    None
}

/// Honest servers stop themselves or part from the others only if there is a reason.
fn excused(world: &World, faults: &Faults) {
    let has_forked = world.watch().no_fork.forked_at().is_some();
    if has_forked {
        return;
    }
    let may_have_forgotten = faults.has_replaced_disks();
    let is_excused = |why: &String| may_have_forgotten && why.contains("not on this machine");
    let unexcused = world.halted().iter().find(|why| !is_excused(why));
    assert!(unexcused.is_none(), "an honest server stopped itself: {unexcused:?}");
    let diverged = world.diverged();
    if let Some(machine) = diverged.iter().next() {
        let key = world.key(*machine);
        let said = world.events().iter().find(|(_, by, event)| *by == key && matches!(event, Event::Diverged { .. }));
        panic!("honest server {machine} parted from the others: {said:?}");
    }
}
