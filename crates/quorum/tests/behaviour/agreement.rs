//! Proposals, votes, locks, timeouts, crashes.
use seedbank_quorum::{Effect, Event, Input};
use seedbank_types::{Header, TimeMs};

use crate::harness::{Bench, PRECOMMIT, PREVOTE, status};

/// A header of number 0 with one payment, proposed in round 0 and heard with its body.
fn hear_header(bench: &mut Bench) -> Header {
    let (header, body) = bench.header(0, &bench.body(1, 2, 0));
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    header
}

fn hear_votes(bench: &mut Bench, kind: u8, round: u32, header: &Header) {
    for peer in bench.peers() {
        let vote = bench.vote(peer, kind, header.height.0, round, Some(header.hash()));
        bench.hear(peer, &vote);
    }
}

fn reboot(bench: &mut Bench) {
    bench.reboot();
    bench.hear_statuses(0);
}

#[test]
fn a_sound_header_is_prevoted_then_precommitted_then_applied() {
    let mut bench = Bench::joined();
    let header = hear_header(&mut bench);
    assert_eq!(bench.voted(PREVOTE, 0), Some(Some(header.hash())));
    hear_votes(&mut bench, PREVOTE, 0, &header);
    assert_eq!(bench.voted(PRECOMMIT, 0), Some(Some(header.hash())));
    hear_votes(&mut bench, PRECOMMIT, 0, &header);
    assert_eq!(bench.disk.batches.len(), 1);
    assert!(bench.events().iter().any(|event| matches!(event, Event::Decided { entries, .. } if entries.len() == 1)));
}

#[test]
fn nothing_is_said_before_it_is_on_disk() {
    let mut bench = Bench::joined();
    bench.stores = false;
    hear_header(&mut bench);
    assert_eq!(bench.votes(), []);
    bench.pass_ms(3_000);
    assert_eq!(bench.votes(), [], "time does not make up for the disk");
    bench.store_all();
    assert!(!bench.votes().is_empty());
}

#[test]
fn a_batch_counts_as_applied_only_when_it_is_on_disk() {
    let mut bench = Bench::joined();
    let header = hear_header(&mut bench);
    hear_votes(&mut bench, PREVOTE, 0, &header);
    bench.stores = false;
    hear_votes(&mut bench, PRECOMMIT, 0, &header);
    assert_eq!(bench.quorum.chain().state.height.0, 0);
    assert!(bench.events().is_empty());
    bench.store_all();
    assert_eq!(bench.quorum.chain().state.height.0, 1);
}

#[test]
fn a_vote_survives_a_crash_and_is_not_contradicted() {
    let mut bench = Bench::joined();
    let header = hear_header(&mut bench);
    let before = bench.sent(1);
    let (other, body) = bench.header(0, &bench.body(3, 4, 0));
    for _ in 0..3 {
        reboot(&mut bench);
        // The leader lies: another header for the same round.
        let proposal = bench.proposal(0, 0, None, &other);
        bench.hear(0, &proposal);
        bench.input(Input::Body(body.clone()));
        bench.pass_ms(300);
        assert_eq!(bench.voted(PREVOTE, 0), Some(Some(header.hash())));
        assert!(bench.votes().iter().all(|vote| vote.0 != PREVOTE || vote.3 == Some(header.hash())));
        assert!(bench.sent(1).starts_with(&before), "the very same bytes");
    }
}

#[test]
fn a_vote_that_did_not_reach_the_disk_was_not_cast() {
    let mut bench = Bench::joined();
    bench.stores = false;
    hear_header(&mut bench);
    bench.stores = true;
    reboot(&mut bench);
    let (other, body) = bench.header(0, &bench.body(3, 4, 0));
    let proposal = bench.proposal(0, 0, None, &other);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 0), Some(Some(other.hash())));
}

#[test]
fn a_crash_in_the_middle_of_a_replay_loses_nothing() {
    let mut bench = Bench::joined();
    let header = hear_header(&mut bench);
    hear_votes(&mut bench, PREVOTE, 0, &header);
    let votes = bench.votes();
    // The replay itself stores what was not on disk; that store is lost as well.
    bench.disk.log.truncate(bench.disk.log.len() - 1);
    bench.stores = false;
    reboot(&mut bench);
    bench.stores = true;
    reboot(&mut bench);
    assert_eq!(bench.votes().iter().filter(|vote| vote.0 == PRECOMMIT).count(), 1);
    assert!(bench.votes().iter().all(|vote| votes.contains(vote)), "{:?}", bench.votes());
    hear_votes(&mut bench, PRECOMMIT, 0, &header);
    assert_eq!(bench.disk.batches.len(), 1, "the body was in the log");
}

#[test]
fn the_log_does_not_grow_by_being_replayed() {
    let mut bench = Bench::joined();
    hear_header(&mut bench);
    let length = bench.disk.log.len();
    for _ in 0..3 {
        reboot(&mut bench);
        assert_eq!(bench.disk.log.len(), length);
    }
}

#[test]
fn a_timeout_is_remembered() {
    let mut bench = Bench::joined();
    let (header, body) = bench.header(0, &bench.body(1, 2, 0));
    let vote = bench.vote(2, PREVOTE, 1, 0, None);
    bench.hear(2, &vote);
    bench.pass_ms(900);
    assert_eq!(bench.voted(PREVOTE, 0), Some(None), "the leader said nothing");
    reboot(&mut bench);
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    assert!(bench.votes().iter().all(|vote| vote.0 != PREVOTE || vote.3.is_none()), "{:?}", bench.votes());
}

#[test]
fn a_lock_survives_a_crash() {
    let mut bench = Bench::joined();
    let header = hear_header(&mut bench);
    let vote = bench.vote(0, PREVOTE, 1, 0, Some(header.hash()));
    bench.hear(0, &vote);
    assert_eq!(bench.voted(PRECOMMIT, 0), Some(Some(header.hash())));
    reboot(&mut bench);
    // Two rounds later number 2 leads and has never heard of it.
    let (other, body) = bench.header(2, &bench.body(3, 4, 0));
    let proposal = bench.proposal(2, 2, None, &other);
    let vote = bench.vote(2, PREVOTE, 1, 2, Some(other.hash()));
    bench.hear(2, &vote);
    bench.hear(2, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 2), Some(None));
}

#[test]
fn a_header_proposed_again_is_repeated_with_its_polka() {
    let mut bench = Bench::joined();
    let header = hear_header(&mut bench);
    let vote = bench.vote(0, PREVOTE, 1, 0, Some(header.hash()));
    bench.hear(0, &vote);
    assert_eq!(bench.voted(PRECOMMIT, 0), Some(Some(header.hash())), "it is locked");
    bench.effects.clear();
    // Number 1 leads round 1.
    let vote = bench.vote(2, PREVOTE, 1, 1, None);
    bench.hear(2, &vote);
    let again = bench.proposal(1, 1, Some(0), &header);
    assert_eq!((bench.sent(2), bench.sent(3).len()), (vec![again], 1));
    bench.pass_ms(500);
    assert!(bench.sent(2).len() > 1 && bench.sent(3).len() > 1, "who missed one needs both");
}

#[test]
fn a_server_that_leads_proposes_what_waits_and_nothing_if_nothing_does() {
    let mut bench = Bench::new(3, seedbank_types::Rule::Majority, 0);
    bench.hear_statuses(0);
    bench.pass_ms(2_000);
    assert!(bench.sent(2).is_empty() && bench.votes().is_empty(), "idle");
    let payment = bench.checked(1, bench.payment(1, 2, 0, 5));
    bench.input(Input::Payments(vec![payment]));
    assert_eq!(bench.sent(2).len(), 1);
    let value = bench.voted(PREVOTE, 0).expect("its own vote");
    for peer in bench.peers() {
        for kind in [PREVOTE, PRECOMMIT] {
            let vote = bench.vote(peer, kind, 1, 0, value);
            bench.hear(peer, &vote);
        }
    }
    assert_eq!(bench.disk.state.height.0, 1);
    assert_eq!(bench.quorum.waiting(), 0);
}

#[test]
fn a_server_proposes_the_same_header_after_a_crash() {
    let mut bench = Bench::new(3, seedbank_types::Rule::Majority, 0);
    bench.hear_statuses(0);
    let payment = bench.checked(1, bench.payment(1, 2, 0, 5));
    bench.input(Input::Payments(vec![payment]));
    let before = bench.sent(2);
    bench.pass_ms(100);
    reboot(&mut bench);
    bench.pass_ms(500);
    assert!(!bench.sent(2).is_empty());
    assert!(bench.sent(2).iter().all(|bytes| *bytes == before[0]));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Offer { .. })), "with its body");
}

#[test]
fn a_dead_leader_costs_a_round() {
    let mut bench = Bench::joined();
    let payment = bench.checked(1, bench.payment(1, 2, 0, 5));
    bench.input(Input::Payments(vec![payment]));
    bench.pass_ms(900);
    for kind in [PREVOTE, PRECOMMIT] {
        let vote = bench.vote(2, kind, 1, 0, None);
        bench.hear(2, &vote);
    }
    bench.pass_ms(500);
    assert_eq!(bench.sent(2).len(), 1, "number 1 leads round 1");
    let value = bench.voted(PREVOTE, 1).expect("its own vote");
    for kind in [PREVOTE, PRECOMMIT] {
        let vote = bench.vote(2, kind, 1, 1, value);
        bench.hear(2, &vote);
    }
    assert_eq!(bench.quorum.chain().tip.proposer, Some(bench.key(1)), "and goes on to lead");
}

#[test]
fn a_body_that_does_not_come_is_asked_of_others() {
    let mut bench = Bench::joined();
    let (header, body) = bench.header(0, &bench.body(1, 2, 0));
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    assert_eq!(bench.bodies_asked(), 1);
    bench.input(Input::Body(b"something else".to_vec()));
    assert_eq!(bench.votes(), [], "a wrong body is the messenger's fault");
    bench.pass_ms(600);
    assert!(bench.bodies_asked() >= 3);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 0), Some(Some(header.hash())));
}

#[test]
fn a_header_up_to_five_seconds_off_the_clock_is_prevoted() {
    for (off_ms, is_good) in [(-5_000_i64, true), (5_000, true), (-5_001, false), (5_001, false)] {
        let mut bench = Bench::joined();
        bench.pass_ms(6_000);
        let (header, body) = bench.header(0, &bench.body(1, 2, 0));
        let header = Header { time: TimeMs(header.time.0.saturating_add_signed(off_ms)), ..header };
        // Past the end of the epoch it would have to close it.
        let header = Header { time: header.time.min(TimeMs(bench.quorum.chain().closes_at().0 - 1)), ..header };
        let off_ms = header.time.0.abs_diff(bench.wall().0);
        let proposal = bench.proposal(0, 0, None, &header);
        bench.hear(0, &proposal);
        bench.input(Input::Body(body));
        let is_expected = is_good || off_ms <= 5_000;
        assert_eq!(bench.voted(PREVOTE, 0), Some(is_expected.then(|| header.hash())), "off by {off_ms}");
        let told = bench.events().iter().any(|event| matches!(event, Event::ClocksDiffer { .. }));
        assert_eq!(told, !is_expected);
    }
}

fn untimely(bench: &mut Bench) -> (Header, Vec<u8>) {
    bench.pass_ms(6_000);
    let (header, body) = bench.header(0, &bench.body(1, 2, 0));
    (Header { time: TimeMs(bench.genesis.created.0 + 1), ..header }, body)
}

#[test]
fn a_header_refused_for_its_time_is_accepted_once_a_quorum_has_prevoted_it() {
    let mut bench = Bench::joined();
    let (header, body) = untimely(&mut bench);
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 0), Some(None));
    let polka = bench.polka(&[0, 2], 1, 0, header.hash());
    bench.hear(2, &polka);
    // Number 0 leads again in round 3.
    let vote = bench.vote(0, PREVOTE, 1, 3, Some(header.hash()));
    bench.hear(0, &vote);
    let again = bench.proposal(0, 3, Some(0), &header);
    bench.hear(0, &again);
    assert_eq!(bench.voted(PREVOTE, 3), Some(Some(header.hash())));
}

#[test]
fn an_earlier_polka_is_not_believed_without_proof() {
    let mut bench = Bench::joined();
    let (header, body) = untimely(&mut bench);
    // Number 0 leads round 3 and claims that round 0 prevoted for its header.
    let vote = bench.vote(0, PREVOTE, 1, 3, None);
    bench.hear(0, &vote);
    let proposal = bench.proposal(0, 3, Some(0), &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    bench.pass_ms(3_000);
    assert_eq!(bench.voted(PREVOTE, 3), Some(None));
    // Then it proposes the same as if for the first time.
    let vote = bench.vote(0, PREVOTE, 1, 6, None);
    bench.hear(0, &vote);
    let proposal = bench.proposal(0, 6, None, &header);
    bench.hear(0, &proposal);
    bench.pass_ms(4_000);
    assert_eq!(bench.voted(PREVOTE, 6), Some(None));
}

#[test]
fn a_polka_that_comes_after_its_proposal_counts() {
    let mut bench = Bench::joined();
    let (header, body) = untimely(&mut bench);
    let vote = bench.vote(0, PREVOTE, 1, 3, None);
    bench.hear(0, &vote);
    let proposal = bench.proposal(0, 3, Some(0), &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 3), None);
    let polka = bench.polka(&[0, 2], 1, 0, header.hash());
    bench.hear(0, &polka);
    assert_eq!(bench.voted(PREVOTE, 3), Some(Some(header.hash())));
}

/// Seed 1085 of the simulation: it voted nil at once when the polka came, as it had refused the header
/// for its time before; and it was the one whose vote was missing.
#[test]
fn a_polka_that_comes_after_its_proposal_counts_for_a_header_refused_for_its_time_too() {
    let mut bench = Bench::joined();
    let (header, body) = untimely(&mut bench);
    bench.hear(0, &bench.proposal(0, 0, None, &header));
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 0), Some(None));
    bench.hear(0, &bench.vote(0, PREVOTE, 1, 3, None));
    bench.hear(0, &bench.proposal(0, 3, Some(0), &header));
    assert_eq!(bench.voted(PREVOTE, 3), None);
    bench.hear(0, &bench.polka(&[0, 2], 1, 0, header.hash()));
    assert_eq!(bench.voted(PREVOTE, 3), Some(Some(header.hash())));
}

/// Seed 37 of the simulation: the leader told one server that its header rested on a polka of a round that
/// another one led, and that server refused the header for good.
#[test]
fn a_good_header_that_comes_with_a_lie_counts_once_a_quorum_has_prevoted_it() {
    let mut bench = Bench::joined();
    // Number 2 leads round 2.
    bench.hear(0, &bench.vote(0, PREVOTE, 1, 2, None));
    let (header, body) = bench.header(2, &bench.body(1, 2, 0));
    bench.hear(2, &bench.proposal(2, 2, Some(0), &header));
    bench.input(Input::Body(body));
    bench.hear(0, &bench.vote(0, PREVOTE, 1, 3, None));
    bench.hear(0, &bench.polka(&[0, 2], 1, 2, header.hash()));
    bench.hear(0, &bench.proposal(0, 3, Some(2), &header));
    assert_eq!(bench.voted(PREVOTE, 3), Some(Some(header.hash())));
}

#[test]
fn a_header_that_comes_after_its_round_is_not_judged_by_the_clock() {
    let mut bench = Bench::joined();
    bench.hear(0, &bench.vote(0, PREVOTE, 1, 3, None));
    let (header, body) = untimely(&mut bench);
    bench.effects.clear();
    bench.hear(0, &bench.proposal(0, 0, None, &header));
    bench.input(Input::Body(body));
    assert!(bench.events().is_empty(), "{:?}", bench.events());
    let round = bench.quorum.round();
    let leads = (round + 1..).find(|round| round % 3 == 0).expect("every third");
    bench.hear(0, &bench.vote(0, PREVOTE, 1, leads, None));
    bench.hear(0, &bench.proposal(0, leads, Some(0), &header));
    bench.hear(0, &bench.polka(&[0, 2], 1, 0, header.hash()));
    assert_eq!(bench.voted(PREVOTE, leads), Some(Some(header.hash())));
}

#[test]
fn messages_for_the_next_height_wait_for_it() {
    let mut bench = Bench::joined();
    let first = hear_header(&mut bench);
    hear_votes(&mut bench, PREVOTE, 0, &first);
    // The peers are one height ahead already.
    let mut ahead = Bench::joined();
    ahead.decide_payment(0, 0);
    let (second, body) = ahead.header(0, &ahead.body(3, 4, 0));
    let proposal = bench.proposal(0, 0, None, &second);
    bench.hear(0, &proposal);
    hear_votes(&mut bench, PRECOMMIT, 0, &first);
    bench.input(Input::Body(body));
    assert!(bench.votes().contains(&(PREVOTE, 2, 0, Some(second.hash()))));
}

#[test]
fn batches_that_were_missed_are_fetched_and_applied_with_their_proof() {
    let mut ahead = Bench::joined();
    (0..3).for_each(|sequence| ahead.decide_payment(0, sequence));
    let mut bench = Bench::new(3, seedbank_types::Rule::Majority, 2);
    bench.hear_statuses(3);
    bench.pass_ms(300);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::FetchBatches { first, .. } if first.0 == 1)));
    let mut forged = ahead.disk.batches.clone();
    forged[0].decision = forged[1].decision.clone();
    bench.input(Input::Batches(forged));
    assert_eq!(bench.disk.state.height.0, 0, "a decision proves one header only");
    let mut changed = ahead.disk.batches.clone();
    changed[0].body = b"another body".to_vec();
    bench.input(Input::Batches(changed));
    assert_eq!(bench.disk.state.height.0, 0);
    assert!(bench.events().iter().all(|event| !matches!(event, Event::Diverged { .. })), "the messenger's fault");
    bench.input(Input::Batches(ahead.disk.batches.clone()));
    assert_eq!(bench.disk.state, ahead.disk.state);
    assert_eq!(bench.disk.accounts, ahead.disk.accounts);
}

#[test]
fn the_chain_that_a_disk_gives_is_the_chain_that_ran() {
    let mut bench = Bench::joined();
    let same = |bench: &Bench| assert_eq!(bench.disk.chain(&bench.genesis), *bench.quorum.chain());
    same(&bench);
    (0..2).for_each(|sequence| bench.decide_payment(0, sequence));
    same(&bench);
    bench.close(0, None);
    same(&bench);
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut.clone()));
    let signed = bench.signed_checkpoint(0, &bench.checkpoint(&cut));
    bench.hear(0, &signed);
    assert!(bench.quorum.chain().certificate.is_some());
    same(&bench);
    bench.decide_payment(0, 2);
    same(&bench);
}

#[test]
fn a_server_alone_decides_alone() {
    let mut bench = Bench::new(1, seedbank_types::Rule::Majority, 0);
    let payment = bench.checked(1, bench.payment(1, 2, 0, 5));
    bench.input(Input::Payments(vec![payment]));
    assert_eq!(bench.disk.state.height.0, 1);
    let mut early = Bench::new(3, seedbank_types::Rule::Majority, 0);
    let alone = early.checked(1, early.payment(1, 2, 0, 5));
    early.input(Input::Payments(vec![alone]));
    early.hear(1, &status(0, 0, &[]));
    assert_eq!(early.sent(2).len(), 1, "two of three are a quorum");
}
