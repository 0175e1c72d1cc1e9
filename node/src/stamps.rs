//! The stamps that strangers' payments must carry here, if any.
use seedbank_types::{PaymentId, Refusal, STAMP_BITS_MAX, Stamp};

/// Below this share of the places, in sixteenths, the least stamp is enough.
const CALM: usize = 8;

/// What the operator asks for. Servers of the set are asked for nothing: what they pass on they have checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// Zero bits while there is room; 0: no stamps at all.
    least: u8,
    /// Zero bits at most.
    most: u8,
}

impl Stamps {
    /// `None` if they are more than anybody may ask for, or the least is more than the most.
    pub(crate) fn new(least: u8, most: u8) -> Option<Self> {
        (least <= most && most <= STAMP_BITS_MAX).then_some(Self { least, most })
    }

    /// One bit more for each sixteenth of the places beyond half that is taken.
    pub(crate) fn bits(self, fullness: usize) -> u8 {
        if self.least == 0 {
            return 0;
        }
        let more = u8::try_from(fullness.saturating_sub(CALM)).unwrap_or(u8::MAX);
        self.least.saturating_add(more).min(self.most)
    }
}

/// Whether a payment has a stamp of the bits.
pub(crate) fn check(id: &PaymentId, stamp: Option<Stamp>, bits: u8) -> Result<(), Refusal> {
    if bits == 0 || stamp.is_some_and(|stamp| stamp.bits(id) >= bits) {
        return Ok(());
    }
    Err(Refusal::StampTooWeak { bits: bits.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_rise_with_the_places_taken_if_they_are_asked_for_at_all() {
        let stamps = Stamps::new(16, 20).expect("in order");
        assert_eq!([0, 8, 9, 11, 12, 16].map(|fullness| stamps.bits(fullness)), [16, 16, 17, 19, 20, 20]);
        assert_eq!(Stamps::new(0, 20).expect("in order").bits(16), 0);
        assert_eq!((Stamps::new(9, 8), Stamps::new(1, STAMP_BITS_MAX + 1)), (None, None));
    }

    #[test]
    fn a_stamp_must_have_the_bits_that_are_asked_for() {
        let id = PaymentId([1; 32]);
        let stamp = Stamp::search(&id, 10, 0, 1 << 16);
        assert_eq!(check(&id, None, 0), Ok(()));
        assert_eq!(check(&id, stamp, 10), Ok(()));
        assert_eq!(check(&id, None, 10), Err(Refusal::StampTooWeak { bits: 10 }));
        assert_eq!(
            check(&PaymentId([2; 32]), stamp, 10),
            Err(Refusal::StampTooWeak { bits: 10 }),
            "of another payment"
        );
    }
}
