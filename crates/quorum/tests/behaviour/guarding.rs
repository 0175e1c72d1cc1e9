//! An honest server cannot be framed by its own past.
use seedbank_quorum::{Effect, Event, Guard, Input, Quorum, QuorumError, Recovered, Settings};
use seedbank_types::{Checkpoint, Epoch, Hash, Header, Height, Rule, ServerSecret};

use crate::harness::{Bench, PRECOMMIT, PREVOTE, status, uncertified};

fn observing(bench: &Bench) -> Option<Guard> {
    bench.events().into_iter().rev().find_map(|event| match event {
        Event::Observing { guard } => Some(*guard),
        _ => None,
    })
}

/// Number 1 after three heights.
fn after_three() -> Bench {
    let mut bench = Bench::joined();
    (0..3).for_each(|sequence| bench.decide_payment(0, sequence));
    bench.effects.clear();
    bench
}

fn propose(bench: &mut Bench) -> Header {
    let (header, body) = bench.header(0, &bench.body(3, 4, 0));
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    header
}

#[test]
fn nothing_is_voted_before_a_quorum_was_heard() {
    let mut bench = Bench::new(3, Rule::Majority, 1);
    let (_, body) = bench.header(0, &bench.body(3, 4, 0));
    propose(&mut bench);
    bench.pass_ms(3_000);
    assert_eq!((bench.votes(), bench.bodies_asked()), (vec![], 0));
    bench.hear(0, &status(0, 0, &[]));
    assert!(bench.quorum.may_vote());
    assert_eq!(bench.bodies_asked(), 1, "the proposal that came meanwhile was kept");
    bench.input(Input::Body(body));
    assert!(bench.voted(PREVOTE, 0).is_some());
}

#[test]
fn five_servers_wait_for_two_others() {
    let mut bench = Bench::new(5, Rule::Majority, 1);
    bench.hear(0, &status(0, 0, &[]));
    bench.hear(0, &status(0, 0, &[]));
    assert!(!bench.quorum.may_vote(), "one server twice is one server");
    bench.hear(4, &status(0, 0, &[]));
    assert!(bench.quorum.may_vote());
}

#[test]
fn a_server_that_hears_its_own_key_stops() {
    let mut bench = Bench::joined();
    bench.hear(1, &status(0, 0, &[]));
    assert!(bench.halted().is_some_and(|why| why.contains("another machine")));
    bench.effects.clear();
    bench.pass_ms(3_000);
    assert!(bench.effects.iter().all(|effect| matches!(effect, Effect::Halt(_))), "it says nothing any more");
}

#[test]
fn a_server_shown_a_vote_of_its_key_that_it_did_not_cast_stops() {
    let mut bench = after_three();
    let own_vote = bench.vote(1, PRECOMMIT, 4, 0, None);
    bench.hear(0, &status(3, 0, &[own_vote]));
    assert!(bench.halted().is_some_and(|why| why.contains("not on this machine")));
}

#[test]
fn a_server_shown_its_own_votes_of_the_past_goes_on() {
    let mut bench = after_three();
    let own_vote = bench.vote(1, PRECOMMIT, 2, 0, None);
    bench.hear(0, &status(3, 0, &[own_vote]));
    assert_eq!(bench.halted(), None);
}

#[test]
fn a_server_stops_even_while_the_disk_is_busy() {
    let mut bench = Bench::joined();
    bench.stores = false;
    propose(&mut bench);
    bench.hear(1, &status(0, 0, &[]));
    assert!(bench.halted().is_some());
    assert_eq!(bench.votes(), []);
}

#[test]
fn after_an_ordinary_crash_a_server_votes_at_once() {
    let mut bench = after_three();
    bench.reboot();
    bench.hear_statuses(3);
    assert_eq!(observing(&bench), None);
    propose(&mut bench);
    assert!(bench.voted(PREVOTE, 0).is_some());
}

#[test]
fn a_server_without_its_log_observes_until_it_cannot_have_spoken() {
    let mut bench = after_three();
    bench.disk.log.clear();
    bench.disk.log_started = false;
    bench.reboot();
    bench.hear_statuses(3);
    // The others decided 3; unheard it may have decided 4 with them and voted at 5.
    let guard = observing(&bench).expect("it observes");
    assert_eq!(guard, Guard { vote_from: Height(6), sign_from: Epoch(4), ..Guard::default() });
    assert_eq!(bench.disk.guard, guard, "the limits are on disk");
    for height in 4..=5 {
        let header = propose_next(&mut bench, height - 4);
        assert!(bench.votes().is_empty(), "it voted at height {height}");
        decide_without(&mut bench, &header);
    }
    propose_next(&mut bench, 2);
    assert!(bench.voted(PREVOTE, 0).is_some());
}

/// Seed 48 of `--plan two-thirds-liars`: its silence was one too many.
#[test]
fn a_new_server_that_catches_up_before_it_joins_is_new() {
    let mut ahead = Bench::joined();
    ahead.decide_payment(0, 0);
    let mut bench = Bench::new(3, Rule::Majority, 2);
    bench.input(Input::Batches(ahead.disk.batches.clone()));
    bench.hear_statuses(1);
    assert_eq!((bench.quorum.chain().state.height, observing(&bench)), (Height(1), None));
    assert!(bench.disk.log_started, "from now on its disk would know");
    bench.reboot();
    bench.hear_statuses(1);
    assert_eq!(observing(&bench), None);
}

fn propose_next(bench: &mut Bench, sequence: u64) -> Header {
    let (header, body) = bench.header(0, &bench.body(3, 4, sequence));
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    header
}

fn decide_without(bench: &mut Bench, header: &Header) {
    for kind in [PREVOTE, PRECOMMIT] {
        for peer in bench.peers() {
            let vote = bench.vote(peer, kind, header.height.0, 0, Some(header.hash()));
            bench.hear(peer, &vote);
        }
    }
    assert_eq!(bench.disk.state.height, header.height);
}

#[test]
fn the_limits_survive_a_crash() {
    let mut bench = after_three();
    bench.disk.log_started = false;
    bench.reboot();
    bench.hear_statuses(3);
    bench.disk.log_started = true;
    bench.reboot();
    bench.hear_statuses(3);
    assert!(!bench.quorum.may_vote());
    propose_next(&mut bench, 0);
    assert_eq!(bench.votes(), []);
}

#[test]
fn an_observer_can_lead_later() {
    let mut bench = after_three();
    bench.disk.guard = Guard { vote_from: Height(5), sign_from: Epoch(1), ..Guard::default() };
    bench.reboot();
    bench.hear_statuses(3);
    let header = propose_next(&mut bench, 0);
    decide_without(&mut bench, &header);
    let payment = bench.checked(4, bench.payment(4, 1, 0, 5));
    bench.input(Input::Payments(vec![payment]));
    // Number 0 is dead: number 1 leads round 1.
    let vote = bench.vote(2, PREVOTE, 5, 1, None);
    bench.hear(2, &vote);
    assert_eq!(bench.sent(2).len(), 1);
}

#[test]
fn a_server_whose_log_is_older_than_its_last_vote_observes() {
    let mut bench = after_three();
    bench.reboot();
    let own_vote = bench.vote(1, PRECOMMIT, 6, 2, None);
    bench.hear(0, &status(5, 0, &[own_vote]));
    let guard = observing(&bench).expect("it observes");
    assert_eq!(guard.vote_from, Height(8));
}

#[test]
fn a_vote_of_the_own_key_counts_only_with_its_signature() {
    let mut bench = after_three();
    bench.reboot();
    let mut forged = bench.vote(1, PRECOMMIT, 6_000, 2, None);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    bench.hear(0, &status(3, 0, &[forged]));
    assert_eq!(observing(&bench), None);
    assert!(bench.quorum.may_vote());
}

#[test]
fn with_two_thirds_a_liar_cannot_silence_a_server_for_good() {
    let mut bench = Bench::new(4, Rule::TwoThirds, 1);
    bench.hear_statuses(0);
    (0..3).for_each(|sequence| bench.decide_payment(0, sequence));
    bench.disk.log_started = false;
    bench.reboot();
    bench.hear(0, &status(u64::MAX, u64::MAX, &[]));
    bench.hear(2, &status(3, 0, &[]));
    assert_eq!(observing(&bench), Some(Guard { vote_from: Height(6), sign_from: Epoch(4), ..Guard::default() }));
}

#[test]
fn servers_that_all_crashed_still_know_whose_votes_they_heard() {
    let mut bench = after_three();
    let vote = bench.vote(2, PREVOTE, 4, 0, None);
    bench.hear(2, &vote);
    bench.reboot();
    bench.pass_ms(1_100);
    let status = bench.sent(5).pop().expect("it says where it stands");
    assert!(status.windows(vote.len() - 2).any(|window| *window == vote[2..]), "with the vote of number 2");
}

#[test]
fn an_own_signature_in_a_decided_batch_that_the_disk_does_not_know_makes_it_observe() {
    let ahead = after_three();
    // The same key with a disk from before.
    let mut bench = Bench::joined();
    bench.input(Input::Batches(ahead.disk.batches.clone()));
    assert_eq!(bench.disk.state.height, Height(3));
    let guard = observing(&bench).expect("it observes");
    assert_eq!(guard.vote_from, Height(6));
    assert_eq!(bench.disk.guard, guard);
}

#[test]
fn an_own_signature_in_a_certificate_that_the_disk_does_not_know_makes_it_observe() {
    let mut ahead = Bench::joined();
    ahead.decide_payment(0, 0);
    ahead.close(0, None);
    let checkpoint = ahead.checkpoint(&ahead.cut(1));
    let mut bench = Bench::joined();
    bench.input(Input::Certificate(ahead.certificate(&[0, 2], &checkpoint)));
    assert_eq!(observing(&bench), None, "others signed it");
    bench.input(Input::Certificate(ahead.certificate(&[0, 1], &checkpoint)));
    let guard = observing(&bench).expect("it observes");
    assert_eq!(guard, Guard { vote_from: Height(5), sign_from: Epoch(5), signed_to: Epoch(1), ..Guard::default() });
}

/// Seed 357 of the simulation: it voted again already, and the body of the next closing header silenced it once more.
#[test]
fn an_own_signature_that_it_has_observed_for_is_no_news() {
    let mut ahead = Bench::joined();
    ahead.decide_payment(0, 0);
    ahead.close(0, None);
    let checkpoint = ahead.checkpoint(&ahead.cut(1));
    let certificate = ahead.certificate(&[0, 1], &checkpoint);
    let mut bench = Bench::joined();
    bench.disk.guard = Guard { vote_from: Height(2), sign_from: Epoch(5), signed_to: Epoch(1), ..Guard::default() };
    bench.reboot();
    bench.hear_statuses(0);
    bench.effects.clear();
    bench.input(Input::Certificate(certificate.clone()));
    bench.decide_payment(0, 0);
    bench.close(0, None);
    bench.close(0, Some(&certificate));
    assert_eq!(observing(&bench), None);
    let unknown = Guard { signed_to: Guard::UNKNOWN, ..bench.disk.guard };
    let mut bench = Bench::joined();
    bench.disk.guard = unknown;
    bench.reboot();
    bench.hear_statuses(0);
    bench.input(Input::Certificate(certificate));
    assert!(observing(&bench).is_some(), "what nobody knows is news");
}

#[test]
fn a_key_heard_before_height_one_is_decided_observes() {
    let mut bench = Bench::new(3, Rule::Majority, 1);
    let own_vote = bench.vote(1, PREVOTE, 1, 0, None);
    bench.hear(0, &status(0, 0, &[own_vote]));
    assert!(observing(&bench).is_some());
}

#[test]
fn a_server_that_may_not_sign_orders_no_intent() {
    let mut bench = Bench::joined();
    bench.decide_payment(0, 0);
    bench.disk.guard = Guard { vote_from: Height(0), sign_from: Epoch(2), ..Guard::default() };
    bench.reboot();
    bench.hear_statuses(1);
    bench.close(0, None);
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    assert!(bench.disk.intents.is_empty() && bench.sent(6).is_empty());
}

#[test]
fn a_damaged_log_is_an_error() {
    let bench = after_three();
    let recovered = Recovered { log: vec![vec![77, 1, 2]], ..Recovered::fresh(bench.disk.chain(&bench.genesis)) };
    let settings = Settings::new(&bench.genesis, bench.secrets[1].clone());
    assert!(matches!(Quorum::new(settings, recovered), Err(QuorumError::Log(_))));
}

#[test]
fn a_log_that_contradicts_itself_stops_the_server() {
    let mut bench = Bench::joined();
    let header = propose(&mut bench);
    assert_eq!(bench.voted(PREVOTE, 0), Some(Some(header.hash())));
    // A vote for nil of this server stands in the log instead of the one it derives.
    let nil = bench.vote(1, PREVOTE, 1, 0, None);
    let own = bench.disk.log.iter().position(|(_, entry)| entry[0] == 1).expect("its vote is in the log");
    bench.disk.log[own].1 = [&[1][..], &nil[2..]].concat();
    bench.reboot();
    bench.hear_statuses(0);
    assert!(bench.halted().is_some_and(|why| why.contains("must not go on")), "{:?}", bench.halted());
    assert_eq!(bench.votes(), []);
}

#[test]
fn who_is_no_server_follows_and_says_nothing_that_counts() {
    let ahead = after_three();
    let mut bench = Bench::joined();
    let outsider = ServerSecret::from_bytes(&[99; 32]);
    let recovered = Recovered::fresh(bench.disk.chain(&bench.genesis));
    bench.quorum = Quorum::new(Settings::new(&bench.genesis, outsider), recovered).expect("a whole log");
    bench.hear_statuses(3);
    bench.hear(1, &status(3, 0, &[]));
    bench.input(Input::Batches(ahead.disk.batches.clone()));
    assert_eq!(bench.disk.state, ahead.disk.state);
    assert!(!bench.quorum.may_vote());
    propose_next(&mut bench, 0);
    bench.pass_ms(2_000);
    assert_eq!(bench.votes(), []);
}

#[test]
fn a_database_made_anew_for_a_key_that_may_have_spoken_observes_first() {
    let mut bench = Bench::new(3, Rule::Majority, 1);
    let nothing_known = Guard { vote_from: Height(1), sign_from: Epoch(1), ..Guard::default() };
    bench.disk.guard = nothing_known;
    bench.reboot();
    bench.hear_statuses(0);
    assert!(!bench.quorum.may_vote());
    let guard = bench.disk.guard;
    assert!(guard.vote_from > nothing_known.vote_from && guard.sign_from > nothing_known.sign_from, "{guard:?}");
}

/// Number 1 has closed epoch 1 and waits for epoch 4 to sign; the checkpoint that it would sign.
fn waiting() -> (Bench, Checkpoint) {
    let mut bench = Bench::joined();
    bench.disk.guard = Guard { sign_from: Epoch(4), ..Guard::default() };
    bench.disk.log_started = true;
    bench.reboot();
    bench.hear_statuses(0);
    bench.close(0, None);
    let cut = bench.cut(7);
    let checkpoint = bench.checkpoint(&cut);
    bench.input(Input::Cut(cut));
    bench.effects.clear();
    (bench, checkpoint)
}

/// What number 0 and number 2 say of epoch 1; whether number 1 signs then.
fn signs(bench: &mut Bench, said: [&[u8]; 2]) -> bool {
    bench.hear(0, said[0]);
    bench.hear(2, said[1]);
    bench.sent(6).len() == 1
}

#[test]
fn a_server_that_waits_says_so() {
    let (mut bench, checkpoint) = waiting();
    bench.hear(0, &bench.signed_checkpoint(0, &checkpoint));
    bench.pass_ms(1_000);
    let expected = uncertified(1, checkpoint.closing_header, 4, &[(bench.key(0), checkpoint.hash())]);
    assert_eq!(bench.sent(8), [expected]);
    assert!(bench.sent(6).is_empty());
}

#[test]
fn if_too_many_wait_all_servers_together_can_allow_to_sign_earlier() {
    let (mut bench, checkpoint) = waiting();
    let (waits, signs_at_once) =
        (uncertified(1, checkpoint.closing_header, 3, &[]), uncertified(1, checkpoint.closing_header, 0, &[]));
    assert!(signs(&mut bench, [&waits, &signs_at_once]));
    assert_eq!(bench.disk.intents, [checkpoint], "the intent is on disk");
}

#[test]
fn it_does_not_sign_earlier_while_the_others_are_enough() {
    let (mut bench, checkpoint) = waiting();
    let said = uncertified(1, checkpoint.closing_header, 0, &[]);
    assert!(!signs(&mut bench, [&said, &said]));
    // Number 2 waits as well, and says so later.
    bench.hear(2, &uncertified(1, checkpoint.closing_header, 4, &[]));
    assert_eq!(bench.sent(6).len(), 1);
}

#[test]
fn every_server_must_allow_it() {
    let (mut bench, checkpoint) = waiting();
    let said = uncertified(1, checkpoint.closing_header, 4, &[]);
    bench.hear(0, &said);
    bench.hear(0, &said);
    bench.pass_ms(5_000);
    assert!(bench.sent(6).is_empty(), "one server was not heard");
    for not_this in [
        uncertified(1, Hash([9; 32]), 4, &[]),
        uncertified(2, checkpoint.closing_header, 4, &[]),
        uncertified(1, checkpoint.closing_header, 4, &[(bench.key(1), Hash([9; 32]))]),
    ] {
        bench.hear(2, &not_this);
        assert!(bench.sent(6).is_empty(), "one server knows something else");
    }
    // Another server's signature is no obstacle, and neither is its own over the same.
    let signed = [(bench.key(0), Hash([9; 32])), (bench.key(1), checkpoint.hash())];
    bench.hear(2, &uncertified(1, checkpoint.closing_header, 4, &signed));
    assert_eq!(bench.sent(6).len(), 1);
}

#[test]
fn an_epoch_that_the_key_may_have_signed_with_a_damaged_database_is_never_signed_earlier() {
    for signed_to in [Epoch(1), Guard::UNKNOWN] {
        let (mut bench, checkpoint) = waiting();
        bench.disk.guard.signed_to = signed_to;
        bench.reboot();
        bench.hear_statuses(1);
        let cut = bench.cut(7);
        bench.input(Input::Cut(cut));
        let said = uncertified(1, checkpoint.closing_header, 4, &[]);
        assert!(!signs(&mut bench, [&said, &said]));
    }
}

#[test]
fn lifted_limits_keep_what_the_key_is_known_to_have_signed() {
    let guard = Guard { vote_from: Height(9), sign_from: Epoch(7), signed_to: Epoch(4), hears_all: false };
    let kept = Guard { vote_from: Height(0), sign_from: Epoch(5), signed_to: Epoch(4), hears_all: true };
    assert_eq!(guard.lifted(), kept);
    let unknown = Guard { signed_to: Guard::UNKNOWN, ..guard };
    assert_eq!(unknown.lifted().sign_from, Epoch(1));
}

#[test]
fn after_its_limits_were_lifted_a_server_first_hears_all_others() {
    let mut bench = after_three();
    bench.disk.log.clear();
    bench.disk.guard = Guard { vote_from: Height(9), sign_from: Epoch(7), ..Guard::default() }.lifted();
    bench.reboot();
    bench.hear(0, &status(3, 0, &[]));
    bench.pass_ms(3_000);
    assert!(!bench.quorum.may_vote(), "a quorum is not enough");
    bench.hear(2, &status(4, 0, &[]));
    assert!(!bench.quorum.may_vote(), "one has decided a height that this server forgot");
    assert_eq!((observing(&bench), bench.disk.guard.hears_all), (None, false), "it need not hear all again");
}
