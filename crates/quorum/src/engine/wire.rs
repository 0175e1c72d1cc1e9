//! Votes, proposals and the engine's certificates as bytes: signed, sent and logged.
use malachitebft_core_consensus::{ConsensusMsg, Input, ProposedValue};
use malachitebft_core_types::{
    NilOrVal, PolkaSignature, Round, RoundCertificateType, RoundSignature, SignedMessage, Timeout, TimeoutKind,
    Validity, ValueOrigin, VoteType,
};
use seedbank_types::{CommunityId, DecodeError, Hash, Header, Reader, ServerKey, Signature, Writer};

use super::context::{Address, Context, Height, Proposal, Value, Vote};
use super::{EngineInput, Polka, Rounds, SignedProposal, SignedVote};

/// More signatures than servers are never read.
const SIGNATURES_MAX: u8 = 64;

/// What a server signs with a vote: `"seedbank/vote/1" ‖ community ‖ vote`.
pub(crate) fn vote_bytes(community: &CommunityId, vote: &Vote) -> Vec<u8> {
    write_vote(Writer::default().bytes(b"seedbank/vote/1").bytes(&community.0), vote).finish()
}

/// What a server signs with a proposal: `"seedbank/proposal/1" ‖ community ‖ proposal`.
pub(crate) fn proposal_bytes(community: &CommunityId, proposal: &Proposal) -> Vec<u8> {
    write_proposal(Writer::default().bytes(b"seedbank/proposal/1").bytes(&community.0), proposal).finish()
}

pub(crate) fn message_bytes(community: &CommunityId, message: &ConsensusMsg<Context>) -> Vec<u8> {
    match message {
        ConsensusMsg::Vote(vote) => vote_bytes(community, vote),
        ConsensusMsg::Proposal(proposal) => proposal_bytes(community, proposal),
    }
}

/// `kind u8 (1 prevote, 2 precommit) ‖ height u64 ‖ round u32 ‖ nil u8 (0 nil, 1 a header) ‖ header hash 32 if not nil ‖ key 32`.
fn write_vote(writer: Writer, vote: &Vote) -> Writer {
    let writer = writer.u8(kind_byte(vote.kind)).u64(vote.height.0).u32(round_u32(vote.round));
    write_id(writer, &vote.value).bytes(&vote.address.0.0)
}

fn read_vote(reader: &mut Reader<'_>) -> Result<Vote, DecodeError> {
    Ok(Vote {
        kind: read_kind(reader)?,
        height: Height(reader.u64("height")?),
        round: Round::new(reader.u32("round")?),
        value: read_id(reader)?,
        address: Address(ServerKey(reader.array("key")?)),
    })
}

/// `height u64 ‖ round u32 ‖ polka round u8 (0 none, 1 some) ‖ u32 if some ‖ key 32 ‖ header 285`.
fn write_proposal(writer: Writer, proposal: &Proposal) -> Writer {
    let writer = writer.u64(proposal.height.0).u32(round_u32(proposal.round));
    let writer = match proposal.pol_round.as_u32() {
        None => writer.u8(0),
        Some(round) => writer.u8(1).u32(round),
    };
    writer.bytes(&proposal.address.0.0).bytes(&proposal.value.0.encode())
}

fn read_proposal(reader: &mut Reader<'_>) -> Result<Proposal, DecodeError> {
    let proposal = Proposal {
        height: Height(reader.u64("height")?),
        round: Round::new(reader.u32("round")?),
        pol_round: read_optional_round(reader)?,
        address: Address(ServerKey(reader.array("key")?)),
        value: Value(Header::read(reader)?),
    };
    if proposal.value.0.height.0 != proposal.height.0 {
        return Err(reader.error("header", "its height is not that of the proposal"));
    }
    Ok(proposal)
}

fn read_optional_round(reader: &mut Reader<'_>) -> Result<Round, DecodeError> {
    match reader.u8("polka round")? {
        0 => Ok(Round::Nil),
        1 => reader.u32("polka round").map(Round::new),
        other => Err(reader.error("polka round", format!("flag is {other}"))),
    }
}

pub(crate) fn write_signed_vote(writer: Writer, vote: &SignedVote) -> Writer {
    write_vote(writer, &vote.message).bytes(&vote.signature.0)
}

pub(crate) fn read_signed_vote(reader: &mut Reader<'_>) -> Result<SignedVote, DecodeError> {
    Ok(SignedMessage::new(read_vote(reader)?, Signature(reader.array("signature")?)))
}

pub(crate) fn write_signed_proposal(writer: Writer, proposal: &SignedProposal) -> Writer {
    write_proposal(writer, &proposal.message).bytes(&proposal.signature.0)
}

pub(crate) fn read_signed_proposal(reader: &mut Reader<'_>) -> Result<SignedProposal, DecodeError> {
    Ok(SignedMessage::new(read_proposal(reader)?, Signature(reader.array("signature")?)))
}

/// `height u64 ‖ round u32 ‖ header hash 32 ‖ n u8 ‖ n x (key 32 ‖ signature 64)`.
pub(crate) fn write_polka(writer: Writer, polka: &Polka) -> Writer {
    let writer = writer.u64(polka.height.0).u32(round_u32(polka.round)).bytes(&polka.value_id.0);
    let writer = writer.u8(signature_count(polka.polka_signatures.len()));
    polka.polka_signatures.iter().fold(writer, |writer, one| writer.bytes(&one.address.0.0).bytes(&one.signature.0))
}

pub(crate) fn read_polka(reader: &mut Reader<'_>) -> Result<Polka, DecodeError> {
    let (height, round) = (Height(reader.u64("height")?), Round::new(reader.u32("round")?));
    let value_id = Hash(reader.array("header hash")?);
    let count = read_count(reader)?;
    let polka_signatures = (0..count)
        .map(|_| {
            let address = Address(ServerKey(reader.array("key")?));
            Ok(PolkaSignature::new(address, Signature(reader.array("signature")?)))
        })
        .collect::<Result<_, DecodeError>>()?;
    Ok(Polka { height, round, value_id, polka_signatures })
}

/// `height u64 ‖ round u32 ‖ kind u8 (1 skip, 2 precommit) ‖ n u8 ‖ n x (vote kind u8 ‖ nil u8 ‖ hash if not nil ‖ key 32 ‖ signature 64)`.
pub(crate) fn write_rounds(writer: Writer, rounds: &Rounds) -> Writer {
    let kind = match rounds.cert_type {
        RoundCertificateType::Skip => 1,
        RoundCertificateType::Precommit => 2,
    };
    let writer = writer.u64(rounds.height.0).u32(round_u32(rounds.round)).u8(kind);
    let writer = writer.u8(signature_count(rounds.round_signatures.len()));
    rounds.round_signatures.iter().fold(writer, |writer, one| {
        write_id(writer.u8(kind_byte(one.vote_type)), &one.value_id).bytes(&one.address.0.0).bytes(&one.signature.0)
    })
}

pub(crate) fn read_rounds(reader: &mut Reader<'_>) -> Result<Rounds, DecodeError> {
    let (height, round) = (Height(reader.u64("height")?), Round::new(reader.u32("round")?));
    let cert_type = match reader.u8("kind of round certificate")? {
        1 => RoundCertificateType::Skip,
        2 => RoundCertificateType::Precommit,
        other => return Err(reader.error("kind of round certificate", format!("is {other}"))),
    };
    let count = read_count(reader)?;
    let round_signatures = (0..count)
        .map(|_| {
            let (kind, id) = (read_kind(reader)?, read_id(reader)?);
            let address = Address(ServerKey(reader.array("key")?));
            Ok(RoundSignature::new(kind, id, address, Signature(reader.array("signature")?)))
        })
        .collect::<Result<_, DecodeError>>()?;
    Ok(Rounds { height, round, cert_type, round_signatures })
}

/// An input as it stands in the log: `kind u8 (1 vote, 2 proposal, 3 verdict, 4 timeout, 5 polka) ‖ fields`.
/// `None` for inputs that need not survive a crash.
pub(crate) fn write_logged(input: &EngineInput) -> Option<Vec<u8>> {
    let writer = Writer::default();
    Some(match input {
        Input::Vote(vote) => write_signed_vote(writer.u8(1), vote).finish(),
        Input::Proposal(proposal) => write_signed_proposal(writer.u8(2), proposal).finish(),
        Input::ProposedValue(value, _) => {
            let proposal = Proposal {
                height: value.height,
                round: value.round,
                pol_round: value.valid_round,
                address: value.proposer,
                value: value.value.clone(),
            };
            write_proposal(writer.u8(3).u8(u8::from(value.validity.is_valid())), &proposal).finish()
        }
        Input::TimeoutElapsed(timeout) => {
            let step = match timeout.kind {
                TimeoutKind::Propose => 1,
                TimeoutKind::Prevote => 2,
                TimeoutKind::Precommit => 3,
                TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
            };
            writer.u8(4).u8(step).u32(round_u32(timeout.round)).finish()
        }
        Input::PolkaCertificate(polka) => write_polka(writer.u8(5), polka).finish(),
        Input::StartHeight(..) | Input::RoundCertificate(_) | Input::Propose(_) | Input::SyncValueResponse(_) => {
            return None;
        }
    })
}

/// Reads what [`write_logged`] wrote.
pub(crate) fn read_logged(reader: &mut Reader<'_>) -> Result<EngineInput, DecodeError> {
    Ok(match reader.u8("kind of log entry")? {
        1 => Input::Vote(read_signed_vote(reader)?),
        2 => Input::Proposal(read_signed_proposal(reader)?),
        3 => {
            let validity = match reader.u8("verdict")? {
                0 => Validity::Invalid,
                1 => Validity::Valid,
                other => return Err(reader.error("verdict", format!("is {other}"))),
            };
            let proposal = read_proposal(reader)?;
            let value = ProposedValue {
                height: proposal.height,
                round: proposal.round,
                valid_round: proposal.pol_round,
                proposer: proposal.address,
                value: proposal.value,
                validity,
            };
            Input::ProposedValue(value, ValueOrigin::Consensus)
        }
        4 => {
            let kind = match reader.u8("step")? {
                1 => TimeoutKind::Propose,
                2 => TimeoutKind::Prevote,
                3 => TimeoutKind::Precommit,
                other => return Err(reader.error("step", format!("no step has number {other}"))),
            };
            Input::TimeoutElapsed(Timeout::new(Round::new(reader.u32("round")?), kind))
        }
        5 => Input::PolkaCertificate(read_polka(reader)?),
        other => return Err(reader.error("kind of log entry", format!("no entry has kind {other}"))),
    })
}

fn kind_byte(kind: VoteType) -> u8 {
    match kind {
        VoteType::Prevote => 1,
        VoteType::Precommit => 2,
    }
}

fn read_kind(reader: &mut Reader<'_>) -> Result<VoteType, DecodeError> {
    match reader.u8("kind of vote")? {
        1 => Ok(VoteType::Prevote),
        2 => Ok(VoteType::Precommit),
        other => Err(reader.error("kind of vote", format!("no vote has kind {other}"))),
    }
}

fn write_id(writer: Writer, id: &NilOrVal<Hash>) -> Writer {
    match id {
        NilOrVal::Nil => writer.u8(0),
        NilOrVal::Val(hash) => writer.u8(1).bytes(&hash.0),
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<NilOrVal<Hash>, DecodeError> {
    match reader.u8("nil")? {
        0 => Ok(NilOrVal::Nil),
        1 => Ok(NilOrVal::Val(Hash(reader.array("header hash")?))),
        other => Err(reader.error("nil", format!("flag is {other}"))),
    }
}

fn round_u32(round: Round) -> u32 {
    round.as_u32().expect("messages are made and read with a round only")
}

fn signature_count(count: usize) -> u8 {
    u8::try_from(count).expect("a certificate has at most two votes of each of 13 servers")
}

fn read_count(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.u8("number of signatures")? {
        count if count <= SIGNATURES_MAX => Ok(count),
        count => Err(reader.error("number of signatures", format!("{count}, at most {SIGNATURES_MAX}"))),
    }
}
