use super::{BencodeError, DEPTH_MAX, Value, Writer, bytes, integer, list, parse};

const VALUES_MAX: usize = 100;

fn read(text: &str) -> Result<Value<'_>, BencodeError> {
    parse(text.as_bytes(), VALUES_MAX)
}

#[test]
fn every_kind_of_value_is_read() {
    assert_eq!(read("i-42e"), Ok(Value::Integer(-42)));
    assert_eq!(read("4:spam"), Ok(Value::Bytes(b"spam")));
    assert_eq!(read("0:"), Ok(Value::Bytes(b"")));
    assert_eq!(read("l4:spami0ee"), Ok(Value::List(vec![Value::Bytes(b"spam"), Value::Integer(0)])));
    let dictionary = read("d3:cow3:moo4:spamli1eee").expect("a dictionary");
    let dictionary = dictionary.as_dictionary().expect("a dictionary");
    assert_eq!(dictionary.get(b"cow").and_then(Value::as_bytes), Some(&b"moo"[..]));
    assert_eq!(dictionary.raw(b"spam"), Some(&b"li1ee"[..]));
    assert_eq!(dictionary.get(b"missing"), None);
}

#[test]
fn numbers_are_written_in_one_way_only() {
    for number in ["i03e", "i-0e", "i-03e", "i+3e", "ie", "i-e", "i3.0e", "i 3e", "i0x3e", "i--3e", "i00e"] {
        assert_eq!(read(number), Err(BencodeError::Number { at: 1 }), "{number}");
    }
    assert_eq!(read("03:abc"), Err(BencodeError::Number { at: 0 }));
}

#[test]
fn numbers_fit_64_bits() {
    assert_eq!(read("i9223372036854775807e"), Ok(Value::Integer(i64::MAX)));
    assert_eq!(read("i-9223372036854775808e"), Ok(Value::Integer(i64::MIN)));
    assert_eq!(read("i9223372036854775808e"), Err(BencodeError::Number { at: 1 }));
    assert_eq!(read("i100000000000000000000e"), Err(BencodeError::Number { at: 1 }));
    let endless = format!("i{}", "1".repeat(1000));
    assert_eq!(read(&endless), Err(BencodeError::Number { at: 1 }));
}

#[test]
fn lengths_beyond_the_end_are_refused() {
    for cut in ["", "i", "i1", "5:spam", "4", "l", "li1e", "d", "d1:a", "d1:ai1e", "9223372036854775807:"] {
        assert_eq!(read(cut), Err(BencodeError::Ends { at: cut.len() }), "{cut}");
    }
    assert_eq!(read("99999999999999999999:"), Err(BencodeError::Number { at: 0 }));
}

#[test]
fn nothing_may_follow_the_value() {
    assert_eq!(read("i1ei2e"), Err(BencodeError::Trailing { at: 3 }));
    assert_eq!(read("dee"), Err(BencodeError::Trailing { at: 2 }));
}

#[test]
fn what_begins_no_value_is_refused() {
    for wrong in ["x", "e", "-1:a", ":"] {
        assert_eq!(read(wrong), Err(BencodeError::Unexpected { at: 0 }), "{wrong}");
    }
    assert_eq!(read("di1ei2ee"), Err(BencodeError::Unexpected { at: 1 }), "keys are strings");
    assert_eq!(read("d1:ae"), Err(BencodeError::Unexpected { at: 4 }), "a key without value");
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "l".repeat(depth), "e".repeat(depth));
    assert!(read(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(read(&nested(DEPTH_MAX + 1)), Err(BencodeError::TooDeep));
    assert_eq!(read(&"d0:".repeat(100_000)), Err(BencodeError::TooDeep));
}

#[test]
fn the_number_of_values_is_bounded() {
    let many = |count: usize| format!("l{}e", "le".repeat(count));
    assert!(read(&many(VALUES_MAX - 1)).is_ok(), "the list itself counts");
    assert_eq!(read(&many(VALUES_MAX)), Err(BencodeError::TooMany { max: VALUES_MAX }));
}

#[test]
fn the_first_of_equal_keys_wins() {
    let value = read("d1:ai1e1:ai2ee").expect("bencoded");
    assert_eq!(value.as_dictionary().and_then(|found| found.get(b"a")), Some(&Value::Integer(1)));
}

#[test]
fn only_sorted_and_different_keys_are_canonical() {
    let canonical = |text| read(text).expect("bencoded").is_canonical();
    assert!(canonical("d0:i0e1:a0:2:aa0:1:bdee"));
    assert!(!canonical("d1:b0:1:a0:e"));
    assert!(!canonical("d1:a0:1:a0:e"));
    assert!(!canonical("ld1:cd1:b0:1:a0:eee"));
}

#[test]
fn keys_are_written_in_order() {
    let inner = Writer::default().encoded(b"list", list([integer(-1), bytes(b"\xff")])).finish();
    let written = Writer::default().bytes(b"b", b"").maybe(b"c", None).encoded(b"a", inner).integer(b"aa", 0).finish();
    assert_eq!(written, b"d1:ad4:listli-1e1:\xffee2:aai0e1:b0:e");
    assert!(parse(&written, VALUES_MAX).expect("bencoded").is_canonical());
}

#[test]
fn values_take_little_memory_for_their_bytes() {
    assert!(size_of::<Value<'_>>() <= 32);
    assert!(size_of::<super::Entry<'_>>() <= 64, "key, value and its bytes");
}
