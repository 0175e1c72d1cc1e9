//! Bundles of payments: never one gossip message a payment, or signatures would cost more than
//! the payments themselves.
use std::time::{Duration, Instant};

use seedbank_types::{DecodeError, Reader, SignedPayment};

use super::{TooLarge, at_most, count_u16, read_count, start};

/// Longest bundle.
pub const PAYMENT_BUNDLE_BYTES_MAX: usize = 64 << 10;
/// How long a payment waits for others at most.
pub const PAYMENT_BUNDLE_DELAY_MAX: Duration = Duration::from_millis(10);

const WHAT: &str = "payment bundle";
const KIND: u8 = 1;
const HEAD_BYTES: usize = 4;
/// The shortest signed payment has 150 bytes, so no bundle holds more.
const PAYMENTS_MAX: usize = PAYMENT_BUNDLE_BYTES_MAX / 150;

/// Several signed payments in one message on the topic `payments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentBundle {
    /// At least one.
    pub payments: Vec<SignedPayment>,
}

impl PaymentBundle {
    /// `version u8 ‖ kind u8 = 1 ‖ count u16 ‖ count x payment`.
    ///
    /// # Errors
    /// If there are more than fit 64 KiB.
    pub fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        at_most(WHAT, self.payments.len(), PAYMENTS_MAX)?;
        let head = start(KIND).u16(count_u16(self.payments.len()));
        let bytes = self.payments.iter().fold(head, |writer, one| writer.bytes(&one.encode())).finish();
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
        if kind != KIND || bytes.len() > PAYMENT_BUNDLE_BYTES_MAX {
            return Err(reader.error("kind", format!("kind {kind} of {} bytes is no bundle", bytes.len())));
        }
        let count = read_count(&mut reader, "number of payments", PAYMENTS_MAX)?;
        if count == 0 {
            return Err(reader.error("number of payments", "a bundle holds at least one"));
        }
        let payments = (0..count).map(|_| SignedPayment::read(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { payments })
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
        (!payments.is_empty()).then_some(PaymentBundle { payments })
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
