//! Bencoding (BEP3), read strictly and within bounds: numbers and lengths are written in the only
//! way, nothing follows the value, and neither depth nor number of values is the sender's to choose.
mod reader;
mod writer;

pub(crate) use reader::parse_to_depth;
pub use reader::{BencodeError, DEPTH_MAX, parse};
pub use writer::{Writer, bytes, integer, list};

/// A value, borrowed from the bytes in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Integer(i64),
    /// A string of any bytes.
    Bytes(&'a [u8]),
    /// Values one after another.
    List(Vec<Value<'a>>),
    /// Values by key.
    Dictionary(Dictionary<'a>),
}

/// Values by key, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dictionary<'a>(Vec<Entry<'a>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<'a> {
    key: &'a [u8],
    value: Value<'a>,
    raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// The number, if it is one.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    #[must_use]
    pub const fn as_dictionary(&self) -> Option<&Dictionary<'a>> {
        match self {
            Self::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    /// Whether the keys of every dictionary in it are sorted and different, so that there is no
    /// other way to write it.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        match self {
            Self::Integer(_) | Self::Bytes(_) => true,
            Self::List(values) => values.iter().all(Self::is_canonical),
            Self::Dictionary(dictionary) => dictionary.is_canonical(),
        }
    }
}

impl<'a> Dictionary<'a> {
    /// All keys with their values, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &Value<'a>)> {
        self.0.iter().map(|entry| (entry.key, &entry.value))
    }

    /// The value of a key, the first one if there are several.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Value<'a>> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key, exactly as it was written.
    #[must_use]
    pub fn raw(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.entry(key).map(|entry| entry.raw)
    }

    fn entry(&self, key: &[u8]) -> Option<&Entry<'a>> {
        self.0.iter().find(|entry| entry.key == key)
    }

    fn is_canonical(&self) -> bool {
        self.0.is_sorted_by(|a, b| a.key < b.key) && self.0.iter().all(|entry| entry.value.is_canonical())
    }
}

#[cfg(test)]
mod tests;
