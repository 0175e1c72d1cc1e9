//! Three servers in virtual time: the good case, a crash, and two crashes of three.
use seedbank_sim::{Plan, World};
use seedbank_types::Rule;

#[test]
fn epochs_are_certified_and_payments_become_final() {
    let mut world = World::new(Plan { seed: 1, ..Plan::default() });
    world.run_ms(20_000);
    assert!(world.halted().is_empty(), "{:?}", world.halted());
    assert!(world.certified_epoch() >= 15, "only epoch {} is certified", world.certified_epoch());
    assert!(world.finals() >= 700, "only {} payments are final", world.finals());
}

#[test]
fn a_crashed_server_comes_back_and_signs_again() {
    let mut world = World::new(Plan { seed: 2, ..Plan::default() });
    world.run_ms(5_000);
    world.crash(0, 6_000);
    world.run_ms(5_000);
    let without = world.certified_epoch();
    assert!(without >= 7, "only epoch {without} is certified with one of three down");
    world.run_ms(10_000);
    assert!(world.halted().is_empty(), "{:?}", world.halted());
    let server = world.disk(0);
    let certificate = server.certificates().values().next_back().expect("certificates");
    assert!(certificate.checkpoint.epoch.0 + 2 >= world.certified_epoch(), "the server is behind");
    assert_eq!(certificate.signatures.len(), 3, "the server does not sign again");
}

#[test]
fn with_two_of_three_down_nothing_is_decided_and_nothing_forks() {
    let mut world = World::new(Plan { seed: 3, ..Plan::default() });
    world.run_ms(5_000);
    world.crash(0, 10_000);
    world.crash(1, 60_000);
    world.run_ms(1_000);
    let before = world.finals();
    world.run_ms(5_000);
    assert_eq!(world.finals(), before, "one of three decided alone");
    world.run_ms(15_000);
    assert!(world.finals() > before, "two of three do not go on");
    assert!(world.halted().is_empty(), "{:?}", world.halted());
}

#[test]
fn crashes_and_loss_never_break_an_invariant() {
    for seed in 10..22 {
        let mut world = World::new(Plan { seed, loss_percent: 5, ..Plan::default() });
        for step in 0..12 {
            world.run_ms(1_000 + seed * 37 % 500);
            world.crash(usize::try_from((seed + step) % 3).expect("below 3"), 200 + seed * 91 % 900);
        }
        let before = world.finals();
        world.run_ms(15_000);
        assert!(world.finals() > before, "seed {seed}: payments do not go on after the crashes");
        assert!(world.halted().is_empty(), "seed {seed}: {:?}", world.halted());
    }
}

#[test]
fn all_crash_at_once_and_go_on() {
    for seed in 40..52 {
        let mut world = World::new(Plan { seed, ..Plan::default() });
        for _ in 0..6 {
            world.run_ms(900 + seed * 13 % 300);
            (0..3).for_each(|index| world.crash(index, 300));
        }
        let before = world.certified_epoch();
        world.run_ms(6_000);
        assert!(world.certified_epoch() >= before + 3, "seed {seed}: epochs do not go on");
        assert!(world.halted().is_empty(), "seed {seed}: {:?}", world.halted());
    }
}

#[test]
fn two_thirds_of_four_go_on_with_one_down() {
    let mut world = World::new(Plan { seed: 5, servers: 4, rule: Rule::TwoThirds, ..Plan::default() });
    world.run_ms(4_000);
    world.crash(2, 5_000);
    let before = world.certified_epoch();
    world.run_ms(4_500);
    assert!(world.certified_epoch() >= before + 2);
    world.run_ms(5_000);
    assert!(world.halted().is_empty(), "{:?}", world.halted());
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let run = || {
        let mut world = World::new(Plan { seed: 9, loss_percent: 3, ..Plan::default() });
        world.run_ms(3_000);
        world.crash(1, 700);
        world.run_ms(4_000);
        let tips: Vec<_> = world.servers().iter().map(|server| server.disk.content().state().digest).collect();
        (tips, world.finals(), world.events().len())
    };
    assert_eq!(run(), run());
}
