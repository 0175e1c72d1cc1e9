//! Bodies: the payments and orders of a batch.
use crate::codec::{DecodeError, Reader, Writer, count_u32};
use crate::payment::SIGNED_PAYMENT_BYTES_MAX;
use crate::{CommunityId, Hash, PaymentId, SignedOrder, SignedPayment, tree};

/// Longest body.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// One line of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Kind 1.
    Payment(SignedPayment),
    /// Kind 2.
    Order(SignedOrder),
}

impl Entry {
    /// Its name.
    #[must_use]
    pub fn id(&self, community: &CommunityId) -> PaymentId {
        match self {
            Self::Payment(payment) => payment.payment.id(community),
            Self::Order(order) => order.order.id(community),
        }
    }

    fn write(&self, writer: Writer) -> Writer {
        let (kind, bytes) = match self {
            Self::Payment(payment) => (1, payment.encode()),
            Self::Order(order) => (2, order.encode()),
        };
        writer.u8(kind).u32(count_u32(bytes.len())).bytes(&bytes)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, length) = (reader.u8("kind")?, reader.u32("length")?);
        let bytes = reader.take("entry", usize::try_from(length).unwrap_or(usize::MAX))?;
        match kind {
            1 if bytes.len() <= SIGNED_PAYMENT_BYTES_MAX => SignedPayment::decode(bytes).map(Self::Payment),
            2 => SignedOrder::decode(bytes).map(Self::Order),
            other => Err(reader.error("kind", format!("no entry of {} bytes has kind {other}", bytes.len()))),
        }
    }
}

/// Payments and orders decided together. (The body of a closing header is not one of these: it is
/// the certificate of the epoch before.)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    /// In the order in which they are applied.
    pub entries: Vec<Entry>,
}

impl Body {
    /// `count u32 ‖ count x (kind u8 ‖ length u32 ‖ bytes with signatures)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let start = Writer::with_capacity(4 + self.entries.len() * 240).u32(count_u32(self.entries.len()));
        self.entries.iter().fold(start, |writer, entry| entry.write(writer)).finish()
    }

    /// Reads what [`Body::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("body", bytes);
        if bytes.len() > BODY_BYTES_MAX {
            return Err(reader.error("length", format!("{} bytes, at most {BODY_BYTES_MAX}", bytes.len())));
        }
        let count = reader.u32("count")?;
        let entries = (0..count).map(|_| Entry::read(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { entries })
    }

    /// H(bytes): what the header names.
    #[must_use]
    pub fn digest(bytes: &[u8]) -> Hash {
        Hash::of(&[bytes])
    }

    /// The entries' names.
    #[must_use]
    pub fn ids(&self, community: &CommunityId) -> Vec<PaymentId> {
        self.entries.iter().map(|entry| entry.id(community)).collect()
    }

    /// The tree's leaves: H(0x00 ‖ id) of each entry.
    #[must_use]
    pub fn leaves(&self, community: &CommunityId) -> Vec<Hash> {
        leaves(&self.ids(community))
    }

    /// The payments root of a header with this body.
    #[must_use]
    pub fn payments_root(&self, community: &CommunityId) -> Hash {
        Self::root_of(&self.ids(community))
    }

    /// The payments root of a header whose body holds entries of these names.
    #[must_use]
    pub fn root_of(ids: &[PaymentId]) -> Hash {
        tree::root(leaves(ids))
    }
}

fn leaves(ids: &[PaymentId]) -> Vec<Hash> {
    ids.iter().map(|id| tree::leaf(&id.0)).collect()
}
