//! From bytes to a [`Value`].
use super::{Dictionary, Entry, Value};

/// How deep lists and dictionaries may lie in each other.
pub const DEPTH_MAX: usize = 16;
/// Digits of the longest number or length, with sign.
const DIGITS_MAX: usize = 20;

/// Why bytes are not bencoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// Something is cut off.
    #[error("it ends at byte {at}, in the middle of a value")]
    Ends {
        /// Where.
        at: usize,
    },
    /// No value begins so, or a key is not a string.
    #[error("byte {at} begins nothing that may stand there")]
    Unexpected {
        /// Where.
        at: usize,
    },
    /// Not a number, one that could be written shorter, or one too large for 64 bits.
    #[error("the number at byte {at} is not written in the only way, or does not fit 64 bits")]
    Number {
        /// Where.
        at: usize,
    },
    /// More than one value.
    #[error("something follows the value, at byte {at}")]
    Trailing {
        /// Where.
        at: usize,
    },
    /// Lists in lists in lists.
    #[error("lists and dictionaries lie too deep in each other; a packet may have {DEPTH_MAX} levels")]
    TooDeep,
    /// More values than the reader wants to hold.
    #[error("there are more than {max} values")]
    TooMany {
        /// As many are allowed.
        max: usize,
    },
}

/// Reads one value of at most `values_max` values in all, which must take up all of `bytes`.
///
/// # Errors
/// [`BencodeError`] says where it is not bencoded, or which bound is passed.
pub fn parse(bytes: &[u8], values_max: usize) -> Result<Value<'_>, BencodeError> {
    parse_to_depth(bytes, values_max, DEPTH_MAX)
}

/// Reads what is to stand inside something else, which takes a part of [`DEPTH_MAX`].
pub(crate) fn parse_to_depth(bytes: &[u8], values_max: usize, depth: usize) -> Result<Value<'_>, BencodeError> {
    let mut reader = Reader { bytes, at: 0, values_left: values_max, values_max };
    let value = reader.value(depth)?;
    if reader.at == bytes.len() { Ok(value) } else { Err(BencodeError::Trailing { at: reader.at }) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values_left: usize,
    values_max: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, BencodeError> {
        let Some(left) = self.values_left.checked_sub(1) else {
            return Err(BencodeError::TooMany { max: self.values_max });
        };
        self.values_left = left;
        match self.peek()? {
            b'i' => self.integer(),
            b'l' => self.list(depth),
            b'd' => self.dictionary(depth),
            _ => self.string().map(Value::Bytes),
        }
    }

    fn integer(&mut self) -> Result<Value<'a>, BencodeError> {
        self.at += 1;
        self.number(b'e').map(Value::Integer)
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, BencodeError> {
        let inner = self.enter(depth)?;
        let mut values = vec![];
        while !self.ends()? {
            values.push(self.value(inner)?);
        }
        Ok(Value::List(values))
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value<'a>, BencodeError> {
        let inner = self.enter(depth)?;
        let mut entries = vec![];
        while !self.ends()? {
            let key = self.string()?;
            let start = self.at;
            let value = self.value(inner)?;
            entries.push(Entry { key, value, raw: &self.bytes[start..self.at] });
        }
        Ok(Value::Dictionary(Dictionary(entries)))
    }

    fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(BencodeError::Unexpected { at: self.at });
        }
        let at = self.at;
        let length = usize::try_from(self.number(b':')?).map_err(|_overflow| BencodeError::Number { at })?;
        let string = self.bytes[self.at..].get(..length).ok_or(BencodeError::Ends { at: self.bytes.len() })?;
        self.at += length;
        Ok(string)
    }

    /// The number up to `end`, which is passed over.
    fn number(&mut self, end: u8) -> Result<i64, BencodeError> {
        let at = self.at;
        let rest = &self.bytes[at..];
        let digits = match rest.iter().take(DIGITS_MAX + 1).position(|byte| *byte == end) {
            Some(length) => &rest[..length],
            None if rest.len() > DIGITS_MAX => return Err(BencodeError::Number { at }),
            None => return Err(BencodeError::Ends { at: self.bytes.len() }),
        };
        self.at += digits.len() + 1;
        canonical(digits).ok_or(BencodeError::Number { at })
    }

    fn enter(&mut self, depth: usize) -> Result<usize, BencodeError> {
        self.at += 1;
        depth.checked_sub(1).ok_or(BencodeError::TooDeep)
    }

    /// Whether a list or dictionary ends here; the end is passed over.
    fn ends(&mut self) -> Result<bool, BencodeError> {
        let ends = self.peek()? == b'e';
        self.at += usize::from(ends);
        Ok(ends)
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        self.bytes.get(self.at).copied().ok_or(BencodeError::Ends { at: self.at })
    }
}

/// Neither leading zeros nor a plus sign nor minus zero.
fn canonical(digits: &[u8]) -> Option<i64> {
    let magnitude = digits.strip_prefix(b"-").unwrap_or(digits);
    let is_canonical = match magnitude {
        [b'0'] => digits.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_canonical.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
