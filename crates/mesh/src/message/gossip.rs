//! The frame of a gossip message: `repeat u32 ‖ payload`.
//!
//! A message's id is H(topic ‖ data), and peers drop what they have seen within a minute. A vote
//! that must be said again (a peer was away) therefore needs other bytes: on topics for servers
//! only, `repeat` is another number each time; on the others it is [`FORWARDED`], because equal payments
//! and evidence are one message, whoever says it and how often. Payments that a server says while it is
//! linked with all others carry [`SAID_TO_ALL`]: forwarded by each, they would travel three times as often.
use seedbank_types::{Reader, Writer};

/// Whoever takes the message in forwards it.
pub(crate) const FORWARDED: u32 = 0;
/// All servers hear the message from its author, so none of them forwards it.
pub(crate) const SAID_TO_ALL: u32 = 1;

/// How many bytes the frame adds.
pub(crate) const GOSSIP_FRAME_BYTES: usize = 4;

pub(crate) fn frame(repeat: u32, payload: &[u8]) -> Vec<u8> {
    Writer::with_capacity(GOSSIP_FRAME_BYTES + payload.len()).u32(repeat).bytes(payload).finish()
}

/// `repeat` and the payload, or `None` if the bytes are too short to be a frame with anything in it.
pub(crate) fn unframe(data: &[u8]) -> Option<(u32, Vec<u8>)> {
    let mut reader = Reader::new("gossip frame", data);
    let repeat = reader.u32("repeat").ok()?;
    Some((repeat, reader.rest().to_vec())).filter(|(_, payload)| !payload.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_payload_repeated_has_other_bytes() {
        assert_eq!(frame(0, b"vote"), *b"\0\0\0\0vote");
        assert_ne!(frame(0, b"vote"), frame(1, b"vote"));
        assert_eq!(unframe(&frame(1, b"vote")), Some((1, b"vote".to_vec())));
    }

    #[test]
    fn an_empty_or_short_frame_is_nothing() {
        assert_eq!(unframe(&[0, 0, 0]), None);
        assert_eq!(unframe(&[0, 0, 0, 0]), None);
    }
}
