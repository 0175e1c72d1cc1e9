//! Responses: the answers to [`Request`](super::Request)s.
use seedbank_types::{
    AccountRecord, BODY_BYTES_MAX, Certificate, DecodeError, Epoch, Evidence, HEADER_BYTES, Handover, Header, Height,
    PaymentState, Reader, Writer,
};

use super::request::{BATCHES_MAX, SUBMIT_PAYMENTS_MAX};
use super::{TooLarge, at_most, count_u16, read_count, read_long, read_option, start, write_long, write_option};

/// Bytes of batches in one answer; a single batch may be longer.
pub const BATCHES_BYTES_MAX: usize = 4 << 20;
/// Longest proof that a batch was decided.
pub const DECISION_BYTES_MAX: usize = 32 << 10;
/// Most handovers in one answer.
pub const HANDOVERS_MAX: usize = 256;
/// Most pieces of evidence in one answer.
pub const EVIDENCE_MAX: usize = 256;
/// Longest response: one longest body, its header and decision, and the fields around them.
pub const RESPONSE_BYTES_MAX: usize = BODY_BYTES_MAX + DECISION_BYTES_MAX + HEADER_BYTES + 64;

const WHAT: &str = "response";
const GENESIS_BYTES_MAX: usize = 64 << 10;
const PROOF_BYTES_MAX: usize = 64 << 10;
const HANDOVER_BYTES_MAX: usize = 4 << 10;
const EVIDENCE_BYTES: usize = 676;
const BATCH_FIELDS_BYTES: usize = HEADER_BYTES + 8;

/// A batch as its quorum decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedBatch {
    /// The header that was agreed on.
    pub header: Header,
    /// The body; its hash is the header's body digest.
    pub body: Vec<u8>,
    /// The quorum's proof that it was decided, at most [`DECISION_BYTES_MAX`]; opaque here.
    pub decision: Vec<u8>,
}

impl DecidedBatch {
    fn size_bytes(&self) -> usize {
        BATCH_FIELDS_BYTES + self.body.len() + self.decision.len()
    }

    fn check(&self) -> Result<(), TooLarge> {
        at_most("body", self.body.len(), BODY_BYTES_MAX)?;
        at_most("decision", self.decision.len(), DECISION_BYTES_MAX)
    }

    fn write(&self, writer: Writer) -> Writer {
        write_long(write_long(writer.bytes(&self.header.encode()), &self.body), &self.decision)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Header::read(reader)?,
            body: read_long(reader, "body", BODY_BYTES_MAX)?,
            decision: read_long(reader, "decision", DECISION_BYTES_MAX)?,
        })
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// No room for more work at the moment.
    #[error("the peer is busy; try again in a moment or ask another")]
    Busy,
    /// The peer that asks is over its rate.
    #[error("too many requests to this peer; ask more slowly")]
    TooMany,
    /// The peer does not have it.
    #[error("the peer does not have it; ask another")]
    NotHere,
    /// The request was not one.
    #[error("the peer could not read the request; both must run versions that know it")]
    Malformed,
    /// The answer would exceed [`RESPONSE_BYTES_MAX`].
    #[error("the answer would be too large for one response; ask for less")]
    TooLarge,
    /// It takes no more payments from the address that asks at the moment.
    #[error("the peer takes no more payments from this address for now; try again in {ms} ms")]
    Later {
        /// When to try again, in milliseconds.
        ms: u32,
    },
}

impl RequestRefusal {
    fn write(self, writer: Writer) -> Writer {
        let writer = writer.u8(self.byte());
        if let Self::Later { ms } = self { writer.u32(ms) } else { writer }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Busy => 1,
            Self::TooMany => 2,
            Self::NotHere => 3,
            Self::Malformed => 4,
            Self::TooLarge => 5,
            Self::Later { .. } => 6,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("refusal")? {
            1 => Ok(Self::Busy),
            2 => Ok(Self::TooMany),
            3 => Ok(Self::NotHere),
            4 => Ok(Self::Malformed),
            5 => Ok(Self::TooLarge),
            6 => Ok(Self::Later { ms: reader.u32("time to wait")? }),
            other => Err(reader.error("refusal", format!("no refusal has number {other}"))),
        }
    }
}

/// The answer to a request.
#[expect(clippy::large_enum_variant, reason = "a certificate is 288 bytes; answers are never kept in numbers")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Not answered, and why.
    Refused(RequestRefusal),
    /// The genesis' bytes.
    Genesis(Vec<u8>),
    /// One state for each payment, in the order of the request.
    Submitted(Vec<PaymentState>),
    /// How far the payment has come.
    PaymentState(PaymentState),
    /// What the peer knows about the account.
    Account {
        /// The proof's bytes, if there is one for the epoch.
        proof: Option<Vec<u8>>,
        /// The record; `None` if there is no such account.
        record: Option<AccountRecord>,
        /// The certified epoch in which it was so.
        epoch: Epoch,
    },
    /// The next sequence of the account.
    NextSequence {
        /// As the next payment must carry it.
        sequence: u64,
    },
    /// Batches in order of height; see [`Response::batches`].
    Batches(Vec<DecidedBatch>),
    /// The body's bytes, or `None` if the peer does not have it.
    Body(Option<Vec<u8>>),
    /// The certificate, or `None` if the peer does not have it.
    Checkpoint(Option<Certificate>),
    /// Handovers, the next one first.
    Handovers(Vec<Handover>),
    /// Evidence, at most [`EVIDENCE_MAX`] pieces; to be verified by whoever asked.
    Evidence(Vec<Evidence>),
    /// How far the order has come.
    OrderState(PaymentState),
    /// The peer keeps no batches of lower heights any more: a certified state leads further.
    Pruned {
        /// The lowest height that it has.
        lowest: Height,
    },
}

impl Response {
    /// As many of `batches` as fit one response, but the first in any case.
    #[must_use]
    pub fn batches(batches: impl IntoIterator<Item = DecidedBatch>) -> Self {
        let (mut taken, mut size_bytes) = (Vec::new(), 0);
        for batch in batches.into_iter().take(usize::from(BATCHES_MAX)) {
            size_bytes += batch.size_bytes();
            if !taken.is_empty() && size_bytes > BATCHES_BYTES_MAX {
                break;
            }
            taken.push(batch);
        }
        Self::Batches(taken)
    }

    /// `version u8 ‖ kind u8 ‖ fields`.
    ///
    /// # Errors
    /// If anything in it exceeds its maximum.
    pub fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        let bytes = self.write(start(self.kind()))?.finish();
        at_most(WHAT, bytes.len(), RESPONSE_BYTES_MAX)?;
        Ok(bytes)
    }

    fn write(&self, writer: Writer) -> Result<Writer, TooLarge> {
        Ok(match self {
            Self::Refused(refusal) => refusal.write(writer),
            Self::Genesis(bytes) => {
                at_most("genesis", bytes.len(), GENESIS_BYTES_MAX)?;
                write_long(writer, bytes)
            }
            Self::Submitted(states) => {
                at_most("payment states in one response", states.len(), SUBMIT_PAYMENTS_MAX)?;
                let head = writer.u16(count_u16(states.len()));
                states.iter().fold(head, |writer, state| writer.bytes(&state.encode()))
            }
            Self::PaymentState(state) | Self::OrderState(state) => writer.bytes(&state.encode()),
            Self::Account { proof, record, epoch } => {
                at_most("proof", proof.as_ref().map_or(0, Vec::len), PROOF_BYTES_MAX)?;
                let writer = writer.u64(epoch.0);
                let writer = write_option(writer, record.as_ref(), |writer, record| writer.bytes(&record.encode()));
                write_option(writer, proof.as_ref(), |writer, proof| write_long(writer, proof))
            }
            Self::NextSequence { sequence } => writer.u64(*sequence),
            Self::Pruned { lowest } => writer.u64(lowest.0),
            Self::Batches(batches) => write_batches(writer, batches)?,
            Self::Body(body) => {
                at_most("body", body.as_ref().map_or(0, Vec::len), BODY_BYTES_MAX)?;
                write_option(writer, body.as_ref(), |writer, body| write_long(writer, body))
            }
            Self::Checkpoint(certificate) => {
                write_option(writer, certificate.as_ref(), |writer, one| writer.bytes(&one.encode()))
            }
            Self::Handovers(handovers) => write_handovers(writer, handovers)?,
            Self::Evidence(evidence) => {
                at_most("pieces of evidence in one response", evidence.len(), EVIDENCE_MAX)?;
                let head = writer.u16(count_u16(evidence.len()));
                evidence.iter().fold(head, |writer, one| writer.bytes(&one.encode()))
            }
        })
    }

    /// Reads what [`Response::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are no response.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        if bytes.len() > RESPONSE_BYTES_MAX {
            return Err(reader.error("length", format!("{} bytes, at most {RESPONSE_BYTES_MAX}", bytes.len())));
        }
        reader.version()?;
        let response = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(response)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8("kind")? {
            0 => Self::Refused(RequestRefusal::read(reader)?),
            1 => Self::Genesis(read_long(reader, "genesis", GENESIS_BYTES_MAX)?),
            2 => {
                let count = read_count(reader, "number of states", SUBMIT_PAYMENTS_MAX)?;
                Self::Submitted((0..count).map(|_| PaymentState::read(reader)).collect::<Result<_, _>>()?)
            }
            3 => Self::PaymentState(PaymentState::read(reader)?),
            4 => Self::Account {
                epoch: Epoch(reader.u64("epoch")?),
                record: read_option(reader, "record", AccountRecord::read)?,
                proof: read_option(reader, "proof", |reader| read_long(reader, "proof", PROOF_BYTES_MAX))?,
            },
            5 => Self::NextSequence { sequence: reader.u64("sequence")? },
            6 => {
                let count = read_count(reader, "number of batches", usize::from(BATCHES_MAX))?;
                Self::Batches((0..count).map(|_| DecidedBatch::read(reader)).collect::<Result<_, _>>()?)
            }
            7 => Self::Body(read_option(reader, "body", |reader| read_long(reader, "body", BODY_BYTES_MAX))?),
            8 => Self::Checkpoint(read_option(reader, "certificate", Certificate::read)?),
            9 => {
                let count = read_count(reader, "number of handovers", HANDOVERS_MAX)?;
                Self::Handovers((0..count).map(|_| read_handover(reader)).collect::<Result<_, _>>()?)
            }
            10 => {
                let count = read_count(reader, "number of pieces of evidence", EVIDENCE_MAX)?;
                Self::Evidence((0..count).map(|_| read_evidence(reader)).collect::<Result<_, _>>()?)
            }
            11 => Self::OrderState(PaymentState::read(reader)?),
            12 => Self::Pruned { lowest: Height(reader.u64("lowest height")?) },
            other => return Err(reader.error("kind", format!("no response has kind {other}"))),
        })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Refused(_) => 0,
            Self::Genesis(_) => 1,
            Self::Submitted(_) => 2,
            Self::PaymentState(_) => 3,
            Self::Account { .. } => 4,
            Self::NextSequence { .. } => 5,
            Self::Batches(_) => 6,
            Self::Body(_) => 7,
            Self::Checkpoint(_) => 8,
            Self::Handovers(_) => 9,
            Self::Evidence(_) => 10,
            Self::OrderState(_) => 11,
            Self::Pruned { .. } => 12,
        }
    }
}

fn write_batches(writer: Writer, batches: &[DecidedBatch]) -> Result<Writer, TooLarge> {
    at_most("batches in one response", batches.len(), usize::from(BATCHES_MAX))?;
    batches.iter().try_for_each(DecidedBatch::check)?;
    at_most(WHAT, batches.iter().map(DecidedBatch::size_bytes).sum(), RESPONSE_BYTES_MAX)?;
    Ok(batches.iter().fold(writer.u16(count_u16(batches.len())), |writer, batch| batch.write(writer)))
}

fn write_handovers(writer: Writer, handovers: &[Handover]) -> Result<Writer, TooLarge> {
    at_most("handovers in one response", handovers.len(), HANDOVERS_MAX)?;
    let head = writer.u16(count_u16(handovers.len()));
    Ok(handovers.iter().fold(head, |writer, handover| write_long(writer, &handover.encode())))
}

fn read_handover(reader: &mut Reader<'_>) -> Result<Handover, DecodeError> {
    Handover::decode(&read_long(reader, "handover", HANDOVER_BYTES_MAX)?)
}

fn read_evidence(reader: &mut Reader<'_>) -> Result<Evidence, DecodeError> {
    Evidence::decode(reader.take("evidence", EVIDENCE_BYTES)?)
}

#[cfg(test)]
mod tests {
    use seedbank_types::{CommunityId, Hash, ServerKey, TimeMs};

    use super::*;

    fn batch(body_bytes: usize) -> DecidedBatch {
        let header = Header {
            community: CommunityId([1; 32]),
            height: Height(1),
            epoch: Epoch(1),
            time: TimeMs(1),
            proposer: ServerKey([2; 32]),
            previous: Hash::ZERO,
            previous_state: Hash::ZERO,
            payments_root: Hash::ZERO,
            body_digest: Hash::ZERO,
            body_length: 0,
            next_servers: Hash::ZERO,
            previous_checkpoint: Hash::ZERO,
        };
        DecidedBatch { header, body: vec![3; body_bytes], decision: vec![4; 100] }
    }

    #[test]
    fn batches_stop_before_4_mib_but_hold_at_least_one() {
        let count = |response| if let Response::Batches(batches) = response { batches.len() } else { 0 };
        assert_eq!(count(Response::batches([])), 0);
        assert_eq!(count(Response::batches(vec![batch(1 << 20); 9])), 3);
        assert_eq!(count(Response::batches(vec![batch(BODY_BYTES_MAX); 2])), 1);
        assert_eq!(count(Response::batches(vec![batch(0); 2000])), usize::from(BATCHES_MAX));
    }

    #[test]
    fn the_longest_body_and_decision_fit_one_response() {
        let mut longest = batch(BODY_BYTES_MAX);
        longest.decision = vec![5; DECISION_BYTES_MAX];
        let response = Response::Batches(vec![longest]);
        assert_eq!(Response::decode(&response.encode().expect("fits")), Ok(response));
    }

    #[test]
    fn what_exceeds_its_maximum_is_not_encoded() {
        assert!(Response::Batches(vec![batch(BODY_BYTES_MAX); 2]).encode().is_err());
        assert!(Response::Body(Some(vec![0; BODY_BYTES_MAX + 1])).encode().is_err());
        assert!(Response::Submitted(vec![PaymentState::Sent; SUBMIT_PAYMENTS_MAX + 1]).encode().is_err());
    }
}
