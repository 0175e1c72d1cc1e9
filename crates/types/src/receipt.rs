//! Receipts: proof that a payment is part of a certified epoch.
use std::collections::BTreeSet;

use crate::codec::{DecodeError, Reader, Writer};
use crate::{
    Certificate, CertificateError, CommunityId, Grade, Hash, Header, Refusal, Rule, ServerKey, ServerSet,
    SignedPayment, tree,
};

/// A payment, its place in its batch, the batch's place in its epoch, and the epoch's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The payment.
    pub payment: SignedPayment,
    /// Its place in the body.
    pub index: u32,
    /// Entries of the body.
    pub count: u32,
    /// From the payment to the header's payments root.
    pub path: Vec<Hash>,
    /// Header of the payment's batch.
    pub header: Header,
    /// Its place among the epoch's headers.
    pub header_index: u32,
    /// Headers of the epoch, the closing one left out.
    pub header_count: u32,
    /// From the header to the closing header's payments root.
    pub header_path: Vec<Hash>,
    /// The header that closed the epoch.
    pub closing: Header,
    /// The servers' word for it.
    pub certificate: Certificate,
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The payment itself is wrong.
    #[error("the payment in the receipt is wrong: {0}")]
    Payment(Refusal),
    /// A part belongs to another community.
    #[error("the receipt mixes communities")]
    OtherCommunity,
    /// The payment is not in the batch.
    #[error("the payment is not in the batch that the receipt names")]
    NotInBatch,
    /// The batch is not in the epoch.
    #[error("the batch is not in the epoch that the receipt names")]
    NotInEpoch,
    /// The certificate is about something else.
    #[error("the certificate is not about the epoch that the receipt names")]
    OtherEpoch,
    /// The certificate is not believed.
    #[error("the receipt's certificate is not believed: {0}")]
    Certificate(#[from] CertificateError),
}

impl Receipt {
    /// `version u8 ‖ payment ‖ index u32 ‖ count u32 ‖ path ‖ header 285 ‖ header index u32 ‖
    /// header count u32 ‖ path ‖ closing header 285 ‖ certificate`; path lengths follow from counts.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::default().u8(1).bytes(&self.payment.encode()).u32(self.index).u32(self.count);
        let writer = self.path.iter().fold(writer, |writer, hash| writer.bytes(&hash.0));
        let writer = writer.bytes(&self.header.encode()).u32(self.header_index).u32(self.header_count);
        let writer = self.header_path.iter().fold(writer, |writer, hash| writer.bytes(&hash.0));
        writer.bytes(&self.closing.encode()).bytes(&self.certificate.encode()).finish()
    }

    /// Reads what [`Receipt::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("receipt", bytes);
        reader.version()?;
        let payment = SignedPayment::read(&mut reader)?;
        let (index, count, path) = Self::read_path(&mut reader)?;
        let header = Header::read(&mut reader)?;
        let (header_index, header_count, header_path) = Self::read_path(&mut reader)?;
        let closing = Header::read(&mut reader)?;
        let certificate = Certificate::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { payment, index, count, path, header, header_index, header_count, header_path, closing, certificate })
    }

    fn read_path(reader: &mut Reader<'_>) -> Result<(u32, u32, Vec<Hash>), DecodeError> {
        let (index, count) = (reader.u32("index")?, reader.u32("count")?);
        if index >= count {
            return Err(reader.error("index", format!("{index} is not below the count {count}")));
        }
        let path = (0..tree::path_length(u64::from(count)))
            .map(|_| reader.array("path").map(Hash))
            .collect::<Result<_, _>>()?;
        Ok((index, count, path))
    }

    /// Checks every link from the payment to the signatures.
    pub fn verify(&self, community: &CommunityId, servers: &ServerSet, rule: Rule) -> Result<Grade, ReceiptError> {
        self.verify_without(community, servers, rule, &BTreeSet::new())
    }

    /// Like [`Receipt::verify`], where the keys in evidence count zero.
    pub fn verify_without(
        &self,
        community: &CommunityId,
        servers: &ServerSet,
        rule: Rule,
        double_signers: &BTreeSet<ServerKey>,
    ) -> Result<Grade, ReceiptError> {
        self.payment.check(community).map_err(ReceiptError::Payment)?;
        let checkpoint = &self.certificate.checkpoint;
        if [self.header.community, self.closing.community, checkpoint.community] != [*community; 3] {
            return Err(ReceiptError::OtherCommunity);
        }
        let leaf = tree::leaf(&self.payment.payment.id(community).0);
        let root = tree::root_of_path(leaf, u64::from(self.index), u64::from(self.count), &self.path);
        if root != Some(self.header.payments_root) {
            return Err(ReceiptError::NotInBatch);
        }
        let (index, count) = (u64::from(self.header_index), u64::from(self.header_count));
        let root = tree::root_of_path(tree::leaf(&self.header.hash().0), index, count, &self.header_path);
        if root != Some(self.closing.payments_root) || self.header.epoch != self.closing.epoch {
            return Err(ReceiptError::NotInEpoch);
        }
        if self.closing.hash() != checkpoint.closing_header || self.closing.epoch != checkpoint.epoch {
            return Err(ReceiptError::OtherEpoch);
        }
        Ok(self.certificate.verify(servers, rule, double_signers)?)
    }
}
