//! Bytes of every format of this crate: golden, there and back, and junk.
use std::collections::BTreeMap;

use malachitebft_core_consensus::{Input, ProposedValue};
use malachitebft_core_types::{
    NilOrVal, PolkaSignature, Round, RoundCertificateType, RoundSignature, SignedMessage, Timeout, TimeoutKind,
    Validity, ValueOrigin, VoteType,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, proptest};
use proptest::prop_oneof;
use seedbank_types::{
    Certificate, Checkpoint, CommunityId, Epoch, Hash, Header, Height, NumberedSignature, Reader, Rule, ServerKey,
    ServerSecret, ServerSet, Signature,
};

use crate::engine::context::{self, Address, Proposal, Value, Vote};
use crate::engine::{EngineInput, Polka, Rounds, SignedProposal, SignedVote, wire};
use crate::message::{Said, SignedCheckpoint, Status, Uncertified};
use crate::{Decision, Guard, Message};

/// The sections of a file under `tests/golden/`. Its bytes were written by another program, in
/// another language, from `docs/protocol.md` alone.
fn golden(text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut sections: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(title) => title.clone_into(&mut section),
            None => sections.entry(section.clone()).or_default().extend(unhex(line)),
        }
    }
    sections
}

fn unhex(line: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hex digits");
    (0..line.len()).step_by(2).map(digits).collect()
}

fn messages() -> BTreeMap<String, Vec<u8>> {
    golden(include_str!("../tests/golden/message.hex"))
}

fn community() -> CommunityId {
    header().community
}

/// The header of the golden proposal: the last field but the signature.
fn header() -> Header {
    let bytes = &messages()["proposal"];
    let end = bytes.len() - 64;
    Header::decode(&bytes[end - 285..end]).expect("pinned in crates/types")
}

fn certificate() -> Certificate {
    Certificate::decode(&messages()["certificate"][2..]).expect("pinned in crates/types")
}

fn secret(byte: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[byte; 32])
}

/// Secrets in the order of the servers' numbers.
fn by_number() -> Vec<ServerSecret> {
    let mut secrets: Vec<ServerSecret> = [1, 2, 3].map(secret).to_vec();
    secrets.sort_by_key(ServerSecret::public);
    secrets
}

fn vote(kind: VoteType, height: u64, round: u32, value: Option<Hash>, by: &ServerSecret) -> SignedVote {
    let vote = Vote {
        kind,
        height: context::Height(height),
        round: Round::new(round),
        value: value.map_or(NilOrVal::Nil, NilOrVal::Val),
        address: Address(by.public()),
    };
    let signature = by.sign(&wire::vote_bytes(&community(), &vote));
    SignedMessage::new(vote, signature)
}

fn proposal(round: u32, polka: Round, by: &ServerSecret) -> SignedProposal {
    let proposal = Proposal {
        height: context::Height(1),
        round: Round::new(round),
        pol_round: polka,
        address: Address(by.public()),
        value: Value(header()),
    };
    let signature = by.sign(&wire::proposal_bytes(&community(), &proposal));
    SignedMessage::new(proposal, signature)
}

fn polka(by: &[u8]) -> Polka {
    let id = header().hash();
    let votes = by.iter().map(|by| vote(VoteType::Prevote, 1, 0, Some(id), &secret(*by)));
    let polka_signatures = votes.map(|vote| PolkaSignature::new(vote.message.address, vote.signature)).collect();
    Polka { height: context::Height(1), round: Round::new(0), value_id: id, polka_signatures }
}

fn rounds(cert_type: RoundCertificateType, votes: &[(VoteType, Option<Hash>, u8)]) -> Rounds {
    let votes = votes.iter().map(|(kind, value, by)| vote(*kind, 1, 2, *value, &secret(*by)));
    let signature = |vote: SignedVote| {
        RoundSignature::new(vote.message.kind, vote.message.value, vote.message.address, vote.signature)
    };
    Rounds {
        height: context::Height(1),
        round: Round::new(2),
        cert_type,
        round_signatures: votes.map(signature).collect(),
    }
}

fn verdict(proposal: &Proposal, is_valid: bool) -> EngineInput {
    let value = ProposedValue {
        height: proposal.height,
        round: proposal.round,
        valid_round: proposal.pol_round,
        proposer: proposal.address,
        value: proposal.value.clone(),
        validity: Validity::from_bool(is_valid),
    };
    Input::ProposedValue(value, ValueOrigin::Consensus)
}

#[test]
fn messages_have_their_golden_bytes() {
    let (id, leader, next) = (Some(header().hash()), &by_number()[0], &by_number()[1]);
    let certificate = certificate();
    let checkpoint = certificate.checkpoint.clone();
    let signature = checkpoint.sign(&secret(1));
    let signed = SignedCheckpoint { key: secret(1).public(), checkpoint, signature };
    let votes = vec![vote(VoteType::Precommit, 8, 1, id, &secret(1)), vote(VoteType::Prevote, 7, 0, None, &secret(3))];
    let skip = [(VoteType::Prevote, id, 1), (VoteType::Precommit, None, 3)];
    let precommits = [(VoteType::Precommit, id, 1), (VoteType::Precommit, None, 2)];
    let signatures = [1, 2].map(|by| (secret(by).public(), signed.checkpoint.hash())).to_vec();
    let uncertified =
        Uncertified { epoch: Epoch(9), closing_header: header().hash(), sign_from: Epoch(12), signed: signatures };
    let said = [
        ("prevote", Said::Vote(vote(VoteType::Prevote, 1, 0, id, &secret(1)))),
        ("precommit nil", Said::Vote(vote(VoteType::Precommit, 1, 3, None, &secret(2)))),
        ("proposal", Said::Proposal(Box::new(proposal(0, Round::Nil, leader)))),
        ("proposal after a polka", Said::Proposal(Box::new(proposal(4, Round::new(3), next)))),
        ("polka", Said::Polka(polka(&[1, 2]))),
        ("skip round", Said::Rounds(rounds(RoundCertificateType::Skip, &skip))),
        ("precommit round", Said::Rounds(rounds(RoundCertificateType::Precommit, &precommits))),
        ("status", Said::Status(Status { height: Height(7), epoch: Epoch(2), votes })),
        ("status of a newcomer", Said::Status(Status { height: Height(0), epoch: Epoch(0), votes: vec![] })),
        ("signed checkpoint", Said::Checkpoint(Box::new(signed))),
        ("certificate", Said::Certificate(Box::new(certificate))),
        ("uncertified epoch", Said::Uncertified(Box::new(uncertified))),
    ];
    let golden = messages();
    assert_eq!(golden.len(), said.len());
    for (section, said) in said {
        let message = Message(said);
        assert_eq!(message.encode(), golden[section], "[{section}]");
        assert_eq!(Message::decode(&golden[section]), Ok(message), "[{section}]");
    }
}

#[test]
fn entries_of_the_log_have_their_golden_bytes() {
    let golden = golden(include_str!("../tests/golden/log_entry.hex"));
    let (id, leader, next) = (Some(header().hash()), &by_number()[0], &by_number()[1]);
    let timeout = |kind, round| Input::TimeoutElapsed(Timeout::new(Round::new(round), kind));
    let entries: [(&str, EngineInput, &[u8]); 8] = [
        ("vote", Input::Vote(vote(VoteType::Prevote, 1, 0, id, &secret(1))), b""),
        ("proposal", Input::Proposal(proposal(0, Round::Nil, leader)), b""),
        ("good header with its body", verdict(&proposal(0, Round::Nil, leader).message, true), b"the body"),
        ("bad header", verdict(&proposal(4, Round::new(3), next).message, false), b""),
        ("propose timeout", timeout(TimeoutKind::Propose, 0), b""),
        ("prevote timeout", timeout(TimeoutKind::Prevote, 1), b""),
        ("precommit timeout", timeout(TimeoutKind::Precommit, 2), b""),
        ("polka", Input::PolkaCertificate(polka(&[1, 2])), b""),
    ];
    assert_eq!(golden.len(), entries.len());
    for (section, input, body) in entries {
        let bytes = [&wire::write_logged(&input).expect("it survives a crash"), body].concat();
        assert_eq!(bytes, golden[section], "[{section}]");
        let mut reader = Reader::new("log entry", &bytes);
        let read = wire::read_logged(&mut reader).expect("just written");
        assert_eq!((wire::write_logged(&read), reader.rest()), (wire::write_logged(&input), body), "[{section}]");
    }
}

#[test]
fn a_decision_has_its_golden_bytes_and_proves_its_header() {
    let bytes = &golden(include_str!("../tests/golden/decision.hex"))["decision"];
    let decision = Decision::decode(bytes).expect("pinned");
    assert_eq!(decision.encode(), *bytes);
    let servers = ServerSet::new(by_number().iter().map(|secret| (secret.public(), 1))).expect("three servers");
    let header = header();
    assert!(decision.proves(&header, &servers, Rule::Majority));
    assert!(!decision.proves(&header, &servers, Rule::TwoThirds), "two of three are not more than two thirds");
    assert!(!decision.proves(&Header { height: Height(2), ..header }, &servers, Rule::Majority));
}

#[test]
fn a_guard_has_its_golden_bytes() {
    let bytes = &golden(include_str!("../tests/golden/guard.hex"))["guard"];
    let guard = Guard { vote_from: Height(77), sign_from: Epoch(9), signed_to: Epoch(5), hears_all: true };
    assert_eq!((guard.encode(), Guard::decode(bytes)), (bytes.clone(), Ok(guard)));
}

// There and back, every field free.

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn key() -> impl Strategy<Value = ServerKey> {
    any::<[u8; 32]>().prop_map(ServerKey)
}

fn signature() -> impl Strategy<Value = Signature> {
    vec(any::<u8>(), 64).prop_map(|bytes| Signature(bytes.try_into().expect("64 bytes")))
}

fn any_kind() -> impl Strategy<Value = VoteType> {
    prop_oneof![Just(VoteType::Prevote), Just(VoteType::Precommit)]
}

fn any_value() -> impl Strategy<Value = NilOrVal<Hash>> {
    prop_oneof![Just(NilOrVal::Nil), hash().prop_map(NilOrVal::Val)]
}

fn any_vote() -> impl Strategy<Value = SignedVote> {
    (any_kind(), any::<u64>(), any::<u32>(), any_value(), key(), signature()).prop_map(
        |(kind, height, round, value, key, signature)| {
            let (height, round) = (context::Height(height), Round::new(round));
            SignedMessage::new(Vote { kind, height, round, value, address: Address(key) }, signature)
        },
    )
}

fn any_proposal() -> impl Strategy<Value = SignedProposal> {
    let polka = prop_oneof![Just(Round::Nil), any::<u32>().prop_map(Round::new)];
    (any::<u64>(), any::<u32>(), polka, key(), hash(), signature()).prop_map(
        |(height, round, pol_round, key, digest, signature)| {
            let header = Header { height: Height(height), body_digest: digest, ..header() };
            let proposal = Proposal {
                height: context::Height(height),
                round: Round::new(round),
                pol_round,
                address: Address(key),
                value: Value(header),
            };
            SignedMessage::new(proposal, signature)
        },
    )
}

fn any_polka() -> impl Strategy<Value = Polka> {
    (any::<u64>(), any::<u32>(), hash(), vec((key(), signature()), 0..14)).prop_map(
        |(height, round, value_id, signatures)| {
            let signatures =
                signatures.into_iter().map(|(key, signature)| PolkaSignature::new(Address(key), signature));
            Polka {
                height: context::Height(height),
                round: Round::new(round),
                value_id,
                polka_signatures: signatures.collect(),
            }
        },
    )
}

fn any_rounds() -> impl Strategy<Value = Rounds> {
    let kind = prop_oneof![Just(RoundCertificateType::Skip), Just(RoundCertificateType::Precommit)];
    (any::<u64>(), any::<u32>(), kind, vec((any_kind(), any_value(), key(), signature()), 0..14)).prop_map(
        |(height, round, cert_type, votes)| {
            let sign = |(kind, value, key, signature)| RoundSignature::new(kind, value, Address(key), signature);
            let round_signatures = votes.into_iter().map(sign).collect();
            Rounds { height: context::Height(height), round: Round::new(round), cert_type, round_signatures }
        },
    )
}

fn any_message() -> impl Strategy<Value = Message> {
    let status = (any::<u64>(), any::<u64>(), vec(any_vote(), 0..14));
    let status =
        status.prop_map(|(height, epoch, votes)| Status { height: Height(height), epoch: Epoch(epoch), votes });
    let checkpoint = (key(), any::<u64>(), hash(), signature());
    let checkpoint = checkpoint.prop_map(|(key, epoch, root, signature)| {
        let checkpoint = Checkpoint { epoch: Epoch(epoch), root, ..certificate().checkpoint };
        SignedCheckpoint { key, checkpoint, signature }
    });
    let signed = vec((key(), hash()), 0..40);
    let uncertified = (any::<u64>(), hash(), any::<u64>(), signed);
    let uncertified = uncertified.prop_map(|(epoch, closing_header, sign_from, signed)| Uncertified {
        epoch: Epoch(epoch),
        closing_header,
        sign_from: Epoch(sign_from),
        signed,
    });
    let said = prop_oneof![
        any_vote().prop_map(Said::Vote),
        any_proposal().prop_map(|proposal| Said::Proposal(Box::new(proposal))),
        any_polka().prop_map(Said::Polka),
        any_rounds().prop_map(Said::Rounds),
        status.prop_map(Said::Status),
        checkpoint.prop_map(|signed| Said::Checkpoint(Box::new(signed))),
        uncertified.prop_map(|uncertified| Said::Uncertified(Box::new(uncertified))),
    ];
    said.prop_map(Message)
}

fn any_entry() -> impl Strategy<Value = EngineInput> {
    let step = prop_oneof![Just(TimeoutKind::Propose), Just(TimeoutKind::Prevote), Just(TimeoutKind::Precommit)];
    prop_oneof![
        any_vote().prop_map(Input::Vote),
        any_proposal().prop_map(Input::Proposal),
        (any_proposal(), any::<bool>()).prop_map(|(proposal, is_valid)| verdict(&proposal.message, is_valid)),
        any_polka().prop_map(Input::PolkaCertificate),
        (step, any::<u32>()).prop_map(|(kind, round)| Input::TimeoutElapsed(Timeout::new(Round::new(round), kind))),
    ]
}

proptest! {
    #[test]
    fn a_message_is_read_back(message in any_message()) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn an_entry_of_the_log_is_read_back(entry in any_entry()) {
        let bytes = wire::write_logged(&entry).expect("it survives a crash");
        let mut reader = Reader::new("log entry", &bytes);
        let read = wire::read_logged(&mut reader).expect("just written");
        assert_eq!((wire::write_logged(&read), reader.left()), (Some(bytes), 0));
    }

    #[test]
    fn a_decision_is_read_back(round: u32, signatures in vec(signature(), 0..14)) {
        let bytes = signatures.iter().enumerate().fold(round.to_be_bytes().to_vec(), |mut bytes, (number, signature)| {
            if number == 0 {
                bytes.push(u8::try_from(signatures.len()).expect("few"));
            }
            let one = NumberedSignature { number: u8::try_from(number).expect("few"), signature: *signature };
            bytes.push(one.number);
            bytes.extend_from_slice(&one.signature.0);
            bytes
        });
        match Decision::decode(&bytes) {
            Ok(decision) => assert_eq!(decision.encode(), bytes),
            Err(_) => assert!(signatures.is_empty() || signatures.len() > 13),
        }
    }

    #[test]
    fn a_guard_is_read_back(vote_from: u64, sign_from: u64, signed_to: u64, hears_all: bool) {
        let (vote_from, sign_from, signed_to) = (Height(vote_from), Epoch(sign_from), Epoch(signed_to));
        let guard = Guard { vote_from, sign_from, signed_to, hears_all };
        assert_eq!(Guard::decode(&guard.encode()), Ok(guard));
    }

    #[test]
    fn junk_is_an_error_and_never_a_panic(kind in 0..9_u8, junk in vec(any::<u8>(), 0..700)) {
        let framed = [&[1, kind][..], &junk].concat();
        for bytes in [&junk, &framed, &framed[1..].to_vec()] {
            if let Ok(message) = Message::decode(bytes) {
                assert_eq!(message.encode(), *bytes, "one encoding");
            }
            if let Ok(decision) = Decision::decode(bytes) {
                assert_eq!(decision.encode(), *bytes, "one encoding");
            }
            let mut reader = Reader::new("log entry", bytes);
            if let Ok(entry) = wire::read_logged(&mut reader) {
                let written = wire::write_logged(&entry).expect("only such are read");
                assert_eq!([&written, reader.rest()].concat(), *bytes, "one encoding");
            }
            drop(Guard::decode(bytes));
        }
    }

    #[test]
    fn a_message_cut_short_is_an_error(message in any_message(), left in any::<u16>()) {
        let bytes = message.encode();
        assert!(Message::decode(&bytes[..usize::from(left) % bytes.len()]).is_err());
        assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err(), "a byte too many");
    }
}
