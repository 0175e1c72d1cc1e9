//! What peers say to each other, byte for byte: `version u8 ‖ kind u8 ‖ fixed fields`, big-endian.
//!
//! Pure: bytes in, values out. Golden bytes of every message are in `tests/golden/messages.txt`.
mod bundle;
mod gossip;
mod request;
mod response;

pub use bundle::{Bundler, PAYMENT_BUNDLE_BYTES_MAX, PAYMENT_BUNDLE_DELAY_MAX, PaymentBundle};
pub(crate) use gossip::{FORWARDED, GOSSIP_FRAME_BYTES, SAID_TO_ALL, frame, unframe};
pub use request::{BATCHES_MAX, REQUEST_BYTES_MAX, Request, SUBMIT_PAYMENTS_MAX};
pub use response::{
    BATCHES_BYTES_MAX, DECISION_BYTES_MAX, DecidedBatch, EVIDENCE_MAX, HANDOVERS_MAX, RESPONSE_BYTES_MAX,
    RequestRefusal, Response,
};

use seedbank_types::{DecodeError, Reader, Writer};

/// A message that its format has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {size} is too much, at most {max}; send less at a time")]
pub struct TooLarge {
    /// What is too large.
    pub what: &'static str,
    /// How large it is.
    pub size: usize,
    /// How large it may be.
    pub max: usize,
}

fn at_most(what: &'static str, size: usize, max: usize) -> Result<(), TooLarge> {
    if size <= max { Ok(()) } else { Err(TooLarge { what, size, max }) }
}

fn start(kind: u8) -> Writer {
    Writer::default().u8(1).u8(kind)
}

/// A count that the caller has bounded below 65,536.
fn count_u16(count: usize) -> u16 {
    u16::try_from(count).expect("checked by the caller against a maximum below 65,536")
}

/// `length u32 ‖ bytes`; the caller has bounded the length.
fn write_long(writer: Writer, bytes: &[u8]) -> Writer {
    let length = u32::try_from(bytes.len()).expect("checked by the caller against a maximum of a few MiB");
    writer.u32(length).bytes(bytes)
}

fn read_long(reader: &mut Reader<'_>, field: &'static str, max: usize) -> Result<Vec<u8>, DecodeError> {
    let length = reader.u32(field)?;
    match usize::try_from(length) {
        Ok(length) if length <= max => Ok(reader.take(field, length)?.to_vec()),
        _ => Err(reader.error(field, format!("{length} bytes, at most {max}"))),
    }
}

/// Reads a count that must not exceed `max`.
fn read_count(reader: &mut Reader<'_>, field: &'static str, max: usize) -> Result<usize, DecodeError> {
    let count = usize::from(reader.u16(field)?);
    if count <= max { Ok(count) } else { Err(reader.error(field, format!("{count}, at most {max}"))) }
}

/// `0`, or `1` and then the value.
fn write_option<T>(writer: Writer, value: Option<&T>, write: impl FnOnce(Writer, &T) -> Writer) -> Writer {
    match value {
        None => writer.u8(0),
        Some(value) => write(writer.u8(1), value),
    }
}

fn read_option<T>(
    reader: &mut Reader<'_>,
    field: &'static str,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    match reader.u8(field)? {
        0 => Ok(None),
        1 => read(reader).map(Some),
        other => Err(reader.error(field, format!("is {other}, must be 0 (absent) or 1 (present)"))),
    }
}
