use malachitebft_core_types::{NilOrVal, Round, VoteType};
use seedbank_types::{
    Amount, Checkpoint, FileRef, Hash, Header, NumberedSignature, ServerSecret, TimeMs, Writer, write_signatures,
};

use super::*;
use crate::Decision;
use crate::engine::context::{Address, Height as EngineHeight, Vote};
use crate::engine::wire::vote_bytes;

const COMMUNITY: CommunityId = CommunityId([7; 32]);

fn secret(byte: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[byte; 32])
}

fn set(bytes: &[u8]) -> ServerSet {
    ServerSet::new(bytes.iter().map(|byte| (secret(*byte).public(), 1))).expect("a set")
}

fn certificate(epoch: u64, closing_header: Hash, signers: &[u8], next: &[u8]) -> Certificate {
    let checkpoint = Checkpoint {
        community: COMMUNITY,
        epoch: Epoch(epoch),
        height: Height(epoch * 10),
        time: TimeMs(epoch * 1_000),
        root: Hash([1; 32]),
        count: 3,
        supply: Amount(30),
        closing_header,
        previous: Hash::ZERO,
        servers: set(next).hash(),
        snapshot: FileRef::NONE,
        delta: FileRef::NONE,
    };
    let servers = set(signers);
    let mut signatures: Vec<NumberedSignature> = signers
        .iter()
        .map(|byte| NumberedSignature {
            number: servers.number(&secret(*byte).public()).expect("in the set"),
            signature: checkpoint.sign(&secret(*byte)),
        })
        .collect();
    signatures.sort_by_key(|one| one.number);
    Certificate { checkpoint, signatures }
}

fn handover(epoch: u64, from: &[u8], to: &[u8]) -> Handover {
    Handover { certificate: certificate(epoch, Hash::ZERO, from, to), next: set(to) }
}

fn state(servers: &[u8]) -> LedgerState {
    LedgerState::genesis(&COMMUNITY, Hash([1; 32]), 3, Amount(30), set(servers))
}

fn from_genesis() -> Succession {
    Succession::new(COMMUNITY, Rule::Majority, &state(&[1, 2, 3]), Epoch(1))
}

#[test]
fn a_certificate_is_judged_by_the_set_of_its_epoch() {
    let mut known = from_genesis();
    assert_eq!(known.follow(&[handover(4, &[1, 2, 3], &[2, 3, 4]), handover(9, &[2, 3, 4], &[4, 5, 6])]), 2);
    let certified = known.certified(certificate(12, Hash::ZERO, &[4, 5, 6], &[4, 5, 6])).expect("the newest set");
    assert_eq!((certified.signers, certified.next), (set(&[4, 5, 6]), set(&[4, 5, 6])));
    assert_eq!(certified.handovers.len(), 2);
    let certified = known.certified(certificate(9, Hash::ZERO, &[2, 3, 4], &[4, 5, 6])).expect("it hands over");
    assert_eq!((certified.signers, certified.next, certified.handovers.len()), (set(&[2, 3, 4]), set(&[4, 5, 6]), 2));
    let certified = known.certified(certificate(7, Hash::ZERO, &[2, 3, 4], &[2, 3, 4])).expect("in between");
    assert_eq!(certified.handovers.len(), 1);
    let late = known.certified(certificate(12, Hash::ZERO, &[1, 2, 3], &[1, 2, 3]));
    assert!(matches!(late, Err(NotCertified::Signatures(_))), "a set that handed over: {late:?}");
}

#[test]
fn handovers_that_do_not_lead_on_are_passed_over() {
    let mut known = from_genesis();
    let gap = handover(9, &[2, 3, 4], &[4, 5, 6]);
    assert_eq!(known.follow(std::slice::from_ref(&gap)), 0);
    let mut foreign = handover(4, &[1, 2, 3], &[2, 3, 4]);
    foreign.certificate.checkpoint.community = CommunityId([8; 32]);
    assert_eq!(known.follow(&[foreign]), 0);
    let first = handover(4, &[1, 2, 3], &[2, 3, 4]);
    assert_eq!(known.follow(&[first.clone(), first, gap]), 2, "each once");
}

#[test]
fn a_set_that_came_back_is_told_apart_by_the_epoch() {
    // The state is that of the second reign: what happened before is not followed again.
    let mut later = state(&[1, 2, 3]);
    later.height = Height(90);
    let mut known = Succession::new(COMMUNITY, Rule::Majority, &later, Epoch(10));
    let all = [
        handover(2, &[1, 2, 3], &[4, 5, 6]),
        handover(5, &[4, 5, 6], &[1, 2, 3]),
        handover(12, &[1, 2, 3], &[2, 3, 4]),
    ];
    assert_eq!(known.follow(&all), 1);
    assert_eq!(known.newest(), &set(&[2, 3, 4]));
    let old = known.certified(certificate(7, Hash::ZERO, &[1, 2, 3], &[1, 2, 3]));
    assert_eq!(old, Err(NotCertified::TooOld(Epoch(7))));
}

#[test]
fn a_set_that_nobody_showed_is_not_believed() {
    let known = from_genesis();
    let unknown = known.certified(certificate(3, Hash::ZERO, &[1, 2, 3], &[1, 2, 9]));
    assert_eq!(unknown, Err(NotCertified::NextServers));
    let few = known.certified(certificate(3, Hash::ZERO, &[1], &[1, 2, 3]));
    assert!(matches!(few, Err(NotCertified::Signatures(_))));
    let mut foreign = certificate(3, Hash::ZERO, &[1, 2, 3], &[1, 2, 3]);
    foreign.checkpoint.community = CommunityId([8; 32]);
    assert_eq!(known.certified(foreign), Err(NotCertified::OtherCommunity));
}

fn closing(deciders: &[u8]) -> DecidedBatch {
    let body = b"a certificate".to_vec();
    let header = Header {
        community: COMMUNITY,
        height: Height(30),
        epoch: Epoch(3),
        time: TimeMs(3_000),
        proposer: secret(2).public(),
        previous: Hash([3; 32]),
        previous_state: Hash([4; 32]),
        payments_root: Hash([5; 32]),
        body_digest: Body::digest(&body),
        body_length: 13,
        next_servers: set(&[1, 2, 3]).hash(),
        previous_checkpoint: Hash([6; 32]),
    };
    let servers = set(&[1, 2, 3]);
    let mut signatures: Vec<NumberedSignature> = deciders
        .iter()
        .map(|byte| {
            let key = secret(*byte).public();
            let vote = Vote {
                kind: VoteType::Precommit,
                height: EngineHeight(30),
                round: Round::new(0),
                value: NilOrVal::Val(header.hash()),
                address: Address(key),
            };
            let number = servers.number(&key).expect("in the set");
            NumberedSignature { number, signature: secret(*byte).sign(&vote_bytes(&COMMUNITY, &vote)) }
        })
        .collect();
    signatures.sort_by_key(|one| one.number);
    let decision = Decision::decode(&write_signatures(Writer::default().u32(0), &signatures).finish());
    DecidedBatch { header, body, decision: decision.expect("written a line above") }
}

#[test]
fn the_state_after_a_closing_header_follows_from_it_and_the_checkpoint() {
    let batch = closing(&[1, 2]);
    let certified = || {
        let certificate = certificate(3, batch.header.hash(), &[1, 2, 3], &[1, 2, 3]);
        from_genesis().certified(certificate).expect("signed by all")
    };
    let state = certified().closed_by(batch.clone()).expect("the header that it names");
    let ledger = state.ledger_state(Height(25));
    assert_eq!((ledger.height, ledger.digest, ledger.last_change), (Height(30), Hash([4; 32]), Height(25)));
    assert_eq!((ledger.count, ledger.supply, &ledger.next_servers), (3, Amount(30), &set(&[1, 2, 3])));
    assert!(state.was_voted_for_by(&secret(1).public()) && !state.was_voted_for_by(&secret(3).public()));
    assert!(state.was_signed_by(&secret(3).public()) && !state.was_signed_by(&secret(4).public()));

    let mut other = batch.clone();
    other.body[0] ^= 1;
    assert_eq!(certified().closed_by(other), Err(NotCertified::ClosingHeader));
    let mut other = batch.clone();
    other.header.previous_state = Hash([9; 32]);
    assert_eq!(certified().closed_by(other), Err(NotCertified::ClosingHeader));
    assert_eq!(certified().closed_by(closing(&[1])), Err(NotCertified::Decision));
}
