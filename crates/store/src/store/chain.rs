//! Headers, bodies, payments and histories: reading, and the keys under which they stand.
use rocksdb::ReadOptions;
use seedbank_types::{AccountId, Epoch, HEADER_BYTES, Hash, Header, Height, PaymentId, Reader};

use super::{Store, decode_u64, numbered};
use crate::StoreError;
use crate::columns::{BODIES, HEADERS, HISTORY, PAYMENTS};

const HEADER: u8 = 0;
const BODY_DIGEST: u8 = 1;
pub(super) const CLOSING: u8 = 2;

/// Most entries of a history that are read at once.
const HISTORY_ENTRIES_MAX: usize = 1_000;

/// Where a payment or an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentPlace {
    /// Height of its batch.
    pub height: Height,
    /// Its place in the body.
    pub index: u32,
    /// Hash of the batch's header.
    pub header: Hash,
    /// The epoch it belongs to.
    pub epoch: Epoch,
}

/// What an account had to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It paid.
    Payer,
    /// It was paid.
    Payee,
    /// New money was issued to it.
    Issued,
    /// Money of it was retired.
    Retired,
}

/// One line of an account's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Height of the batch.
    pub height: Height,
    /// Place in the body.
    pub index: u32,
    /// The payment or order.
    pub payment: PaymentId,
    /// What the account had to do with it.
    pub role: Role,
}

impl Store {
    /// The header of a height.
    pub fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        let value = self.inner.get(HEADERS, &header_key(height))?;
        value.map(|value| split_header(&value).map(|(header, _)| header)).transpose()
    }

    /// The proof that a header was decided, as it was given to [`Store::commit`].
    pub fn decision(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.inner.get(HEADERS, &header_key(height))?;
        value.map(|value| split_header(&value).map(|(_, decision)| decision.to_vec())).transpose()
    }

    /// The body of a height.
    pub fn body(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(BODIES, &height.0.to_be_bytes())
    }

    /// The body with a digest.
    pub fn body_by_digest(&self, digest: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        match self.inner.get(HEADERS, &digest_key(digest))? {
            Some(height) => self.body(Height(decode_u64("height of a body", &height)?)),
            None => Ok(None),
        }
    }

    /// Where a payment or an order was applied.
    pub fn payment(&self, id: &PaymentId) -> Result<Option<PaymentPlace>, StoreError> {
        let Some(value) = self.inner.get(PAYMENTS, &id.0)? else { return Ok(None) };
        let mut reader = Reader::new("place of a payment", &value);
        let (height, index) = (Height(reader.u64("height")?), reader.u32("index")?);
        let header = self.header(height)?.ok_or_else(|| StoreError::Damaged(format!("header {height} is missing")))?;
        Ok(Some(PaymentPlace { height, index, header: header.hash(), epoch: header.epoch }))
    }

    /// Height of the header that closed an epoch.
    pub fn closing_height(&self, epoch: Epoch) -> Result<Option<Height>, StoreError> {
        let value = self.inner.get(HEADERS, &closing_key(epoch))?;
        value.map(|value| decode_u64("height of a closing header", &value).map(Height)).transpose()
    }

    /// What an account did, newest first, before a place (height and index) if one is given; at most
    /// 1,000 entries at once. Fees do not appear in it.
    pub fn history(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let (height, index) = before.unwrap_or((Height(u64::MAX), u32::MAX));
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(account.0);
        options.set_iterate_upper_bound(history_key(account, height, index));
        let mut entries = self.inner.db.raw_iterator_cf_opt(self.inner.column(HISTORY), options);
        let mut found = Vec::new();
        entries.seek_to_last();
        while let Some((key, value)) = entries.item().filter(|_| found.len() < limit.min(HISTORY_ENTRIES_MAX)) {
            found.push(history_entry(key, value)?);
            entries.prev();
        }
        entries.status().map_err(StoreError::read)?;
        Ok(found)
    }
}

pub(super) fn header_key(height: Height) -> [u8; 9] {
    numbered(HEADER, height.0)
}

pub(super) fn closing_key(epoch: Epoch) -> [u8; 9] {
    numbered(CLOSING, epoch.0)
}

pub(super) fn digest_key(digest: &Hash) -> [u8; 33] {
    let mut key = [BODY_DIGEST; 33];
    key[1..].copy_from_slice(&digest.0);
    key
}

/// Header and decision out of their common value.
pub(super) fn split_header(value: &[u8]) -> Result<(Header, &[u8]), StoreError> {
    let short = || StoreError::Damaged(format!("a header has {} bytes", value.len()));
    let (header, decision) = value.split_at_checked(HEADER_BYTES).ok_or_else(short)?;
    Ok((Header::decode(header)?, decision))
}

pub(super) fn place_value(height: Height, index: u32) -> [u8; 12] {
    let mut value = [0; 12];
    value[..8].copy_from_slice(&height.0.to_be_bytes());
    value[8..].copy_from_slice(&index.to_be_bytes());
    value
}

pub(super) fn history_key(account: &AccountId, height: Height, index: u32) -> [u8; 32] {
    let mut key = [0; 32];
    key[..20].copy_from_slice(&account.0);
    key[20..].copy_from_slice(&place_value(height, index));
    key
}

pub(super) fn history_value(id: &PaymentId, role: Role) -> [u8; 33] {
    let mut value = [role.byte(); 33];
    value[..32].copy_from_slice(&id.0);
    value
}

fn history_entry(key: &[u8], value: &[u8]) -> Result<HistoryEntry, StoreError> {
    let mut place = Reader::new("history key", key);
    place.take("account", 20)?;
    let (height, index) = (Height(place.u64("height")?), place.u32("index")?);
    let mut reader = Reader::new("history entry", value);
    let (payment, role) = (PaymentId(reader.array("payment")?), reader.u8("role")?);
    let role = Role::from_byte(role).ok_or_else(|| StoreError::Damaged(format!("no role has number {role}")))?;
    Ok(HistoryEntry { height, index, payment, role })
}

impl Role {
    const fn byte(self) -> u8 {
        match self {
            Self::Payer => 1,
            Self::Payee => 2,
            Self::Issued => 3,
            Self::Retired => 4,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Payer),
            2 => Some(Self::Payee),
            3 => Some(Self::Issued),
            4 => Some(Self::Retired),
            _ => None,
        }
    }
}
