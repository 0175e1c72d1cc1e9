//! Reading and writing of fixed fields, big-endian, nothing optional, nothing left over.

/// Bytes that are not what they should be: which format, which field, where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad {what}: field `{field}` at byte {at}: {why}")]
pub struct DecodeError {
    /// The format that was read.
    pub what: &'static str,
    /// The field that was wrong.
    pub field: &'static str,
    /// Offset of that field in the bytes.
    pub at: usize,
    /// What was wrong with it.
    pub why: String,
}

/// Reads fields one after the other and names the place of a fault.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
    field_at: usize,
}

impl<'a> Reader<'a> {
    /// Starts to read `bytes` as a `what`.
    #[must_use]
    pub const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0, field_at: 0 }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        self.field_at = self.at;
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..count) else {
            return Err(self.error(field, format!("needs {count} bytes, only {} are left", rest.len())));
        };
        self.at += count;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(field)?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// Four bytes.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// Eight bytes.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// A length of one byte, then that many bytes of UTF-8.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.u8(field)?);
        let bytes = self.take(field, length)?;
        std::str::from_utf8(bytes).map_err(|error| self.error(field, format!("not UTF-8: {error}")))
    }

    /// The version byte; only 1 is known.
    pub fn version(&mut self) -> Result<(), DecodeError> {
        match self.u8("version")? {
            1 => Ok(()),
            other => Err(self.error("version", format!("is {other}, this program knows 1"))),
        }
    }

    /// How many bytes are unread.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// All bytes that are unread.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.field_at = self.at;
        self.at = self.bytes.len();
        rest
    }

    /// Ends the reading; a byte too many is an error.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        self.field_at = self.at;
        match self.left() {
            0 => Ok(()),
            left => Err(self.error("end", format!("{left} bytes too many"))),
        }
    }

    /// An error in the field that was read last.
    pub fn error(&self, field: &'static str, why: impl Into<String>) -> DecodeError {
        DecodeError { what: self.what, field, at: self.field_at, why: why.into() }
    }
}

/// Appends fields one after the other.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts empty, with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Appends one byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }

    /// Appends two bytes.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four bytes.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight bytes.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a length of one byte and the bytes, of which there must be at most 255.
    #[must_use]
    pub fn short(self, bytes: &[u8]) -> Self {
        let length = u8::try_from(bytes.len()).expect("checked when the value was made: at most 255 bytes");
        self.u8(length).bytes(bytes)
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A count that fits a `u8` because the value's constructor bounded it.
pub(crate) fn count_u8(count: usize) -> u8 {
    u8::try_from(count).expect("checked when the value was made: at most 255 items")
}

/// A count that fits a `u32` because the value's constructor bounded it.
pub(crate) fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("checked when the value was made: fits 32 bits")
}
