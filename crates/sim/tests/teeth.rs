//! The simulation finds programs that do something wrong. Those that need another quorum are tried with
//! `cargo test -p seedbank-sim --features mutations --test teeth`.
use std::panic::{AssertUnwindSafe, catch_unwind};

use seedbank_sim::{Choice, Mutation, memoise_signatures, run_seed};

const SEEDS: u64 = 200;

/// Demands that one of the first seeds fails, for a reason that has to do with the fault.
fn is_found_out(mutation: Mutation, reasons: &[&str]) {
    if !mutation.is_possible() {
        return;
    }
    memoise_signatures(true);
    let choice = Choice { mutation: Some(mutation), ..Choice::default() };
    let failure = (0..SEEDS).find_map(|seed| {
        let run = AssertUnwindSafe(|| run_seed(seed, choice, |_world| {}));
        let panic = catch_unwind(run).err()?;
        let text = panic.downcast_ref::<String>().cloned();
        Some((seed, text.unwrap_or_else(|| "a panic without words".to_owned())))
    });
    let (seed, why) = failure.unwrap_or_else(|| panic!("{SEEDS} seeds did not find {mutation}"));
    assert!(reasons.iter().any(|reason| why.contains(reason)), "{mutation} failed seed {seed} otherwise: {why}");
}

#[test]
fn a_disk_that_throws_the_log_away_is_found_out() {
    is_found_out(Mutation::SkipLog, &["before it was on its disk"]);
}

#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    is_found_out(Mutation::SkipFsync, &["before it was on its disk", "without an intent"]);
}

#[test]
fn servers_that_believe_any_digest_are_found_out() {
    is_found_out(Mutation::AnyDigest, &["wrong digest", "payments root", "servers changed", "are others"]);
}

#[test]
fn a_quorum_that_is_one_too_small_is_found_out() {
    is_found_out(Mutation::OffByOne, &["fork"]);
}

#[test]
fn servers_that_speak_with_an_old_disk_are_found_out() {
    is_found_out(Mutation::SignAfterRestore, &["contradicts itself", "fork", "framed", "not on this machine"]);
}
