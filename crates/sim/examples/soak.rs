//! Runs many seeds of random disasters and names those that fail:
//!
//!     cargo run -p seedbank-sim --example soak -- FIRST COUNT
//!
//! A seed gives the same history every time; one seed is run again with `-- SEED 1`.
#![expect(clippy::print_stdout, reason = "a tool for people")]
use std::panic::catch_unwind;

use seedbank_sim::{Plan, Random, World};
use seedbank_types::Rule;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (first, count) = (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(100));
    let failed: Vec<u64> = (first..first + count).filter(|seed| catch_unwind(|| disasters(*seed)).is_err()).collect();
    println!("{} of {count} seeds failed: {failed:?}", failed.len());
    if !failed.is_empty() {
        std::process::exit(1);
    }
}

/// A community under random crashes, loss, repeated messages, wrong clocks and restored backups; then
/// peace, in which it must go on.
fn disasters(seed: u64) {
    let mut random = Random::new(seed.wrapping_mul(0x5eed));
    let (servers, rule) = [(3, Rule::Majority), (4, Rule::TwoThirds), (5, Rule::Majority), (3, Rule::Majority)]
        [usize::try_from(random.below(4)).expect("below 4")];
    let plan = Plan {
        seed,
        servers,
        rule,
        loss_percent: random.below(11),
        duplicate_percent: random.below(20),
        payments_per_second: 10 + random.below(40),
        clocks_off_ms: (0..servers).map(|_| i64::try_from(random.below(2_001)).expect("small") - 1_000).collect(),
        ..Plan::default()
    };
    let mut world = World::new(plan);
    let mut backup = None;
    for _ in 0..8 {
        world.run_ms(300 + random.below(1_500));
        for _ in 0..=random.below(u64::from(servers)) {
            let index = usize::try_from(random.below(u64::from(servers))).expect("few servers");
            world.crash(index, 50 + random.below(1_200));
        }
        if backup.is_none() && random.chance(15) {
            backup = Some(world.disk(0));
        }
    }
    // One disk at most is lost: with more, a majority of servers may have forgotten what it said.
    if let Some(disk) = backup {
        world.run_ms(3_000);
        world.restore(0, disk, 100 + random.below(1_000));
    }
    world.run_ms(6_000);
    let (before, finals) = (world.certified_epoch(), world.finals());
    world.run_ms(10_000);
    assert!(world.halted().is_empty(), "seed {seed}: {:?}", world.halted());
    assert!(world.certified_epoch() > before + 3, "seed {seed}: epochs do not go on");
    assert!(world.finals() > finals, "seed {seed}: payments do not go on");
}
