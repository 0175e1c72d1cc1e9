//! Random communities with random faults: a first portion of what `seedbank-sim` runs, and every seed
//! that ever failed.
use seedbank_sim::{Choice, Kind, Outcome, run_seed};

fn run(seed: u64) -> Outcome {
    run_seed(seed, Choice::default(), |_world| {})
}

/// Seeds that once showed a fault, with what it was. A seed makes another history when the simulation
/// changes, so the fault itself is a case of its own in `disasters.rs`.
const ONCE_FAILED: [(u64, &str); 7] = [
    (37, "a good header was refused for good as a liar had said something false of it"),
    (92, "a server with an empty disk voted where its key had voted before"),
    (262, "an old copy of the disk voted in rounds of the same height where its key had voted before"),
    (333, "the same"),
    (792, "a liar who was heard alone claimed a height up to which a server then did not vote"),
    (357, "a server that voted again was silenced once more by a signature that it had observed for"),
    (1085, "a header refused for its time was refused again although a quorum had prevoted it before"),
];

#[test]
fn seeds_that_once_failed_hold() {
    for (seed, fault) in ONCE_FAILED {
        let outcome = run(seed);
        assert!(outcome.virtual_ms >= 30_000, "{fault}: {outcome:?}");
    }
}

#[test]
fn the_first_seeds_hold() {
    for seed in 0..12 {
        let outcome = run(seed);
        assert!(outcome.finals > 0 && outcome.epochs > 2, "{outcome:?}");
    }
}

#[test]
fn a_seed_makes_the_same_history_every_time() {
    assert_eq!(run(5), run(5));
}

#[test]
fn each_kind_of_community_keeps_its_promise() {
    let once_failed = Choice { kind: Kind::TwoThirdsLiars, ..Choice::default() };
    assert!(run_seed(48, once_failed, |_world| {}).finals > 0, "a new server took itself for an old one");
    for kind in [Kind::TwoThirdsLiars, Kind::MajorityLiar, Kind::MajorityHonest] {
        for seed in 0..4 {
            let outcome = run_seed(seed, Choice { kind, ..Choice::default() }, |_world| {});
            assert!(kind == Kind::MajorityLiar || !outcome.has_forked, "{kind}: {outcome:?}");
            assert_eq!(outcome.client_stopped, outcome.double_signers > 0, "{kind}: {outcome:?}");
        }
    }
}
