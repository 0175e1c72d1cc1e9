//! What a server says about a payment.
use crate::codec::{DecodeError, Reader, Writer};
use crate::{Epoch, Hash, Height, Refusal};

/// How far a payment has come, as one server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentState {
    /// The server has never heard of it, or has forgotten it.
    Unknown,
    /// Accepted by the server; waits to be ordered.
    Sent,
    /// Ordered and applied.
    Final {
        /// Height of its batch.
        height: Height,
        /// Hash of that batch's header.
        header: Hash,
    },
    /// Ordered, and its epoch is certified.
    Certified {
        /// Height of its batch.
        height: Height,
        /// Hash of that batch's header.
        header: Hash,
        /// The certified epoch it belongs to.
        epoch: Epoch,
    },
    /// Not accepted.
    Refused(Refusal),
}

impl PaymentState {
    /// The stable name in JSON: `unknown`, `sent`, `final`, `certified` or `refused`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Sent => "sent",
            Self::Final { .. } => "final",
            Self::Certified { .. } => "certified",
            Self::Refused(_) => "refused",
        }
    }

    /// `kind u8` (0 unknown, 1 sent, 2 final, 3 certified, 4 refused), then `height u64 ‖ header 32`
    /// (2, 3), `epoch u64` (3), or the refusal (4).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::default();
        match self {
            Self::Unknown => writer.u8(0),
            Self::Sent => writer.u8(1),
            Self::Final { height, header } => writer.u8(2).u64(height.0).bytes(&header.0),
            Self::Certified { height, header, epoch } => writer.u8(3).u64(height.0).bytes(&header.0).u64(epoch.0),
            Self::Refused(refusal) => writer.u8(4).bytes(&refusal.encode()),
        }
        .finish()
    }

    /// Reads a state out of a longer format.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("state")? {
            0 => Ok(Self::Unknown),
            1 => Ok(Self::Sent),
            2 => Ok(Self::Final { height: Height(reader.u64("height")?), header: Hash(reader.array("header hash")?) }),
            3 => Ok(Self::Certified {
                height: Height(reader.u64("height")?),
                header: Hash(reader.array("header hash")?),
                epoch: Epoch(reader.u64("epoch")?),
            }),
            4 => Refusal::read(reader).map(Self::Refused),
            other => Err(reader.error("state", format!("no state has number {other}"))),
        }
    }
}
