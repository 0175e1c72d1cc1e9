//! Checkpoints: the statement about the database at the end of an epoch.
use crate::codec::{DecodeError, Reader, Writer};
use crate::{Amount, CommunityId, Epoch, Hash, Height, InfoHash, ServerKey, ServerSecret, Signature, TimeMs};

/// Length of a checkpoint.
pub const CHECKPOINT_BYTES: usize = 257;

const SIGNED_PREFIX: &[u8] = b"seedbank/checkpoint/1";

/// A file in the swarm: its infohash and its length; zeroes mean "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRef {
    /// Where to find it.
    pub info_hash: InfoHash,
    /// Its bytes.
    pub length: u64,
}

impl FileRef {
    /// No file.
    pub const NONE: Self = Self { info_hash: InfoHash::ZERO, length: 0 };
}

/// The 257 bytes that servers sign at the end of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint {
    /// Whose.
    pub community: CommunityId,
    /// The epoch that ended.
    pub epoch: Epoch,
    /// Height of the closing header.
    pub height: Height,
    /// Time of the closing header.
    pub time: TimeMs,
    /// State root over all accounts.
    pub root: Hash,
    /// How many accounts.
    pub count: u64,
    /// Sum of all balances.
    pub supply: Amount,
    /// Hash of the closing header.
    pub closing_header: Hash,
    /// Hash of the checkpoint of the epoch before; zeroes for epoch 1.
    pub previous: Hash,
    /// Hash of the set that signs the next epoch.
    pub servers: Hash,
    /// The newest full file.
    pub snapshot: FileRef,
    /// What changed since, if a delta was cut.
    pub delta: FileRef,
}

impl Checkpoint {
    /// The 257 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::with_capacity(CHECKPOINT_BYTES)
            .u8(1)
            .bytes(&self.community.0)
            .u64(self.epoch.0)
            .u64(self.height.0)
            .u64(self.time.0)
            .bytes(&self.root.0)
            .u64(self.count)
            .u64(self.supply.0)
            .bytes(&self.closing_header.0)
            .bytes(&self.previous.0)
            .bytes(&self.servers.0)
            .bytes(&self.snapshot.info_hash.0)
            .u64(self.snapshot.length)
            .bytes(&self.delta.info_hash.0)
            .u64(self.delta.length)
            .finish()
    }

    /// Reads what [`Checkpoint::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("checkpoint", bytes);
        let checkpoint = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(checkpoint)
    }

    /// Reads a checkpoint out of a longer format.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version()?;
        Ok(Self {
            community: CommunityId(reader.array("community")?),
            epoch: Epoch(reader.u64("epoch")?),
            height: Height(reader.u64("height")?),
            time: TimeMs(reader.u64("time")?),
            root: Hash(reader.array("root")?),
            count: reader.u64("count")?,
            supply: Amount(reader.u64("supply")?),
            closing_header: Hash(reader.array("closing header hash")?),
            previous: Hash(reader.array("previous checkpoint hash")?),
            servers: Hash(reader.array("servers hash")?),
            snapshot: Self::read_file(reader, "snapshot infohash", "snapshot length")?,
            delta: Self::read_file(reader, "delta infohash", "delta length")?,
        })
    }

    fn read_file(reader: &mut Reader<'_>, hash: &'static str, length: &'static str) -> Result<FileRef, DecodeError> {
        Ok(FileRef { info_hash: InfoHash(reader.array(hash)?), length: reader.u64(length)? })
    }

    /// H(bytes): what the next checkpoint and closing header name.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[&self.encode()])
    }

    /// What servers sign: `"seedbank/checkpoint/1"` ‖ the 257 bytes.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        [SIGNED_PREFIX, &self.encode()].concat()
    }

    /// A server's signature over this checkpoint.
    #[must_use]
    pub fn sign(&self, secret: &ServerSecret) -> Signature {
        secret.sign(&self.signed_bytes())
    }

    /// Whether `signature` is that of `key` over this checkpoint.
    #[must_use]
    pub fn is_signed_by(&self, key: &ServerKey, signature: &Signature) -> bool {
        key.verifies(&self.signed_bytes(), signature)
    }
}
