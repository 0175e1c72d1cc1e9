//! Stamps (Hashcash): work that a server may ask for before it lets a payment wait.
use crate::{Hash, PaymentId};

/// More zero bits than these nobody may ask for: it would take a day.
pub const STAMP_BITS_MAX: u8 = 40;

/// A number under which a payment's id has a hash with many zero bits in front. It is no part of the payment,
/// and of no meaning any more once the payment waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Leading zero bits of H(`"seedbank/stamp/1"` ‖ payment id ‖ number u64).
    #[must_use]
    pub fn bits(self, id: &PaymentId) -> u8 {
        let hash = Hash::of(&[b"seedbank/stamp/1", &id.0, &self.0.to_be_bytes()]);
        let zeroes = hash.0.iter().take_while(|byte| **byte == 0).count();
        let rest = hash.0.get(zeroes).map_or(0, |byte| byte.leading_zeros());
        u8::try_from(8 * zeroes as u64 + u64::from(rest)).unwrap_or(u8::MAX)
    }

    /// The first stamp from number `from` on that has the bits, within so many tries. Twice the work for each bit
    /// more: a million tries are expected for 20.
    #[must_use]
    pub fn search(id: &PaymentId, bits: u8, from: u64, tries: u64) -> Option<Self> {
        (from..from.saturating_add(tries)).map(Self).find(|stamp| stamp.bits(id) >= bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_first_number_with_the_bits() {
        let id = PaymentId([5; 32]);
        let found = Stamp::search(&id, 12, 0, 1 << 20).expect("4096 tries are expected");
        assert!(found.bits(&id) >= 12);
        assert!((0..found.0).all(|number| Stamp(number).bits(&id) < 12));
        assert_eq!(Stamp::search(&id, 12, 0, found.0), None);
        assert_eq!(Stamp::search(&id, 0, 7, 1), Some(Stamp(7)));
    }
}
