//! Amounts of money in minor units.
use std::fmt;

/// An amount in minor units (cents, if the community has two decimals).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub u64);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most one point.
    #[error("{0:?} is not an amount: write digits with at most one point, like 12.50")]
    NotANumber(String),
    /// A minus sign.
    #[error("{0:?} is negative: an amount is more than nothing")]
    Negative(String),
    /// Nothing.
    #[error("the amount is 0: nothing would be moved")]
    Zero,
    /// More decimals than the community has.
    #[error("{text:?} has {got} decimals, this community has {allowed}")]
    TooManyDecimals {
        /// The text as given.
        text: String,
        /// Decimals in the text.
        got: usize,
        /// Decimals of the community.
        allowed: u8,
    },
    /// Does not fit 64 bits.
    #[error("{0:?} is too large: at most 18446744073709551615 minor units")]
    TooLarge(String),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads an amount in major units, as people write it; it must be more than 0.
    pub fn parse(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let amount = Self::parse_or_zero(text, decimals)?;
        if amount == Self::ZERO { Err(AmountError::Zero) } else { Ok(amount) }
    }

    /// Like [`Amount::parse`], but 0 is allowed: for fees and minimums.
    pub fn parse_or_zero(text: &str, decimals: u8) -> Result<Self, AmountError> {
        if text.starts_with('-') {
            return Err(AmountError::Negative(text.to_owned()));
        }
        let (major, minor) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if major.is_empty() || !digits(major) || !digits(minor) || text.ends_with('.') {
            return Err(AmountError::NotANumber(text.to_owned()));
        }
        if minor.len() > usize::from(decimals) {
            return Err(AmountError::TooManyDecimals { text: text.to_owned(), got: minor.len(), allowed: decimals });
        }
        let all = format!("{major}{minor:0<width$}", width = usize::from(decimals));
        all.parse().map(Self).map_err(|_not_64_bits| AmountError::TooLarge(text.to_owned()))
    }

    /// The amount in major units with all its decimals.
    #[must_use]
    pub fn display(self, decimals: u8) -> String {
        if decimals == 0 {
            return self.0.to_string();
        }
        let unit = 10_u64.pow(u32::from(decimals));
        format!("{}.{:0width$}", self.0 / unit, self.0 % unit, width = usize::from(decimals))
    }

    /// The sum, or `None` if it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` if it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }
}

/// Minor units, as in JSON.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(Amount::parse("1", 2), Ok(Amount(100)));
        assert_eq!(Amount::parse("0.05", 2), Ok(Amount(5)));
        assert_eq!(Amount::parse("7", 0), Ok(Amount(7)));
        assert_eq!(Amount::parse("184467440737095516.15", 2), Ok(Amount(u64::MAX)));
    }

    #[test]
    fn bad_amounts_are_refused_with_the_reason() {
        assert_eq!(Amount::parse("0", 2), Err(AmountError::Zero));
        assert!(matches!(Amount::parse("-1", 2), Err(AmountError::Negative(_))));
        assert!(matches!(Amount::parse("1.234", 2), Err(AmountError::TooManyDecimals { got: 3, allowed: 2, .. })));
        assert!(matches!(Amount::parse("184467440737095516.16", 2), Err(AmountError::TooLarge(_))));
        for text in ["", ".", "1.", ".5", "1e3", "+1", "1,5", " 1", "١"] {
            assert!(matches!(Amount::parse(text, 2), Err(AmountError::NotANumber(_))), "{text:?}");
        }
    }

    #[test]
    fn amounts_are_shown_with_all_decimals() {
        assert_eq!(Amount(5).display(2), "0.05");
        assert_eq!(Amount(u64::MAX).display(8), "184467440737.09551615");
        assert_eq!(Amount(5).display(0), "5");
    }
}
