//! What every fuzz target asserts: a decoder does not panic, and what it accepts is written back as
//! the same bytes. Run all targets with `.ci/fuzz SECONDS`, where the flags are explained.
use seedbank_types::{DecodeError, Reader};

/// Decodes; what was accepted must be the one encoding of its value.
pub fn written_back<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, DecodeError>, encode: impl Fn(&T) -> Vec<u8>) {
    if let Ok(value) = decode(bytes) {
        assert_eq!(encode(&value), bytes, "two encodings of one value");
    }
}

/// Reads a format that otherwise stands inside longer ones.
pub fn whole<T>(bytes: &[u8], read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let mut reader = Reader::new("fuzz input", bytes);
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}
