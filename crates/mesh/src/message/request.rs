//! Requests: what one peer asks another directly.
use seedbank_types::{
    AccountId, DecodeError, Epoch, Hash, Height, PaymentId, Reader, SIGNED_PAYMENT_BYTES_MAX, SignedOrder,
    SignedPayment, Stamp,
};

use super::{TooLarge, at_most, count_u16, read_count, read_long, read_option, start, write_long, write_option};

/// Most payments in one [`Request::SubmitPayments`].
pub const SUBMIT_PAYMENTS_MAX: usize = 500;
/// Most batches in one answer to [`Request::Batches`].
pub const BATCHES_MAX: u16 = 1024;
/// Longest request.
pub const REQUEST_BYTES_MAX: usize = 4 + SUBMIT_PAYMENTS_MAX * (8 + SIGNED_PAYMENT_BYTES_MAX);

/// Longest order: 13 servers, signed by as many.
const ORDER_BYTES_MAX: usize = 2 << 10;
const WHAT: &str = "request";

/// A question to one peer. Its answer is the [`Response`](super::Response) of the same name, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The genesis of the community.
    Genesis,
    /// Order these payments: at most [`SUBMIT_PAYMENTS_MAX`].
    SubmitPayments(Vec<SignedPayment>),
    /// How far a payment has come.
    PaymentState(PaymentId),
    /// The record of an account with its proof.
    AccountWithProof(AccountId),
    /// The sequence that the next payment of an account must carry, waiting ones counted.
    NextSequence(AccountId),
    /// Decided batches in order of height.
    Batches {
        /// The first height.
        from: Height,
        /// How many at most, and never more than [`BATCHES_MAX`].
        max: u16,
    },
    /// The body with this digest.
    Body {
        /// H(body).
        digest: Hash,
    },
    /// The certificate of an epoch; `None` for the newest.
    Checkpoint(Option<Epoch>),
    /// The handovers that lead on from a set of servers.
    Handovers {
        /// The hash of that set.
        from: Hash,
    },
    /// Proofs that servers signed twice.
    Evidence,
    /// Carry out this order of the servers.
    SubmitOrder(SignedOrder),
    /// Like [`Request::SubmitPayments`], each with the stamp that the servers ask for.
    SubmitStamped(Vec<(Stamp, SignedPayment)>),
}

impl Request {
    /// `version u8 ‖ kind u8 ‖ fields`.
    ///
    /// # Errors
    /// If there are too many payments.
    pub fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        let writer = start(self.kind());
        let writer = match self {
            Self::Genesis | Self::Evidence => writer,
            Self::SubmitPayments(payments) => {
                at_most("payments in one request", payments.len(), SUBMIT_PAYMENTS_MAX)?;
                let head = writer.u16(count_u16(payments.len()));
                payments.iter().fold(head, |writer, payment| writer.bytes(&payment.encode()))
            }
            Self::PaymentState(id) => writer.bytes(&id.0),
            Self::AccountWithProof(account) | Self::NextSequence(account) => writer.bytes(&account.0),
            Self::Batches { from, max } => writer.u64(from.0).u16(*max),
            Self::Body { digest } => writer.bytes(&digest.0),
            Self::Checkpoint(epoch) => write_option(writer, epoch.as_ref(), |writer, epoch| writer.u64(epoch.0)),
            Self::Handovers { from } => writer.bytes(&from.0),
            Self::SubmitOrder(order) => write_long(writer, &order.encode()),
            Self::SubmitStamped(payments) => {
                at_most("payments in one request", payments.len(), SUBMIT_PAYMENTS_MAX)?;
                let head = writer.u16(count_u16(payments.len()));
                payments.iter().fold(head, |writer, (stamp, one)| writer.u64(stamp.0).bytes(&one.encode()))
            }
        };
        Ok(writer.finish())
    }

    /// Reads what [`Request::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are no request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.version()?;
        let request = match reader.u8("kind")? {
            1 => Self::Genesis,
            2 => {
                let count = read_count(&mut reader, "number of payments", SUBMIT_PAYMENTS_MAX)?;
                let payments = (0..count).map(|_| SignedPayment::read(&mut reader)).collect::<Result<_, _>>()?;
                Self::SubmitPayments(payments)
            }
            3 => Self::PaymentState(PaymentId(reader.array("payment id")?)),
            4 => Self::AccountWithProof(AccountId(reader.array("account")?)),
            5 => Self::NextSequence(AccountId(reader.array("account")?)),
            6 => Self::Batches { from: Height(reader.u64("first height")?), max: reader.u16("most batches")? },
            7 => Self::Body { digest: Hash(reader.array("body digest")?) },
            8 => Self::Checkpoint(read_option(&mut reader, "epoch", |reader| reader.u64("epoch").map(Epoch))?),
            9 => Self::Handovers { from: Hash(reader.array("servers hash")?) },
            10 => Self::Evidence,
            11 => Self::SubmitOrder(SignedOrder::decode(&read_long(&mut reader, "order", ORDER_BYTES_MAX)?)?),
            13 => {
                let count = read_count(&mut reader, "number of payments", SUBMIT_PAYMENTS_MAX)?;
                let payments = (0..count).map(|_| Ok((Stamp(reader.u64("stamp")?), SignedPayment::read(&mut reader)?)));
                Self::SubmitStamped(payments.collect::<Result<_, _>>()?)
            }
            other => return Err(reader.error("kind", format!("no request has kind {other}"))),
        };
        reader.finish()?;
        Ok(request)
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Genesis => 1,
            Self::SubmitPayments(_) => 2,
            Self::PaymentState(_) => 3,
            Self::AccountWithProof(_) => 4,
            Self::NextSequence(_) => 5,
            Self::Batches { .. } => 6,
            Self::Body { .. } => 7,
            Self::Checkpoint(_) => 8,
            Self::Handovers { .. } => 9,
            Self::Evidence => 10,
            Self::SubmitOrder(_) => 11,
            Self::SubmitStamped(_) => 13,
        }
    }
}
