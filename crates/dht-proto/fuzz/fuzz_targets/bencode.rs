//! Bencoding: what is accepted stays within the bounds, and what is canonical is written back as the same bytes.
#![no_main]
use seedbank_dht_proto::bencode::{self, DEPTH_MAX, Value, Writer};
use seedbank_dht_proto::check_value;

const VALUES_MAX: usize = 100;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = check_value(bytes);
    let Ok(value) = bencode::parse(bytes, VALUES_MAX) else { return };
    let (count, depth) = size(&value);
    assert!(count <= VALUES_MAX && depth <= DEPTH_MAX, "{count} values, {depth} deep");
    if value.is_canonical() {
        assert_eq!(written(&value), bytes, "two encodings of one value");
    } else {
        let sorted = written(&value);
        let again = bencode::parse(&sorted, VALUES_MAX).expect("what was written is bencoded");
        assert!(again.is_canonical());
    }
});

/// Number of values and depth of lists and dictionaries.
fn size(value: &Value<'_>) -> (usize, usize) {
    let inner: Vec<_> = match value {
        Value::Integer(_) | Value::Bytes(_) => return (1, 0),
        Value::List(values) => values.iter().map(size).collect(),
        Value::Dictionary(dictionary) => dictionary.iter().map(|(_, value)| size(value)).collect(),
    };
    (
        1 + inner.iter().map(|(count, _)| count).sum::<usize>(),
        1 + inner.iter().map(|(_, depth)| *depth).max().unwrap_or(0),
    )
}

fn written(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::Integer(number) => bencode::integer(*number),
        Value::Bytes(bytes) => bencode::bytes(bytes),
        Value::List(values) => bencode::list(values.iter().map(written)),
        Value::Dictionary(dictionary) => {
            let writer = Writer::default();
            dictionary.iter().fold(writer, |writer, (key, value)| writer.encoded(key, written(value))).finish()
        }
    }
}
