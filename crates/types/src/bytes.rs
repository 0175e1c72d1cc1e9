//! Fixed-size byte strings with a name of their own, shown and parsed as hex.

/// A text that should have been a fixed number of hex digits and was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hex digits for {what}, got {got:?}")]
pub struct HexError {
    /// The word for the thing, as in the design.
    pub what: &'static str,
    /// How many hex digits it has.
    pub expected: usize,
    /// The text as it was given, shortened.
    pub got: String,
}

pub(crate) fn parse_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], HexError> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(text.trim(), &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(HexError { what, expected: 2 * N, got: text.chars().take(2 * N + 8).collect() }),
    }
}

/// Declares a newtype over `[u8; N]` with hex `Display`, `Debug` and `FromStr`.
macro_rules! byte_string {
    ($(#[$doc:meta])* $name:ident, $size:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::bytes::HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::bytes::parse_hex($what, text).map(Self)
            }
        }
    };
}

pub(crate) use byte_string;
