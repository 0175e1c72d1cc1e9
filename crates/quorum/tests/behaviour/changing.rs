//! A server that an order is still to add, and one that was removed.
use seedbank_quorum::{Effect, Event, Guard};
use seedbank_types::{Height, Rule, ServerSecret};

use crate::harness::{Bench, status};

/// Three servers found the community; the one under test has a fourth key.
fn stranger() -> Bench {
    let mut bench = Bench::new(3, Rule::Majority, 0);
    bench.secrets.push(ServerSecret::from_bytes(&[77; 32]));
    bench.own = 3;
    bench.reboot();
    bench
}

fn joined(bench: &Bench) -> bool {
    bench.effects.iter().any(|effect| matches!(effect, Effect::Event(Event::Joined { .. })))
}

#[test]
fn who_is_no_server_follows_and_says_nothing() {
    let mut bench = stranger();
    bench.hear_statuses(0);
    assert!(joined(&bench));
    bench.pass_ms(5_000);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Send(_))), "nobody would hear it");
    assert!(!bench.quorum.may_vote());
}

#[test]
fn a_key_that_was_in_no_set_need_not_observe_when_an_order_adds_it() {
    let mut bench = stranger();
    bench.hear_statuses(0);
    assert_eq!(bench.disk.guard, Guard::default());
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Event(Event::Observing { .. }))));
}

#[test]
fn who_is_no_server_yet_catches_up_before_it_takes_itself_for_new() {
    let mut bench = stranger();
    for peer in bench.peers() {
        bench.hear(peer, &status(40, 3, &[]));
    }
    assert!(!joined(&bench), "in force at height 40 it may have spoken");
    bench.pass_ms(1_000);
    let fetches = |effect: &Effect| matches!(effect, Effect::FetchBatches { first: Height(1), .. });
    assert!(bench.effects.iter().any(fetches));
}
