//! Bundles of payments: never one gossip message a payment, or signatures would cost more than
//! the payments themselves.
use std::time::{Duration, Instant};

use seedbank_types::{DecodeError, Reader, SignedPayment, Stamp};

use super::{TooLarge, at_most, count_u16, read_count, start};

/// Longest bundle.
pub const PAYMENT_BUNDLE_BYTES_MAX: usize = 64 << 10;
/// How long a payment waits for others at most.
pub const PAYMENT_BUNDLE_DELAY_MAX: Duration = Duration::from_millis(10);

const WHAT: &str = "payment bundle";
const KIND: u8 = 1;
const KIND_STAMPED: u8 = 2;
const HEAD_BYTES: usize = 4;
/// The shortest signed payment has 150 bytes, so no bundle holds more.
const PAYMENTS_MAX: usize = PAYMENT_BUNDLE_BYTES_MAX / 150;

/// Several signed payments in one message on the topic `payments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentBundle {
    /// At least one.
    pub payments: Vec<SignedPayment>,
    /// One for each payment, or none at all: then the author is a server, or no stamps are asked for.
    pub stamps: Vec<Stamp>,
}

impl PaymentBundle {
    /// `version u8 ‖ kind u8 = 1 ‖ count u16 ‖ count x payment`, or with stamps
    /// `version u8 ‖ kind u8 = 2 ‖ count u16 ‖ count x (stamp u64 ‖ payment)`.
    ///
    /// # Errors
    /// If there are more than fit 64 KiB.
    ///
    /// # Panics
    /// If there are stamps, but not one for each payment.
    pub fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        at_most(WHAT, self.payments.len(), PAYMENTS_MAX)?;
        let count = count_u16(self.payments.len());
        let bytes = if self.stamps.is_empty() {
            let head = start(KIND).u16(count);
            self.payments.iter().fold(head, |writer, one| writer.bytes(&one.encode())).finish()
        } else {
            assert_eq!(self.stamps.len(), self.payments.len(), "each payment has its stamp, or none has");
            let (head, pairs) = (start(KIND_STAMPED).u16(count), self.stamps.iter().zip(&self.payments));
            pairs.fold(head, |writer, (stamp, one)| writer.u64(stamp.0).bytes(&one.encode())).finish()
        };
        at_most(WHAT, bytes.len(), PAYMENT_BUNDLE_BYTES_MAX)?;
        Ok(bytes)
    }

    /// Reads what [`PaymentBundle::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are no bundle, or an empty one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.version()?;
        let kind = reader.u8("kind")?;
        if ![KIND, KIND_STAMPED].contains(&kind) || bytes.len() > PAYMENT_BUNDLE_BYTES_MAX {
            return Err(reader.error("kind", format!("kind {kind} of {} bytes is no bundle", bytes.len())));
        }
        let count = read_count(&mut reader, "number of payments", PAYMENTS_MAX)?;
        if count == 0 {
            return Err(reader.error("number of payments", "a bundle holds at least one"));
        }
        let (mut payments, mut stamps) = (Vec::new(), Vec::new());
        for _ in 0..count {
            if kind == KIND_STAMPED {
                stamps.push(Stamp(reader.u64("stamp")?));
            }
            payments.push(SignedPayment::read(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self { payments, stamps })
    }
}

/// Collects payments and gives a bundle when 64 KiB or 10 ms are reached. It has no clock: `now`
/// comes from outside.
#[derive(Debug, Default)]
pub struct Bundler {
    payments: Vec<SignedPayment>,
    size_bytes: usize,
    due: Option<Instant>,
}

impl Bundler {
    /// Starts empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a payment; gives the bundle before it, if it no longer fits that one.
    pub fn add(&mut self, now: Instant, payment: SignedPayment) -> Option<PaymentBundle> {
        let size = payment.encode().len();
        let full = HEAD_BYTES + self.size_bytes + size > PAYMENT_BUNDLE_BYTES_MAX;
        let before = if full { self.flush() } else { None };
        self.size_bytes += size;
        self.due.get_or_insert(now + PAYMENT_BUNDLE_DELAY_MAX);
        self.payments.push(payment);
        before
    }

    /// When [`Bundler::take_due`] will have something; `None` while it is empty.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The bundle, if its oldest payment has waited long enough.
    pub fn take_due(&mut self, now: Instant) -> Option<PaymentBundle> {
        if self.due.is_some_and(|due| due <= now) { self.flush() } else { None }
    }

    /// The bundle as it is, if there is any payment in it.
    pub fn flush(&mut self) -> Option<PaymentBundle> {
        let payments = std::mem::take(&mut self.payments);
        (self.size_bytes, self.due) = (0, None);
        (!payments.is_empty()).then_some(PaymentBundle { payments, stamps: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::{AccountId, Amount, Epoch, Payment};

    use super::*;

    fn payment(sequence: u64) -> SignedPayment {
        let payment = Payment {
            payer_key: [2; 33],
            payee: AccountId([1; 20]),
            amount: Amount(5),
            fee: Amount(1),
            sequence,
            expires: Epoch(9),
            memo: vec![],
        };
        SignedPayment { payment, signature: [7; 64] }
    }

    #[test]
    fn a_bundle_is_given_after_ten_milliseconds() {
        let (mut bundler, now) = (Bundler::new(), Instant::now());
        assert_eq!(bundler.due(), None);
        assert_eq!(bundler.add(now, payment(0)), None);
        assert_eq!(bundler.add(now + Duration::from_millis(9), payment(1)), None);
        assert_eq!(bundler.take_due(now + Duration::from_millis(9)), None);
        let bundle = bundler.take_due(now + Duration::from_millis(10)).expect("due");
        assert_eq!(bundle.payments, [payment(0), payment(1)]);
        assert_eq!((bundler.due(), bundler.flush()), (None, None));
    }

    #[test]
    fn a_bundle_is_given_before_it_exceeds_64_kib() {
        let (mut bundler, now) = (Bundler::new(), Instant::now());
        let mut given = Vec::new();
        for sequence in 0..1000 {
            given.extend(bundler.add(now, payment(sequence)));
        }
        given.extend(bundler.flush());
        assert_eq!(given.iter().map(|bundle| bundle.payments.len()).sum::<usize>(), 1000);
        for bundle in &given {
            assert_eq!(PaymentBundle::decode(&bundle.encode().expect("fits")).as_ref(), Ok(bundle));
        }
        assert_eq!(given.len(), 3);
    }

    #[test]
    fn an_empty_bundle_is_refused() {
        assert!(PaymentBundle::decode(&[1, 1, 0, 0]).is_err());
    }
}
