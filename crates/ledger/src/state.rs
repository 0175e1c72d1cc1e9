//! What follows from all batches so far, beside the accounts themselves.
use seedbank_types::{AccountRecord, Amount, CommunityId, DecodeError, Hash, Height, Reader, ServerSet, Writer};

const DIGEST_PREFIX: &[u8] = b"seedbank/state/1";

/// Height, digest, supply and servers after a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerState {
    /// Height of the last batch.
    pub height: Height,
    /// State digest: a running hash over all changes.
    pub digest: Hash,
    /// Sum of all balances.
    pub supply: Amount,
    /// How many accounts.
    pub count: u64,
    /// Height of the last batch that changed any record; 0 if none did.
    pub last_change: Height,
    /// The servers that were in force in the last closed epoch: they sign its checkpoint.
    pub signers: ServerSet,
    /// The servers in force.
    pub servers: ServerSet,
    /// The servers in force from the next epoch on.
    pub next_servers: ServerSet,
}

impl LedgerState {
    /// The state at height 0: digest = H(`"seedbank/state/1"` ‖ community ‖ root).
    #[must_use]
    pub fn genesis(community: &CommunityId, root: Hash, count: u64, supply: Amount, servers: ServerSet) -> Self {
        Self {
            height: Height(0),
            digest: Hash::of(&[DIGEST_PREFIX, &community.0, &root.0]),
            supply,
            count,
            last_change: Height(0),
            signers: servers.clone(),
            next_servers: servers.clone(),
            servers,
        }
    }

    /// The digest after `height` if `records` differ (ascending by id) and `supply` results.
    #[must_use]
    pub(crate) fn digest_after(&self, height: Height, supply: Amount, records: &[AccountRecord]) -> Hash {
        if records.is_empty() {
            return self.digest;
        }
        let mut bytes = Vec::with_capacity(64 + records.len() * AccountRecord::BYTES);
        bytes.extend_from_slice(DIGEST_PREFIX);
        bytes.extend_from_slice(&self.digest.0);
        bytes.extend_from_slice(&height.0.to_be_bytes());
        bytes.extend_from_slice(&supply.0.to_be_bytes());
        records.iter().for_each(|record| bytes.extend_from_slice(&record.encode()));
        Hash::of(&[&bytes])
    }

    /// The state after a closing header: no record differs, the next servers take over.
    #[must_use]
    pub fn after_closing(&self) -> Self {
        let (signers, servers) = (self.servers.clone(), self.next_servers.clone());
        Self { height: self.height.next(), signers, servers, ..self.clone() }
    }

    /// For the store: `height u64 ‖ digest 32 ‖ supply u64 ‖ count u64 ‖ last change u64 ‖ signers ‖ servers ‖ next servers`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::default()
            .u64(self.height.0)
            .bytes(&self.digest.0)
            .u64(self.supply.0)
            .u64(self.count)
            .u64(self.last_change.0)
            .bytes(&self.signers.encode())
            .bytes(&self.servers.encode())
            .bytes(&self.next_servers.encode())
            .finish()
    }

    /// Reads what [`LedgerState::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("ledger state", bytes);
        let state = Self {
            height: Height(reader.u64("height")?),
            digest: Hash(reader.array("digest")?),
            supply: Amount(reader.u64("supply")?),
            count: reader.u64("count")?,
            last_change: Height(reader.u64("last change")?),
            signers: ServerSet::read(&mut reader)?,
            servers: ServerSet::read(&mut reader)?,
            next_servers: ServerSet::read(&mut reader)?,
        };
        reader.finish()?;
        Ok(state)
    }
}
