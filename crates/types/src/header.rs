//! Headers: what the servers agree on, one for each height.
use crate::codec::{DecodeError, Reader, Writer};
use crate::{CommunityId, Epoch, Hash, Height, ServerKey, TimeMs};

/// Length of a header.
pub const HEADER_BYTES: usize = 285;

/// The header of a batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Header {
    /// Whose.
    pub community: CommunityId,
    /// Number of the batch; the first is 1.
    pub height: Height,
    /// The epoch it belongs to (a closing header belongs to the epoch it closes).
    pub epoch: Epoch,
    /// When it was proposed; rises strictly.
    pub time: TimeMs,
    /// Who proposed it first.
    pub proposer: ServerKey,
    /// Hash of the header before; the community id before the first.
    pub previous: Hash,
    /// State digest after the height before.
    pub previous_state: Hash,
    /// Tree over the ids in the body; in a closing header, over the hashes of the epoch's other headers.
    pub payments_root: Hash,
    /// H(body).
    pub body_digest: Hash,
    /// Length of the body.
    pub body_length: u32,
    /// Hash of the set that is in force from the next epoch on.
    pub next_servers: Hash,
    /// Hash of the checkpoint of the epoch before, if this header closes epoch 2 or a later one.
    pub previous_checkpoint: Hash,
}

impl Header {
    /// The 285 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::with_capacity(HEADER_BYTES)
            .u8(1)
            .bytes(&self.community.0)
            .u64(self.height.0)
            .u64(self.epoch.0)
            .u64(self.time.0)
            .bytes(&self.proposer.0)
            .bytes(&self.previous.0)
            .bytes(&self.previous_state.0)
            .bytes(&self.payments_root.0)
            .bytes(&self.body_digest.0)
            .u32(self.body_length)
            .bytes(&self.next_servers.0)
            .bytes(&self.previous_checkpoint.0)
            .finish()
    }

    /// Reads what [`Header::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("header", bytes);
        let header = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(header)
    }

    /// Reads a header out of a longer format.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version()?;
        Ok(Self {
            community: CommunityId(reader.array("community")?),
            height: Height(reader.u64("height")?),
            epoch: Epoch(reader.u64("epoch")?),
            time: TimeMs(reader.u64("time")?),
            proposer: ServerKey(reader.array("proposer")?),
            previous: Hash(reader.array("previous header hash")?),
            previous_state: Hash(reader.array("previous state digest")?),
            payments_root: Hash(reader.array("payments root")?),
            body_digest: Hash(reader.array("body digest")?),
            body_length: reader.u32("body length")?,
            next_servers: Hash(reader.array("next servers hash")?),
            previous_checkpoint: Hash(reader.array("previous checkpoint hash")?),
        })
    }

    /// H(`"seedbank/header/1"` ‖ bytes).
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[b"seedbank/header/1", &self.encode()])
    }
}
