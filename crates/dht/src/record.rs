//! Records of servers as BEP44 mutable items without salt.
use mainline::MutableItem;
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

/// That a record was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The number of the record.
    pub seq: u64,
    /// How many nodes confirmed.
    pub nodes: u32,
}

impl FoundRecord {
    pub(crate) fn sign(secret: &ServerSecret, seq: u64, value: Vec<u8>) -> Result<Self, DhtError> {
        let signature = secret.sign(&signable(checked_seq(seq)?, checked_value(&value)?));
        Ok(Self { key: secret.public(), seq, value, signature })
    }

    /// What a stranger gave, if it is a record of `key` at all.
    pub(crate) fn checked(key: ServerKey, item: &MutableItem) -> Option<Self> {
        let signature = Signature(*item.signature());
        let value = checked_value(item.value()).ok()?;
        let seq = u64::try_from(item.seq()).ok()?;
        let genuine = item.salt().is_none() && key.verifies(&signable(item.seq(), value), &signature);
        genuine.then(|| Self { key, seq, value: value.to_vec(), signature })
    }

    /// The item for the library underneath, which never sees a secret key.
    pub(crate) fn to_item(&self) -> Result<MutableItem, DhtError> {
        let seq = checked_seq(self.seq)?;
        let value = checked_value(&self.value)?;
        if !self.key.verifies(&signable(seq, value), &self.signature) {
            return Err(DhtError::BadSignature(self.key));
        }
        Ok(MutableItem::new_signed_unchecked(self.key.0, self.signature.0, value, seq, None))
    }
}

/// What BEP44 has signed: the bencoded `seq` and `v`, without salt and without the dictionary.
fn signable(seq: i64, value: &[u8]) -> Vec<u8> {
    let mut bytes = format!("3:seqi{seq}e1:v{}:", value.len()).into_bytes();
    bytes.extend_from_slice(value);
    bytes
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

    #[test]
    fn signed_bytes_are_those_of_bep44() {
        assert_eq!(signable(4, b"Hello world!"), b"3:seqi4e1:v12:Hello world!");
    }

    #[test]
    fn a_record_survives_the_way_through_an_item() {
        let record = record();
        let item = record.to_item().expect("correctly signed");
        assert_eq!(FoundRecord::checked(record.key, &item), Some(record));
    }

    #[test]
    fn a_changed_record_is_neither_put_nor_surfaced() {
        let mut record = record();
        record.value[0] ^= 1;
        assert!(matches!(record.to_item(), Err(DhtError::BadSignature(_))));
        let item = MutableItem::new_signed_unchecked(record.key.0, record.signature.0, &record.value, 5, None);
        assert_eq!(FoundRecord::checked(record.key, &item), None);
    }

    #[test]
    fn a_record_of_another_key_does_not_surface() {
        let item = record().to_item().expect("correctly signed");
        let other = ServerSecret::from_bytes(&[8; 32]).public();
        assert_eq!(FoundRecord::checked(other, &item), None);
    }

    #[test]
    fn a_negative_number_does_not_surface() {
        let secret = ServerSecret::from_bytes(&[7; 32]);
        let signature = secret.sign(&signable(-1, b"v"));
        let item = MutableItem::new_signed_unchecked(secret.public().0, signature.0, b"v", -1, None);
        assert_eq!(FoundRecord::checked(secret.public(), &item), None);
    }

    #[test]
    fn a_value_of_997_bytes_is_refused_and_does_not_surface() {
        let secret = ServerSecret::from_bytes(&[7; 32]);
        assert!(FoundRecord::sign(&secret, 1, vec![0; 996]).is_ok());
        assert!(matches!(FoundRecord::sign(&secret, 1, vec![0; 997]), Err(DhtError::ValueTooLong(997))));
        let value = [0; 997];
        let signature = secret.sign(&signable(1, &value));
        let item = MutableItem::new_signed_unchecked(secret.public().0, signature.0, &value, 1, None);
        assert_eq!(FoundRecord::checked(secret.public(), &item), None);
    }

    #[test]
    fn a_number_beyond_63_bits_is_refused() {
        let secret = ServerSecret::from_bytes(&[7; 32]);
        assert!(matches!(FoundRecord::sign(&secret, u64::MAX, vec![]), Err(DhtError::SeqTooLarge(u64::MAX))));
    }
}
