//! The end of an epoch: cut, intent, signature, certificate, evidence.
use seedbank_quorum::{Event, HeaderFault, Input};
use seedbank_types::{Amount, Checkpoint, Epoch, Evidence, Grade, Hash};

use crate::harness::{Bench, PREVOTE, certificate_message, status};

/// Epoch 1 is closed and its cut is at hand.
fn closed() -> (Bench, Checkpoint) {
    let mut bench = Bench::joined();
    bench.decide_payment(0, 0);
    bench.close(0, None);
    let cut = bench.cut(1);
    let checkpoint = bench.checkpoint(&cut);
    (bench, checkpoint)
}

fn other_root(checkpoint: &Checkpoint, root: u8) -> Checkpoint {
    Checkpoint { root: Hash([root; 32]), ..checkpoint.clone() }
}

fn certified(bench: &Bench) -> Vec<(Checkpoint, usize, Grade)> {
    let certified = bench.events().into_iter().filter_map(|event| match event {
        Event::Certified { certificate, grade } => {
            Some((certificate.checkpoint.clone(), certificate.signatures.len(), *grade))
        }
        _ => None,
    });
    certified.collect()
}

#[test]
fn the_intent_is_on_disk_before_the_signature_is_said() {
    let (mut bench, checkpoint) = closed();
    bench.stores = false;
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    assert!(bench.sent(6).is_empty());
    bench.store_all();
    assert_eq!(bench.disk.intents, std::slice::from_ref(&checkpoint));
    assert_eq!(bench.sent(6), [bench.signed_checkpoint(1, &checkpoint)]);
}

#[test]
fn signatures_of_a_quorum_make_a_certificate_and_more_make_it_better() {
    let (mut bench, checkpoint) = closed();
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    assert_eq!(certified(&bench), []);
    for by in [0, 2] {
        let signed = bench.signed_checkpoint(by, &checkpoint);
        bench.hear(by, &signed);
    }
    let crash = (checkpoint.clone(), 2, Grade::Crash);
    assert_eq!(certified(&bench), [crash, (checkpoint, 3, Grade::Byzantine)]);
    assert_eq!(bench.disk.certificates[&Epoch(1)].signatures.len(), 3);
}

#[test]
fn signatures_heard_before_the_own_cut_count() {
    let (mut bench, checkpoint) = closed();
    for by in [0, 2] {
        let signed = bench.signed_checkpoint(by, &checkpoint);
        bench.hear(by, &signed);
    }
    assert_eq!(certified(&bench).len(), 1);
}

#[test]
fn after_a_crash_the_same_bytes_are_signed_or_nothing() {
    let (mut bench, checkpoint) = closed();
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut.clone()));
    bench.reboot();
    bench.hear_statuses(2);
    let signed = bench.signed_checkpoint(1, &checkpoint);
    assert_eq!(bench.sent(6).first(), Some(&signed), "the signature was lost, the intent not");
    assert!(bench.sent(6).iter().all(|bytes| *bytes == signed));
    bench.input(Input::Cut(seedbank_quorum::Cut { root: Hash([2; 32]), ..cut }));
    assert!(bench.halted().is_some_and(|why| why.contains("damaged")));
}

#[test]
fn a_crash_before_the_intent_orders_the_cut_again() {
    let (mut bench, checkpoint) = closed();
    bench.reboot();
    assert!(bench.cut_order().is_none(), "nobody was heard yet");
    bench.hear_statuses(2);
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    assert_eq!(bench.sent(6), [bench.signed_checkpoint(1, &checkpoint)]);
}

#[test]
fn a_cut_that_does_not_add_up_stops_the_server() {
    let (mut bench, _) = closed();
    let cut = bench.cut(1);
    bench.input(Input::Cut(seedbank_quorum::Cut { supply: Amount(1), ..cut }));
    assert!(bench.halted().is_some_and(|why| why.contains("add up")));
    assert!(bench.sent(6).is_empty());
}

#[test]
fn a_second_checkpoint_of_a_key_is_evidence_and_the_key_counts_no_more() {
    let (mut bench, checkpoint) = closed();
    for checkpoint in [&other_root(&checkpoint, 8), &checkpoint] {
        let signed = bench.signed_checkpoint(0, checkpoint);
        bench.hear(0, &signed);
    }
    assert_eq!(bench.disk.evidence.len(), 1);
    let evidence = &bench.disk.evidence[0];
    assert_eq!((evidence.key, evidence.verify()), (bench.key(0), Ok(())));
    assert!(bench.events().iter().any(|event| matches!(event, Event::DoubleSigned(_))));
    // The liar's signature and the own one are no quorum together.
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    assert_eq!(certified(&bench), []);
    let signed = bench.signed_checkpoint(2, &checkpoint);
    bench.hear(2, &signed);
    assert_eq!(certified(&bench).len(), 1);
}

#[test]
fn evidence_is_remembered() {
    let (mut bench, checkpoint) = closed();
    for checkpoint in [&other_root(&checkpoint, 8), &checkpoint] {
        let signed = bench.signed_checkpoint(0, checkpoint);
        bench.hear(0, &signed);
    }
    bench.reboot();
    bench.hear_statuses(2);
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    let signed = bench.signed_checkpoint(0, &checkpoint);
    bench.hear(0, &signed);
    assert_eq!(certified(&bench), []);
}

#[test]
fn evidence_found_by_others_is_checked_and_counts() {
    let (mut bench, checkpoint) = closed();
    let rival = other_root(&checkpoint, 8);
    let sign = |by: usize, what: &Checkpoint| (what.clone(), what.sign(&bench.secrets[by]));
    let evidence = Evidence::new(bench.key(0), sign(0, &rival), sign(0, &checkpoint)).expect("two signatures");
    let forged = Evidence { key: bench.key(2), ..evidence.clone() };
    for evidence in [forged, evidence.clone(), evidence.clone()] {
        bench.input(Input::Evidence(Box::new(evidence)));
    }
    assert_eq!(bench.disk.evidence, [evidence]);
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    let signed = bench.signed_checkpoint(0, &checkpoint);
    bench.hear(0, &signed);
    assert_eq!(certified(&bench), []);
}

#[test]
fn of_one_key_only_a_few_pieces_of_evidence_are_kept() {
    let (mut bench, checkpoint) = closed();
    for epoch in 1..=9 {
        let of_epoch = |root| Checkpoint { epoch: Epoch(epoch), ..other_root(&checkpoint, root) };
        let sign = |what: Checkpoint| (what.clone(), what.sign(&bench.secrets[0]));
        let evidence = Evidence::new(bench.key(0), sign(of_epoch(8)), sign(of_epoch(9))).expect("two signatures");
        bench.input(Input::Evidence(Box::new(evidence)));
    }
    let epochs: Vec<u64> = bench.disk.evidence.iter().map(|evidence| evidence.a.epoch.0).collect();
    assert_eq!(epochs, [1, 2, 3, 4]);
    bench.reboot();
    let again = bench.disk.evidence[0].clone();
    bench.input(Input::Evidence(Box::new(again)));
    assert_eq!(bench.disk.evidence.len(), 4, "remembered");
}

#[test]
fn evidence_of_another_community_or_of_a_stranger_is_not_kept() {
    let (mut bench, checkpoint) = closed();
    let stranger = seedbank_types::ServerSecret::from_bytes(&[99; 32]);
    let elsewhere = Checkpoint { community: seedbank_types::CommunityId([7; 32]), ..checkpoint.clone() };
    for (secret, checkpoint) in [(&stranger, &checkpoint), (&bench.secrets[0].clone(), &elsewhere)] {
        let sign = |what: Checkpoint| (what.clone(), what.sign(secret));
        let (one, other) = (sign(other_root(checkpoint, 8)), sign(other_root(checkpoint, 9)));
        let evidence = Evidence::new(secret.public(), one, other).expect("two signatures");
        bench.input(Input::Evidence(Box::new(evidence)));
    }
    assert_eq!(bench.disk.evidence, []);
}

#[test]
fn evidence_against_the_own_key_stops_the_server() {
    let (mut bench, checkpoint) = closed();
    let rival = other_root(&checkpoint, 8);
    let sign = |what: &Checkpoint| (what.clone(), what.sign(&bench.secrets[1]));
    let evidence = Evidence::new(bench.key(1), sign(&rival), sign(&checkpoint)).expect("two signatures");
    bench.input(Input::Evidence(Box::new(evidence)));
    assert!(bench.halted().is_some());
}

#[test]
fn a_key_that_has_signed_something_else_does_not_sign() {
    let (mut bench, checkpoint) = closed();
    // Another machine has the key; this one hears its signature from a peer.
    let signed = bench.signed_checkpoint(1, &other_root(&checkpoint, 8));
    bench.hear(0, &signed);
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    assert!(bench.halted().is_some());
    assert!(bench.sent(6).is_empty());
}

#[test]
fn one_liar_cannot_crowd_out_the_true_checkpoint() {
    let (mut bench, checkpoint) = closed();
    for root in 10..60 {
        let signed = bench.signed_checkpoint(0, &other_root(&checkpoint, root));
        bench.hear(0, &signed);
    }
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    let signed = bench.signed_checkpoint(2, &checkpoint);
    bench.hear(2, &signed);
    assert_eq!(certified(&bench).len(), 1);
    assert_eq!(bench.disk.evidence.len(), 1, "one piece of evidence a key is enough");
}

#[test]
fn signatures_of_unknown_keys_are_not_kept() {
    let (mut bench, checkpoint) = closed();
    bench.secrets.push(seedbank_types::ServerSecret::from_bytes(&[99; 32]));
    let signed = bench.signed_checkpoint(3, &checkpoint);
    bench.hear(0, &signed);
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    assert_eq!(certified(&bench), []);
}

#[test]
fn a_server_that_diverged_names_the_others_certificate_and_stays_silent_after_a_restart() {
    let (mut bench, checkpoint) = closed();
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut.clone()));
    let other = other_root(&checkpoint, 8);
    for by in [0, 2] {
        let signed = bench.signed_checkpoint(by, &other);
        bench.hear(by, &signed);
    }
    let events = bench.events();
    let said = events.iter().find_map(|event| match event {
        Event::Diverged { height, certificate, .. } => Some((*height, certificate.as_ref()?.checkpoint.clone())),
        _ => None,
    });
    assert_eq!(said, Some((checkpoint.height, other)));
    bench.reboot();
    bench.quorum.set_diverged();
    bench.hear_statuses(2);
    bench.input(Input::Cut(cut));
    bench.pass_ms(3_000);
    assert!(bench.sent(6).is_empty() && bench.votes().is_empty() && !bench.quorum.may_vote());
    assert!(!bench.sent(5).is_empty(), "it still says where it stands");
}

#[test]
fn others_who_certify_another_root_show_that_the_databases_differ() {
    let (mut bench, checkpoint) = closed();
    let cut = bench.cut(1);
    bench.input(Input::Cut(cut));
    let other = other_root(&checkpoint, 8);
    for by in [0, 2] {
        let signed = bench.signed_checkpoint(by, &other);
        bench.hear(by, &signed);
    }
    assert!(bench.events().iter().any(|event| matches!(event, Event::Diverged { .. })));
    assert!(!bench.quorum.may_vote());
    bench.effects.clear();
    let (header, body) = bench.header(0, &bench.body(3, 4, 0));
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.votes(), []);
}

#[test]
fn a_closing_header_without_the_certificate_before_is_refused() {
    let (mut bench, checkpoint) = closed();
    bench.pass_ms(10_000);
    bench.effects.clear();
    let (header, body) = bench.closing_header(0, None);
    let proposal = bench.proposal(0, 0, None, &header);
    bench.hear(0, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 0), Some(None));
    // One signature is no certificate either; two are.
    for (round, by) in [(3, &[0][..]), (6, &[0, 2])] {
        let certificate = bench.certificate(by, &checkpoint);
        let (header, body) = bench.closing_header(0, Some(&certificate));
        let vote = bench.vote(0, PREVOTE, header.height.0, round, None);
        bench.hear(0, &vote);
        let proposal = bench.proposal(0, round, None, &header);
        bench.hear(0, &proposal);
        bench.input(Input::Body(body));
        assert_eq!(bench.voted(PREVOTE, round), Some((by.len() == 2).then(|| header.hash())));
    }
    let faults = bench.events().into_iter().filter_map(|event| match event {
        Event::ProposalRefused { fault, .. } => Some(fault.clone()),
        _ => None,
    });
    let faults: Vec<HeaderFault> = faults.collect();
    assert!(matches!(faults[..], [HeaderFault::Body(_), HeaderFault::Certificate(_)]), "{faults:?}");
}

#[test]
fn nothing_is_proposed_after_the_end_of_an_epoch_whose_predecessor_is_not_certified() {
    let (mut bench, checkpoint) = closed();
    let payment = bench.checked(1, bench.payment(1, 2, 1, 5));
    bench.input(Input::Payments(vec![payment]));
    bench.effects.clear();
    bench.pass_ms(13_000);
    assert!(bench.sent(2).is_empty());
    // The certificate comes late: now the epoch is closed, then the payment is ordered.
    let message = certificate_message(&bench.certificate(&[0, 2], &checkpoint));
    bench.hear(0, &message);
    let time = bench.ms;
    bench.pass_ms(20_000);
    assert!(!bench.sent(2).is_empty() || !bench.votes().is_empty(), "nothing happened after {time}");
}

#[test]
fn a_certificate_is_told_to_who_does_not_know_it() {
    let (mut bench, checkpoint) = closed();
    let certificate = bench.certificate(&[0, 2], &checkpoint);
    bench.hear(0, &certificate_message(&certificate));
    bench.effects.clear();
    bench.hear(2, &status(2, 0, &[]));
    assert_eq!(bench.sent(7), [certificate_message(&certificate)]);
    bench.effects.clear();
    bench.hear(2, &status(2, 1, &[]));
    assert!(bench.sent(7).is_empty());
}

#[test]
fn after_a_long_gap_only_the_newest_epoch_is_cut() {
    let (mut ahead, checkpoint) = closed();
    let mut certificate = ahead.certificate(&[0, 2], &checkpoint);
    for epoch in 2..=4 {
        ahead.hear(0, &certificate_message(&certificate));
        ahead.close(0, Some(&certificate));
        let cut = ahead.cut(epoch);
        certificate = ahead.certificate(&[0, 2], &ahead.checkpoint(&cut));
    }
    let mut bench = Bench::joined();
    bench.input(Input::Batches(ahead.disk.batches.clone()));
    assert_eq!(bench.quorum.chain().epoch, Epoch(5));
    let orders = bench.effects.iter().filter(|effect| matches!(effect, seedbank_quorum::Effect::Cut(_)));
    assert_eq!(orders.count(), 1);
    assert_eq!(bench.cut_order(), ahead.cut_order());
    assert_eq!(bench.disk.certificates.len(), 3, "the certificates came in the closing bodies");
    // The newest is not in a body yet, and may be learned from anybody.
    bench.input(Input::Certificate(certificate.clone()));
    assert_eq!(bench.quorum.chain().certificate, Some(certificate));
}
