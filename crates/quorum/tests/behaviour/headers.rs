//! What a header must say: each fault is prevoted nil, and named.
use seedbank_quorum::{Event, HeaderFault, Input, Message};
use seedbank_types::{
    Body, CommunityId, Entry, Epoch, Hash, Header, Height, Refusal, ServerSecret, SignedPayment, TimeMs,
};

use crate::harness::{Bench, PREVOTE};

/// The fault for which a proposal of number 0 is refused.
fn fault_of(bench: &mut Bench, header: &Header, body: Vec<u8>) -> HeaderFault {
    let proposal = bench.proposal(0, 0, None, header);
    bench.effects.clear();
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 0), Some(None), "it was not prevoted nil");
    let fault = bench.events().iter().find_map(|event| match event {
        Event::ProposalRefused { fault, .. } => Some(fault.clone()),
        _ => None,
    });
    fault.expect("the fault is named")
}

/// The fault of a header with one payment, changed in one way.
fn changed(change: impl FnOnce(&mut Header)) -> HeaderFault {
    let mut bench = Bench::joined();
    let (mut header, body) = bench.header(0, &bench.body(1, 2, 0));
    change(&mut header);
    fault_of(&mut bench, &header, body)
}

/// The fault of a header with this body.
fn with_body(make: impl FnOnce(&Bench) -> Body) -> HeaderFault {
    let mut bench = Bench::joined();
    let body = make(&bench);
    let (header, bytes) = bench.header(0, &body);
    fault_of(&mut bench, &header, bytes)
}

const OTHER: Hash = Hash([9; 32]);

#[test]
fn a_header_must_be_of_this_community() {
    assert_eq!(changed(|header| header.community = CommunityId([9; 32])), HeaderFault::OtherCommunity);
}

#[test]
fn a_header_must_have_the_height_of_its_proposal() {
    let bench = Bench::joined();
    let (header, _) = bench.header(0, &bench.body(1, 2, 0));
    let mut bytes = bench.proposal(0, 0, None, &header);
    bytes[9] = 7;
    assert!(Message::decode(&bytes).is_err());
    let high = Header { height: Height(2), ..header };
    let mut bench = Bench::joined();
    let proposal = bench.proposal(0, 0, None, &high);
    bench.hear(0, &proposal);
    assert_eq!(bench.votes(), [], "the next height is not judged yet");
}

#[test]
fn a_header_must_be_of_the_open_epoch() {
    let (got, open) = (Epoch(2), Epoch(1));
    assert_eq!(changed(|header| header.epoch = Epoch(2)), HeaderFault::Epoch { got, open });
}

#[test]
fn time_must_rise() {
    assert_eq!(changed(|header| header.time = TimeMs(header.time.0 - 1)), HeaderFault::Time);
}

#[test]
fn the_proposer_must_be_a_server() {
    let nobody = ServerSecret::from_bytes(&[99; 32]).public();
    assert_eq!(changed(|header| header.proposer = nobody), HeaderFault::Proposer);
}

#[test]
fn the_proposer_must_be_the_leader_of_the_round() {
    let mut bench = Bench::joined();
    let (header, _) = bench.header(2, &bench.body(1, 2, 0));
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    assert_eq!(bench.voted(PREVOTE, 0), Some(None));
}

#[test]
fn only_the_leader_of_the_round_is_heard() {
    let mut bench = Bench::joined();
    let (header, body) = bench.header(2, &bench.body(1, 2, 0));
    let proposal = bench.proposal(2, 0, None, &header);
    bench.hear(2, &proposal);
    bench.input(Input::Body(body));
    assert_eq!((bench.votes().len(), bench.bodies_asked()), (0, 0));
}

#[test]
fn the_leader_is_who_proposed_last_plus_the_round() {
    // Numbers 0, 1, 2; number 2 proposed last (in round 2), so it leads round 0 of height 2.
    let mut bench = Bench::joined();
    let vote = bench.vote(0, PREVOTE, 1, 2, None);
    bench.hear(0, &vote);
    let (header, body) = bench.header(2, &bench.body(1, 2, 0));
    let proposal = bench.proposal(2, 2, None, &header);
    bench.hear(2, &proposal);
    bench.input(Input::Body(body));
    for kind in [1, 2] {
        for peer in bench.peers() {
            let vote = bench.vote(peer, kind, 1, 2, Some(header.hash()));
            bench.hear(peer, &vote);
        }
    }
    assert_eq!(bench.quorum.chain().tip.proposer, Some(bench.key(2)));
    bench.effects.clear();
    bench.decide_payment(2, 1);
}

#[test]
fn a_header_must_follow_the_last_one() {
    assert_eq!(changed(|header| header.previous = OTHER), HeaderFault::Previous);
}

#[test]
fn a_header_must_agree_on_the_state_before() {
    assert_eq!(changed(|header| header.previous_state = OTHER), HeaderFault::PreviousState);
}

#[test]
fn the_body_must_have_its_length() {
    assert_eq!(changed(|header| header.body_length += 1), HeaderFault::OtherBody);
    assert_eq!(changed(|header| header.body_length = u32::MAX), HeaderFault::OtherBody);
}

#[test]
fn the_body_must_be_readable() {
    let mut bench = Bench::joined();
    let (header, _) = bench.header(0, &bench.body(1, 2, 0));
    let header = Header { body_digest: Body::digest(b"junk"), body_length: 4, ..header };
    assert!(matches!(fault_of(&mut bench, &header, b"junk".to_vec()), HeaderFault::Body(_)));
}

#[test]
fn a_header_that_closes_nothing_must_carry_something() {
    assert_eq!(with_body(|_| Body::default()), HeaderFault::Empty);
}

#[test]
fn every_entry_must_keep_the_rules_of_the_ledger() {
    let HeaderFault::Entry(invalid) = with_body(|bench| bench.body(1, 2, 5)) else { panic!("another fault") };
    assert_eq!(invalid.refusal, Refusal::WrongSequence { expected: 0 });
}

#[test]
fn a_bad_signature_is_found_even_if_the_same_payment_waits_with_a_good_one() {
    let mut bench = Bench::joined();
    let good = bench.checked(1, bench.payment(1, 2, 0, 5));
    bench.input(Input::Payments(vec![good.clone()]));
    let mut forged = good.signed().clone();
    forged.signature = [1; 64];
    let (header, body) = bench.header(0, &Body { entries: vec![seedbank_types::Entry::Payment(forged)] });
    assert!(matches!(fault_of(&mut bench, &header, body), HeaderFault::Entry(_)));
}

#[test]
fn the_payments_root_must_be_that_of_the_body() {
    assert_eq!(changed(|header| header.payments_root = OTHER), HeaderFault::PaymentsRoot);
}

#[test]
fn the_next_servers_must_be_those_that_follow() {
    assert_eq!(changed(|header| header.next_servers = OTHER), HeaderFault::NextServers);
}

#[test]
fn a_header_that_closes_nothing_names_no_checkpoint() {
    assert_eq!(changed(|header| header.previous_checkpoint = OTHER), HeaderFault::PreviousCheckpoint);
}

#[test]
fn after_the_end_of_the_epoch_a_header_must_close_it() {
    let mut bench = Bench::joined();
    bench.pass_ms(10_000);
    let (header, body) = bench.header(0, &bench.body(1, 2, 0));
    let fault = fault_of(&mut bench, &header, body);
    assert!(matches!(fault, HeaderFault::PaymentsRoot | HeaderFault::PreviousCheckpoint), "{fault:?}");
}

#[test]
fn an_epoch_does_not_close_before_its_end() {
    let mut bench = Bench::joined();
    bench.pass_ms(9_999);
    let (header, body) = bench.closing_header(0, None);
    assert!(matches!(fault_of(&mut bench, &header, body), HeaderFault::Body(_) | HeaderFault::Empty));
    let mut bench = Bench::joined();
    bench.pass_ms(10_000);
    let (header, body) = bench.closing_header(0, None);
    bench.decide(0, &header, body);
    assert_eq!(bench.quorum.chain().epoch, Epoch(2));
}

#[test]
fn a_closing_header_roots_the_headers_of_its_epoch() {
    let mut bench = Bench::joined();
    bench.decide_payment(0, 0);
    bench.pass_ms(10_000);
    let (header, body) = bench.closing_header(0, None);
    let wrong = Header { payments_root: OTHER, ..header };
    assert_eq!(fault_of(&mut bench, &wrong, body), HeaderFault::PaymentsRoot);
}

#[test]
fn a_body_comes_with_verified_payments_and_only_those_are_taken_for_verified() {
    let mut bench = Bench::joined();
    let good: Vec<_> = (1..4).map(|payer| bench.checked(payer, bench.payment(payer, 9, 0, 5))).collect();
    let entry = |signed: &SignedPayment| Entry::Payment(signed.clone());
    let mut forged = good[1].signed().clone();
    forged.signature[9] ^= 1;
    // The same id with another signature: what was verified is not what the body holds.
    let body = Body { entries: vec![entry(good[0].signed()), entry(&forged), entry(good[2].signed())] };
    let (header, bytes) = bench.header(0, &body);
    bench.hear(0, &bench.proposal(0, 0, None, &header));
    bench.input(Input::CheckedBody { body: bytes, payments: good.clone() });
    assert_eq!(bench.voted(PREVOTE, 0), Some(None));

    let mut bench = Bench::joined();
    let body = Body { entries: good.iter().map(|one| entry(one.signed())).collect() };
    let (header, bytes) = bench.header(0, &body);
    bench.hear(0, &bench.proposal(0, 0, None, &header));
    bench.input(Input::CheckedBody { body: bytes, payments: vec![good[0].clone(), good[2].clone()] });
    assert_eq!(bench.voted(PREVOTE, 0), Some(Some(header.hash())), "what is missing is verified then");
}
