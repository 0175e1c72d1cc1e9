//! Lost and old disks, wrong clocks, newcomers, silence: what a community must live through.
use seedbank_quorum::Event;
use seedbank_sim::{Content, Habit, Plan, World};
use seedbank_types::Epoch;

/// Epochs certified in the next `ms` of virtual time.
fn certified_in(world: &mut World, ms: u64) -> u64 {
    let before = world.certified_epoch();
    world.run_ms(ms);
    world.certified_epoch() - before
}

#[track_caller]
fn is_sound(world: &World) {
    assert!(world.halted().is_empty(), "{:?}", world.halted());
    let diverged = world.events().iter().find(|(.., event)| matches!(event, Event::Diverged { .. }));
    assert!(diverged.is_none(), "{diverged:?}");
}

fn observed(world: &World) -> bool {
    world.events().iter().any(|(.., event)| matches!(event, Event::Observing { .. }))
}

#[test]
fn a_restored_backup_observes_then_signs_again_and_never_contradicts_itself() {
    for seed in 100..108 {
        let mut world = World::new(Plan { seed, ..Plan::default() });
        world.run_ms(2_500);
        let index = usize::try_from(seed % 3).expect("below 3");
        let backup = world.disk(index);
        world.run_ms(500 + seed % 7 * 400);
        world.restore(index, backup, 100);
        world.run_ms(9_000);
        assert!(observed(&world), "seed {seed}: nothing was noticed");
        is_sound(&world);
        let behind = world.certified_epoch() - world.certified_epoch_of(index).0;
        assert!(behind <= 1, "seed {seed}: the restored server is {behind} epochs behind");
        let newest = world.disk(index).certificates().values().next_back().cloned().expect("certificates");
        let complete = world.disk(index).certificates().values().rev().take(2).any(|one| one.signatures.len() == 3);
        assert!(complete, "seed {seed}: the restored server does not sign again: {newest:?}");
    }
}

#[test]
fn a_lost_disk_observes_too() {
    let empty = World::new(Plan::default()).empty_disk();
    let mut world = World::new(Plan { seed: 7, ..Plan::default() });
    world.run_ms(3_300);
    world.restore(1, empty, 100);
    world.run_ms(8_000);
    assert!(observed(&world));
    is_sound(&world);
    assert!(world.certified_epoch_of(1).0 + 1 >= world.certified_epoch());
}

/// Seed 92 of the simulation: the others had restarted, and a vote of an earlier height is in nobody's
/// log. Each server in turn, because the first leader speaks at once.
#[test]
fn a_lost_disk_is_silent_even_if_nobody_remembers_its_votes() {
    for index in 0..3 {
        let mut world = World::new(Plan { seed: 7, payments_per_second: 0, ..Plan::default() });
        world.run_ms(2_700);
        let empty = world.empty_disk();
        restart_all_with(&mut world, index, empty);
        assert!(observed(&world));
    }
}

/// The same with an old copy: where others have decided, its key may have voted.
#[test]
fn an_old_copy_does_not_vote_where_others_have_decided() {
    for index in 0..3 {
        let mut world = World::new(Plan { seed: 8, payments_per_second: 0, ..Plan::default() });
        world.run_ms(2_700);
        let backup = world.disk(index);
        world.run_ms(1_000);
        restart_all_with(&mut world, index, backup);
    }
}

/// Seeds 262 and 333 of the simulation: clocks so far apart that one height takes many rounds, and a
/// copy of the disk from an early one.
#[test]
fn an_old_copy_of_the_height_that_is_being_decided_observes() {
    for index in 0..3 {
        let mut world = World::new(Plan { seed: 9, ..Plan::default() });
        world.run_ms(2_500);
        (0..3).for_each(|machine| world.set_clock(machine, 60_000 * i64::try_from(machine).expect("small")));
        world.run_ms(4_000);
        let (backup, height) = (world.disk(index), world.disk(index).state().height);
        world.run_ms(6_000);
        assert_eq!(world.disk(index).state().height, height, "the height was decided");
        world.restore(index, backup, 300);
        world.run_ms(6_000);
        assert!(observed(&world), "server {index}");
        (0..3).for_each(|machine| world.set_clock(machine, 0));
        assert!(certified_in(&mut world, 20_000) > 3, "server {index}");
        is_sound(&world);
    }
}

/// The one promise that is left to a majority with a liar: whoever hears both certificates knows.
#[test]
fn a_majority_with_a_liar_may_part_and_two_certificates_name_it() {
    let (mut parted, mut stopped) = (0, 0);
    for seed in 0..6 {
        let liars = [(0, vec![Habit::Twin])].into();
        let mut world = World::new(Plan { seed, liars, payments_per_second: 20, ..Plan::default() });
        world.run_ms(100);
        world.conspire(0, 0b010, 6_000);
        world.run_ms(6_000);
        world.heal();
        world.run_ms(3_000);
        parted += u32::from(world.watch().no_fork.forked_at().is_some());
        if world.watch().client.conflict().is_some() {
            stopped += 1;
            assert_eq!(world.watch().certificates.named(), &[world.key(0)].into());
        }
    }
    assert!(parted >= 3 && stopped >= 3, "parted {parted}, stopped {stopped} of 6");
}

/// The same liar among four servers of which three must agree.
#[test]
fn two_thirds_with_a_liar_never_part() {
    for seed in 0..6 {
        let liars = [(0, vec![Habit::Twin])].into();
        let rule = seedbank_types::Rule::TwoThirds;
        let mut world = World::new(Plan { seed, servers: 4, rule, liars, payments_per_second: 20, ..Plan::default() });
        world.run_ms(2_500);
        for deceived in [0b0010, 0b0110, 0b1000, 0b1010] {
            world.conspire(0, deceived, 2_000);
            world.run_ms(2_000);
            world.heal();
            world.run_ms(1_000);
        }
        assert_eq!(world.watch().no_fork.forked_at(), None);
        assert!(certified_in(&mut world, 10_000) > 3, "seed {seed}");
    }
}

/// A server is gone for some epochs, then comes back with another disk while the others restart.
fn restart_all_with(world: &mut World, index: usize, content: Content) {
    world.crash(index, 60_000);
    world.run_ms(3_000);
    world.restore(index, content, 300);
    (0..3).filter(|other| *other != index).for_each(|other| world.crash(other, 100));
    world.run_ms(8_000);
    is_sound(world);
}

#[test]
fn a_backup_restored_while_all_were_down_observes_or_stops() {
    for seed in 120..126 {
        let mut world = World::new(Plan { seed, ..Plan::default() });
        world.run_ms(2_300);
        let backup = world.disk(0);
        world.run_ms(700 + seed * 13 % 300);
        world.restore(0, backup, 300);
        world.crash(1, 200);
        world.crash(2, 250);
        // A header of the lost log may be locked by another server: that costs some rounds.
        assert!(certified_in(&mut world, 9_000) >= 3, "seed {seed}");
        // Whoever heard its last vote may come back after it has spoken: then it must stop.
        let excused = |why: &String| why.contains("not on this machine");
        assert!(world.halted().iter().all(excused), "seed {seed}: {:?}", world.halted());
    }
}

/// Seconds after another, each while the others knew all that it had said: nobody may sign the epoch
/// that is closed, and the one from which they sign again would never come.
#[test]
fn two_of_three_that_wait_to_sign_are_let_by_all_servers_together() {
    for seed in 130..134 {
        let mut world = World::new(Plan { seed, payments_per_second: 10, ..Plan::default() });
        world.run_ms(2_300);
        let backups = [world.disk(0), world.disk(1)];
        world.run_ms(700 + seed * 13 % 300);
        for (machine, backup) in backups.into_iter().enumerate() {
            world.restore(machine, backup, 100);
            while !world.servers()[machine].quorum.as_ref().is_some_and(seedbank_quorum::Quorum::may_vote) {
                world.run_ms(20);
            }
        }
        assert!(certified_in(&mut world, 9_000) >= 3, "seed {seed}");
        is_sound(&world);
    }
}

/// If more servers forgot their votes than may fail, nobody can know that it is safe to go on: people decide.
#[test]
fn a_community_that_lost_all_its_logs_goes_on_when_its_operators_say_so() {
    for seed in 140..145 {
        let mut world = World::new(Plan { seed, payments_per_second: 20, ..Plan::default() });
        world.run_ms(3_000 + seed * 37 % 500);
        for machine in 0..3 {
            let mut content = world.disk(machine);
            content.lose_log();
            world.restore(machine, content, 2_000);
        }
        world.run_ms(6_000);
        let finals = world.finals();
        assert_eq!(certified_in(&mut world, 10_000), 0, "seed {seed}: it went on by itself");
        assert_eq!(world.finals(), finals);
        world.speak_again(2_000);
        world.run_ms(4_000);
        assert!(certified_in(&mut world, 8_000) >= 4, "seed {seed}");
        assert!(world.finals() > finals + 50, "seed {seed}");
        is_sound(&world);
    }
}

#[test]
fn one_server_alone_is_a_quorum() {
    let mut world = World::new(Plan { seed: 1, servers: 1, ..Plan::default() });
    assert!(certified_in(&mut world, 5_000) >= 4);
    world.crash(0, 500);
    assert!(certified_in(&mut world, 3_000) >= 2);
    is_sound(&world);
}

#[test]
fn a_majority_goes_on_without_the_others() {
    for (servers, down) in [(3, 1), (5, 2), (7, 3)] {
        let mut world = World::new(Plan { seed: 2, servers, payments_per_second: 20, ..Plan::default() });
        world.run_ms(1_500);
        // The first leader among them.
        (0..down).for_each(|index| world.crash(index * 2, 8_000));
        let before = world.finals();
        assert!(certified_in(&mut world, 7_500) >= 4, "{down} of {servers} down");
        assert!(world.finals() > before + 50, "{down} of {servers} down");
        world.run_ms(4_000);
        assert!(world.certified_epoch_of(0).0 + 1 >= world.certified_epoch());
        is_sound(&world);
    }
}

#[test]
fn a_clock_wrong_by_three_seconds_is_tolerated() {
    for off_ms in [-3_000, 3_000] {
        let clocks_off_ms = vec![0, off_ms, 0];
        let mut world = World::new(Plan { seed: 3, clocks_off_ms, epoch_ms: 4_000, ..Plan::default() });
        assert!(certified_in(&mut world, 20_000) >= 3, "off by {off_ms}");
        let differ = world.events().iter().any(|(.., event)| matches!(event, Event::ClocksDiffer { .. }));
        assert!(!differ, "off by {off_ms}");
        is_sound(&world);
    }
}

#[test]
fn a_clock_wrong_by_a_minute_harms_only_its_server() {
    for off_ms in [-60_000, 60_000] {
        let clocks_off_ms = vec![0, 0, off_ms];
        let mut world = World::new(Plan { seed: 4, clocks_off_ms, ..Plan::default() });
        assert!(certified_in(&mut world, 10_000) >= 7, "off by {off_ms}");
        let differ = world.events().iter().any(|(.., event)| matches!(event, Event::ClocksDiffer { .. }));
        assert!(differ, "off by {off_ms}: nobody was told");
        is_sound(&world);
    }
}

#[test]
fn an_idle_community_decides_nothing_but_the_end_of_its_epochs() {
    let mut world = World::new(Plan { seed: 5, payments_per_second: 0, ..Plan::default() });
    assert!(certified_in(&mut world, 10_000) >= 8);
    let disk = world.disk(0);
    let closings = disk.certificates().keys().next_back().copied().unwrap_or_default();
    let height = disk.state().height.0;
    assert!(height <= closings.0 + 1, "{height} headers for {closings} epochs");
    is_sound(&world);
}

#[test]
fn a_server_that_joins_after_thirty_epochs_catches_up_and_signs() {
    let plan = Plan { seed: 6, late: 1, payments_per_second: 10, ..Plan::default() };
    let mut world = World::new(plan);
    world.run_ms(33_000);
    assert!(world.certified_epoch() >= 28);
    assert_eq!(world.certified_epoch_of(2), Epoch(0));
    world.start(2);
    world.run_ms(6_000);
    assert!(world.certified_epoch_of(2).0 + 1 >= world.certified_epoch());
    let complete = world.disk(2).certificates().values().rev().take(2).any(|one| one.signatures.len() == 3);
    assert!(complete, "the newcomer does not sign");
    is_sound(&world);
}

#[test]
fn messages_that_arrive_twice_change_nothing() {
    let plan = Plan { seed: 8, duplicate_percent: 60, loss_percent: 3, ..Plan::default() };
    let mut world = World::new(plan);
    world.run_ms(3_000);
    world.crash(1, 700);
    assert!(certified_in(&mut world, 5_000) >= 3);
    is_sound(&world);
}
