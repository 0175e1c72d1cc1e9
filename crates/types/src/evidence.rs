//! Evidence: proof that a key signed two checkpoints of one epoch.
use crate::codec::{DecodeError, Reader, Writer};
use crate::{Checkpoint, ServerKey, Signature};

/// Two checkpoints of one epoch with signatures of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The double signer.
    pub key: ServerKey,
    /// The bytewise smaller checkpoint.
    pub a: Checkpoint,
    /// The key's signature over it.
    pub signature_a: Signature,
    /// The bytewise greater checkpoint.
    pub b: Checkpoint,
    /// The key's signature over it.
    pub signature_b: Signature,
}

/// Why evidence proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The two statements are one, or not in order.
    #[error("the two checkpoints are the same or not in ascending order")]
    NotTwo,
    /// Statements about different things do not contradict.
    #[error("the two checkpoints are of different communities or epochs, so they do not contradict")]
    NotComparable,
    /// A signature does not fit.
    #[error("a signature is not by the accused key")]
    BadSignature,
}

impl Evidence {
    const KIND_TWO_CHECKPOINTS: u8 = 1;

    /// Puts two signed checkpoints of one key in order.
    pub fn new(
        key: ServerKey,
        one: (Checkpoint, Signature),
        other: (Checkpoint, Signature),
    ) -> Result<Self, EvidenceError> {
        let (a, b) = if one.0.encode() < other.0.encode() { (one, other) } else { (other, one) };
        let evidence = Self { key, a: a.0, signature_a: a.1, b: b.0, signature_b: b.1 };
        evidence.verify()?;
        Ok(evidence)
    }

    /// Checks that the key contradicted itself. Whether the key is a server's is for the caller.
    pub fn verify(&self) -> Result<(), EvidenceError> {
        if self.a.encode() >= self.b.encode() {
            return Err(EvidenceError::NotTwo);
        }
        if (self.a.community, self.a.epoch) != (self.b.community, self.b.epoch) {
            return Err(EvidenceError::NotComparable);
        }
        let signed =
            self.a.is_signed_by(&self.key, &self.signature_a) && self.b.is_signed_by(&self.key, &self.signature_b);
        if signed { Ok(()) } else { Err(EvidenceError::BadSignature) }
    }

    /// `version u8 ‖ kind u8 = 1 ‖ key 32 ‖ A 257 ‖ signature 64 ‖ B 257 ‖ signature 64`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::default()
            .u8(1)
            .u8(Self::KIND_TWO_CHECKPOINTS)
            .bytes(&self.key.0)
            .bytes(&self.a.encode())
            .bytes(&self.signature_a.0)
            .bytes(&self.b.encode())
            .bytes(&self.signature_b.0)
            .finish()
    }

    /// Reads what [`Evidence::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("evidence", bytes);
        reader.version()?;
        match reader.u8("kind")? {
            Self::KIND_TWO_CHECKPOINTS => {}
            other => return Err(reader.error("kind", format!("no evidence has kind {other}"))),
        }
        let evidence = Self {
            key: ServerKey(reader.array("key")?),
            a: Checkpoint::read(&mut reader)?,
            signature_a: Signature(reader.array("signature A")?),
            b: Checkpoint::read(&mut reader)?,
            signature_b: Signature(reader.array("signature B")?),
        };
        reader.finish()?;
        Ok(evidence)
    }
}
