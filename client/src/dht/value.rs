//! What is in the DHT, as people read it. Pure.
use seedbank_dht_proto::bencode::{self, Value};

/// Values of an item that are shown: a byte each is the least they take.
const VALUES_MAX: usize = 1000;

/// A bencoded value: numbers, texts in quotes, other strings in hex, lists and dictionaries of them.
pub(super) fn readable(raw: &[u8]) -> String {
    bencode::parse(raw, VALUES_MAX).map_or_else(|_not_bencoded| string(raw), |value| show(&value))
}

/// The bytes of a value that is a single string.
pub(super) fn string_of(raw: &[u8]) -> Option<&[u8]> {
    bencode::parse(raw, VALUES_MAX).ok()?.as_bytes()
}

/// Client and version as a node says itself, as far as it is printable: the rest are version numbers.
pub(super) fn version(raw: &[u8]) -> Option<String> {
    let text: String = raw.iter().copied().take_while(u8::is_ascii_graphic).map(char::from).collect();
    (text.len() >= 2).then_some(text)
}

fn show(value: &Value<'_>) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Bytes(bytes) => string(bytes),
        Value::List(values) => format!("[{}]", values.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Dictionary(dictionary) => {
            let entry = |(key, value): (&[u8], &Value<'_>)| format!("{}: {}", string(key), show(value));
            format!("{{{}}}", dictionary.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Quoted, so that nothing in it can steer a terminal.
fn string(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|character| character.is_control() && !character.is_whitespace()) => {
            format!("{text:?}")
        }
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_kinds_are_readable() {
        assert_eq!(readable(b"12:Hello World!"), "\"Hello World!\"");
        assert_eq!(readable(b"i-7e"), "-7");
        assert_eq!(readable(b"d1:ali1e2:\x00\xffe2:ih3:onee"), "{\"a\": [1, 0x00ff], \"ih\": \"one\"}");
        assert_eq!(readable(b"5:a\nb\"c"), "\"a\\nb\\\"c\"");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(readable(b"4:\x1b[2J"), "0x1b5b324a");
        assert_eq!(readable(b"not bencoded"), "\"not bencoded\"");
        assert_eq!(version(b"\x1b[2J"), None);
    }

    #[test]
    fn versions_are_told_as_far_as_they_are_letters() {
        assert_eq!(version(b"LT\x01\x02").as_deref(), Some("LT"));
        assert_eq!(version(b"SB\x00\x01").as_deref(), Some("SB"));
        assert_eq!(version(b"\x00\x01LT"), None);
        assert_eq!(version(b""), None);
    }
}
