//! Records of servers as BEP44 mutable items without salt.
use seedbank_dht_proto::{Id, Item, MutableItem, VALUE_BYTES_MAX};
use seedbank_types::{RECORD_BYTES_MAX, ServerKey, ServerSecret, Signature};

use crate::DhtError;

/// A record that was found in the DHT, correctly signed by its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRecord {
    /// Whose record.
    pub key: ServerKey,
    /// Its number; the higher one is the newer one.
    pub seq: u64,
    /// The record itself, as the server encoded it.
    pub value: Vec<u8>,
    /// The server's signature by BEP44, so that anybody can put the record again.
    pub signature: Signature,
}

/// Other programs store at so many nodes.
const NODES_ENOUGH: u32 = 8;

/// That a record or another item was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The number of the record; 0 for an immutable item.
    pub seq: u64,
    /// How many nodes confirmed.
    pub nodes: u32,
    /// How many nodes were told to store it.
    pub tried: u32,
}

impl Stored {
    /// Whether as many nodes have it as should be there after an hour; with fewer it is stored again soon.
    pub(crate) const fn is_enough(&self) -> bool {
        let told = if self.tried < NODES_ENOUGH { self.tried } else { NODES_ENOUGH };
        2 * self.nodes >= told
    }
}

impl FoundRecord {
    pub(crate) fn sign(secret: &ServerSecret, seq: u64, value: Vec<u8>) -> Result<Self, DhtError> {
        let item = MutableItem::sign(secret, vec![], checked_seq(seq)?, bencoded(checked_value(&value)?));
        Ok(Self { key: secret.public(), seq, value, signature: item.signature })
    }

    /// What a stranger gave, if it is a record of `key` at all.
    pub(crate) fn checked(key: ServerKey, item: &Item) -> Option<Self> {
        let Item::Mutable(item) = item else { return None };
        let value = bytes_of(&item.value).filter(|value| checked_value(value).is_ok())?.to_vec();
        let seq = u64::try_from(item.seq).ok()?;
        let genuine = item.key == key && item.salt.is_empty() && item.is_genuine();
        genuine.then_some(Self { key, seq, value, signature: item.signature })
    }

    /// The item for the DHT.
    pub(crate) fn to_item(&self) -> Result<Item, DhtError> {
        let item = self.unchecked()?;
        if item.is_genuine() { Ok(Item::Mutable(item)) } else { Err(DhtError::BadSignature(self.key)) }
    }

    /// Where records of this server are.
    pub(crate) fn target(key: ServerKey) -> Id {
        Item::Mutable(MutableItem { key, salt: vec![], seq: 0, signature: Signature([0; 64]), value: vec![] }).target()
    }

    /// The number of an item as one of a record, which is never negative.
    pub(crate) fn seq_of(item: &Item) -> u64 {
        item.seq().and_then(|seq| u64::try_from(seq).ok()).unwrap_or_default()
    }

    fn unchecked(&self) -> Result<MutableItem, DhtError> {
        let (seq, value) = (checked_seq(self.seq)?, bencoded(checked_value(&self.value)?));
        Ok(MutableItem { key: self.key, salt: vec![], seq, signature: self.signature, value })
    }
}

/// Whether nodes can be expected to store an item; its number.
pub(crate) fn check_item(item: &Item) -> Result<u64, DhtError> {
    if item.value().len() > VALUE_BYTES_MAX {
        return Err(DhtError::ValueTooLong(item.value().len()));
    }
    match item {
        Item::Mutable(mutable) if !item.is_genuine() => Err(DhtError::BadSignature(mutable.key)),
        _ => Ok(FoundRecord::seq_of(item)),
    }
}

/// A byte string as a value of BEP44.
fn bencoded(value: &[u8]) -> Vec<u8> {
    [format!("{}:", value.len()).as_bytes(), value].concat()
}

/// The inverse; `None` if the value is something else than a byte string.
fn bytes_of(bencoded_value: &[u8]) -> Option<&[u8]> {
    let length = bencoded_value.iter().position(|byte| *byte == b':')?;
    let bytes = &bencoded_value[length + 1..];
    (bencoded(bytes) == bencoded_value).then_some(bytes)
}

fn checked_seq(seq: u64) -> Result<i64, DhtError> {
    i64::try_from(seq).map_err(|_too_large| DhtError::SeqTooLarge(seq))
}

fn checked_value(value: &[u8]) -> Result<&[u8], DhtError> {
    if value.len() > RECORD_BYTES_MAX { Err(DhtError::ValueTooLong(value.len())) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> FoundRecord {
        FoundRecord::sign(&ServerSecret::from_bytes(&[7; 32]), 5, b"Hello world!".to_vec()).expect("small enough")
    }

    fn signed(seq: i64, value: &[u8]) -> Item {
        Item::Mutable(MutableItem::sign(&ServerSecret::from_bytes(&[7; 32]), vec![], seq, value.to_vec()))
    }

    #[test]
    fn a_record_survives_the_way_through_an_item() {
        let record = record();
        let item = record.to_item().expect("correctly signed");
        assert_eq!(item, signed(5, b"12:Hello world!"));
        assert_eq!(FoundRecord::checked(record.key, &item), Some(record));
        assert_eq!(item.target(), FoundRecord::target(ServerSecret::from_bytes(&[7; 32]).public()));
    }

    #[test]
    fn a_changed_record_is_neither_put_nor_surfaced() {
        let mut record = record();
        record.value[0] ^= 1;
        assert!(matches!(record.to_item(), Err(DhtError::BadSignature(_))));
        let item = Item::Mutable(record.unchecked().expect("small enough"));
        assert!(matches!(check_item(&item), Err(DhtError::BadSignature(_))));
        assert_eq!(FoundRecord::checked(record.key, &item), None);
    }

    #[test]
    fn a_record_of_another_key_does_not_surface() {
        let item = record().to_item().expect("correctly signed");
        let other = ServerSecret::from_bytes(&[8; 32]).public();
        assert_eq!(FoundRecord::checked(other, &item), None);
    }

    #[test]
    fn what_is_no_byte_string_with_a_number_does_not_surface() {
        let key = ServerSecret::from_bytes(&[7; 32]).public();
        assert!(FoundRecord::checked(key, &signed(1, b"1:v")).is_some());
        for (seq, value) in
            [(-1, &b"1:v"[..]), (1, b"i5e"), (1, b"de"), (1, b"01:v"), (1, b"2:v"), (1, b""), (1, b"1:vv")]
        {
            assert_eq!(FoundRecord::checked(key, &signed(seq, value)), None);
        }
        assert_eq!(FoundRecord::checked(key, &Item::Immutable { value: b"1:v".to_vec() }), None);
    }

    #[test]
    fn a_value_of_997_bytes_is_refused_and_does_not_surface() {
        let secret = ServerSecret::from_bytes(&[7; 32]);
        assert!(FoundRecord::sign(&secret, 1, vec![0; 996]).is_ok());
        assert!(matches!(FoundRecord::sign(&secret, 1, vec![0; 997]), Err(DhtError::ValueTooLong(997))));
        let item = signed(1, &bencoded(&[0; 997]));
        assert_eq!(FoundRecord::checked(secret.public(), &item), None);
        assert!(matches!(check_item(&item), Err(DhtError::ValueTooLong(1001))));
    }

    #[test]
    fn a_number_beyond_63_bits_is_refused() {
        let secret = ServerSecret::from_bytes(&[7; 32]);
        assert!(matches!(FoundRecord::sign(&secret, u64::MAX, vec![]), Err(DhtError::SeqTooLarge(u64::MAX))));
    }
}
