//! From values to bytes, always in the only way.
use std::collections::BTreeMap;

/// A dictionary in the making. Its keys are written in their order, in whichever order they are set.
///
/// ```
/// use seedbank_dht_proto::bencode::Writer;
///
/// let inner = Writer::default().integer(b"seq", 4).finish();
/// let packet = Writer::default().bytes(b"t", b"aa").encoded(b"r", inner).finish();
/// assert_eq!(packet, b"d1:rd3:seqi4ee1:t2:aae");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Writer<'k>(BTreeMap<&'k [u8], Vec<u8>>);

impl<'k> Writer<'k> {
    /// Sets a key to a number.
    #[must_use]
    pub fn integer(self, key: &'k [u8], number: i64) -> Self {
        self.encoded(key, integer(number))
    }

    /// Sets a key to a string.
    #[must_use]
    pub fn bytes(self, key: &'k [u8], string: &[u8]) -> Self {
        self.encoded(key, bytes(string))
    }

    /// Sets a key to a value that is bencoded already.
    #[must_use]
    pub fn encoded(mut self, key: &'k [u8], value: Vec<u8>) -> Self {
        self.0.insert(key, value);
        self
    }

    /// Sets a key to a value that is bencoded already, if there is one.
    #[must_use]
    pub fn maybe(self, key: &'k [u8], value: Option<Vec<u8>>) -> Self {
        match value {
            Some(value) => self.encoded(key, value),
            None => self,
        }
    }

    /// The dictionary, bencoded.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut dictionary = vec![b'd'];
        for (key, value) in &self.0 {
            push_bytes(&mut dictionary, key);
            dictionary.extend_from_slice(value);
        }
        dictionary.push(b'e');
        dictionary
    }
}

/// A number, bencoded.
#[must_use]
pub fn integer(number: i64) -> Vec<u8> {
    format!("i{number}e").into_bytes()
}

/// A string, bencoded.
#[must_use]
pub fn bytes(string: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(string.len() + 5);
    push_bytes(&mut encoded, string);
    encoded
}

/// A list of values that are bencoded already.
#[must_use]
pub fn list(values: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut list = vec![b'l'];
    list.extend(values.into_iter().flatten());
    list.push(b'e');
    list
}

fn push_bytes(to: &mut Vec<u8>, string: &[u8]) {
    to.extend_from_slice(format!("{}:", string.len()).as_bytes());
    to.extend_from_slice(string);
}
