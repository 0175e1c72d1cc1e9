//! What strangers and liars may send without harm.
use proptest::prelude::{ProptestConfig, any, proptest};
use seedbank_quorum::{Input, Message};
use seedbank_types::{Checkpoint, Epoch, Hash, Header, ServerSecret, TimeMs};

use crate::harness::{Bench, NO_SIGNATURE, PRECOMMIT, PREVOTE, certificate_message, status};

#[test]
fn who_is_no_server_is_not_heard() {
    let mut bench = Bench::joined();
    bench.secrets.push(ServerSecret::from_bytes(&[99; 32]));
    let vote = bench.vote(3, PREVOTE, 1, 0, None);
    for bytes in [vote, status(u64::MAX, 7, &[])] {
        bench.hear(3, &bytes);
    }
    bench.pass_ms(500);
    assert!(bench.disk.log.is_empty() && bench.effects.iter().all(|effect| !format!("{effect:?}").contains("Fetch")));
}

#[test]
fn a_vote_of_somebody_else_is_not_passed_on() {
    let mut bench = Bench::joined();
    let vote = bench.vote(2, PREVOTE, 1, 0, None);
    bench.hear(0, &vote);
    assert!(bench.disk.log.is_empty());
}

#[test]
fn a_wrong_signature_is_not_logged() {
    let mut bench = Bench::joined();
    let mut vote = bench.vote(2, PREVOTE, 1, 0, None);
    let start = vote.len() - 64;
    vote[start..].copy_from_slice(&NO_SIGNATURE.0);
    bench.hear(2, &vote);
    assert!(bench.disk.log.is_empty());
}

#[test]
fn a_signature_of_another_community_does_not_count() {
    let mut other = Bench::joined();
    other.genesis.name = "Other".to_owned();
    let vote = other.vote(2, PREVOTE, 1, 0, None);
    let mut bench = Bench::joined();
    bench.hear(2, &vote);
    assert!(bench.disk.log.is_empty());
}

#[test]
fn the_greatest_numbers_do_no_harm() {
    let mut bench = Bench::joined();
    let (header, _) = bench.header(0, &bench.body(1, 2, 0));
    let checkpoint = far_checkpoint(&bench);
    let messages = [
        status(u64::MAX, u64::MAX, &[]),
        bench.vote(0, PREVOTE, u64::MAX, 0, None),
        bench.vote(0, PREVOTE, 1, u32::MAX, None),
        bench.vote(0, PRECOMMIT, 1, u32::MAX, Some(Hash([1; 32]))),
        bench.proposal(0, u32::MAX, Some(u32::MAX), &header),
        bench.proposal(0, 0, None, &Header { time: TimeMs(u64::MAX), epoch: Epoch(u64::MAX), ..header }),
        bench.polka(&[0, 2], 1, u32::MAX, Hash([1; 32])),
        bench.signed_checkpoint(0, &checkpoint),
        certificate_message(&bench.certificate(&[0, 1, 2], &checkpoint)),
    ];
    for message in messages {
        bench.hear(0, &message);
        bench.pass_ms(100);
    }
    assert_eq!(bench.halted(), None);
}

fn far_checkpoint(bench: &Bench) -> Checkpoint {
    let mut ahead = Bench::joined();
    ahead.decide_payment(0, 0);
    ahead.close(0, None);
    let checkpoint = ahead.checkpoint(&ahead.cut(1));
    let max = u64::MAX;
    Checkpoint {
        epoch: Epoch(max),
        height: seedbank_types::Height(max),
        time: TimeMs(max),
        community: bench.genesis.community(),
        ..checkpoint
    }
}

#[test]
fn a_leader_that_lies_is_asked_for_two_bodies_a_round() {
    let mut bench = Bench::joined();
    let (header, _) = bench.header(0, &bench.body(1, 2, 0));
    for lie in 0..100 {
        let header = Header { body_digest: Hash([lie; 32]), ..header.clone() };
        let proposal = bench.proposal(0, 0, None, &header);
        bench.hear(0, &proposal);
    }
    assert_eq!(bench.bodies_asked(), 2);
}

#[test]
fn lies_of_a_leader_do_not_keep_the_next_one_from_being_heard() {
    let mut bench = Bench::joined();
    let (header, _) = bench.header(0, &bench.body(1, 2, 0));
    // Number 0 leads rounds 0, 3, 6, ...; it names what does not exist in as many rounds as it is let.
    for round in 0..60 {
        let vote = bench.vote(2, PREVOTE, 1, round, None);
        bench.hear(2, &vote);
        for lie in 0..4 {
            let lie = u8::try_from(round * 4 + lie).expect("below 256");
            let header = Header { body_digest: Hash([lie; 32]), time: bench.wall(), ..header.clone() };
            let proposal = bench.proposal(0, round, None, &header);
            bench.hear(0, &proposal);
        }
    }
    let (good, body) = bench.header(2, &bench.body(1, 2, 0));
    let vote = bench.vote(2, PREVOTE, 1, 62, Some(good.hash()));
    bench.hear(2, &vote);
    let proposal = bench.proposal(2, 62, None, &good);
    bench.hear(2, &proposal);
    bench.input(Input::Body(body));
    assert_eq!(bench.voted(PREVOTE, 62), Some(Some(good.hash())));
}

#[test]
fn messages_that_come_too_early_crowd_out_only_those_of_their_sender() {
    let mut ahead = Bench::joined();
    ahead.decide_payment(0, 0);
    let (second, body) = ahead.header(0, &ahead.body(3, 4, 0));
    let mut bench = Bench::joined();
    let proposal = bench.proposal(0, 0, None, &second);
    bench.hear(0, &proposal);
    for round in 0..1_000 {
        let vote = bench.vote(2, PREVOTE, 2, round, None);
        bench.hear(2, &vote);
    }
    let first = ahead.disk.batches[0].clone();
    bench.decide(0, &first.header, first.body);
    bench.input(Input::Body(body));
    assert!(bench.votes().iter().any(|vote| vote.1 == 2), "the proposal was forgotten");
}

/// Messages of every kind about the next height, and inputs that come with them.
fn valid_messages(bench: &Bench) -> Vec<Vec<u8>> {
    let (header, _) = bench.header(0, &bench.body(1, 2, 0));
    let vote = bench.vote(0, PREVOTE, 1, 0, Some(header.hash()));
    let checkpoint = Checkpoint { epoch: Epoch(1), ..far_checkpoint(bench) };
    let rounds = [&[1, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 1, 1, 1, 0][..], &[9; 96]].concat();
    vec![
        vote.clone(),
        bench.proposal(0, 0, None, &header),
        bench.proposal(0, 3, Some(0), &header),
        bench.polka(&[0, 2], 1, 0, header.hash()),
        rounds,
        status(3, 0, &[vote]),
        bench.signed_checkpoint(0, &checkpoint),
        certificate_message(&bench.certificate(&[0, 2], &checkpoint)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Changed bytes, in any order, from any server: no panic, no second vote.
    #[test]
    fn changed_messages_do_no_harm(changes in proptest::collection::vec((0..8_usize, 0..3_usize, any::<(u16, u8)>()), 1..60)) {
        let mut bench = Bench::joined();
        let messages = valid_messages(&bench);
        for (which, from, (at, value)) in changes {
            let mut bytes = messages[which].clone();
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
            if let Ok(message) = Message::decode(&bytes) && from != bench.own {
                let from = bench.key(from);
                bench.input(Input::Message { from, message });
            }
            bench.pass_ms(u64::from(value));
        }
        let votes = bench.votes();
        for (number, vote) in votes.iter().enumerate() {
            let contradicts = |other: &&(u8, u64, u32, Option<Hash>)| {
                (other.0, other.1, other.2) == (vote.0, vote.1, vote.2) && other.3 != vote.3
            };
            assert!(votes[number..].iter().find(contradicts).is_none(), "{votes:?}");
        }
    }
}
