//! Genesis: how a community begins, for good.
use crate::codec::{DecodeError, Reader, Writer};
use crate::{AccountId, Amount, CommunityId, Hash, RESERVED_ORDERS_ACCOUNT, Rule, ServerSet, TimeMs};

/// Most servers a community may have.
pub const MAX_SERVERS: usize = 13;

const PREFIX: &[u8] = b"seedbank/genesis/1";
const DECIMALS_MAX: u8 = 8;

/// All that is fixed at the start. Its hash is the community's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// When the community was made; epochs count from here.
    pub created: TimeMs,
    /// Length of an epoch.
    pub epoch_ms: u64,
    /// Every so many epochs a full file is cut at the latest.
    pub full_interval: u32,
    /// Whose agreement is enough.
    pub quorum: Rule,
    /// Digits after the point when amounts are shown.
    pub decimals: u8,
    /// The community's name.
    pub name: String,
    /// The currency's symbol.
    pub symbol: String,
    /// Who receives fees.
    pub fee_account: AccountId,
    /// Least fee of a payment.
    pub minimum_fee: Amount,
    /// Least amount of a payment that opens an account.
    pub opening_minimum: Amount,
    /// State root at height 0.
    pub root: Hash,
    /// Accounts at height 0.
    pub count: u64,
    /// Money at height 0.
    pub supply: Amount,
    /// The first servers.
    pub servers: ServerSet,
}

/// Why values do not make a genesis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Epochs of no length.
    #[error("the epoch has {0} ms: at least 100 are needed")]
    EpochTooShort(u64),
    /// Never a full file.
    #[error("the full interval is 0 epochs: at least 1 is needed")]
    NoFullInterval,
    /// More decimals than the format knows.
    #[error("{0} decimals are too many: at most {DECIMALS_MAX}")]
    TooManyDecimals(u8),
    /// No or too long a name.
    #[error("the {what} has {bytes} bytes: 1 to 255 are needed")]
    TextLength {
        /// `name` or `symbol`.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The reserved account cannot take fees.
    #[error("the fee account is the reserved account of the orders")]
    ReservedFeeAccount,
    /// The reserved account must be there.
    #[error("there is no account: the reserved account of the orders belongs into every genesis")]
    NoAccounts,
}

impl Genesis {
    /// Checks what the format demands of the values.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.epoch_ms < 100 {
            return Err(GenesisError::EpochTooShort(self.epoch_ms));
        }
        if self.full_interval == 0 {
            return Err(GenesisError::NoFullInterval);
        }
        if self.decimals > DECIMALS_MAX {
            return Err(GenesisError::TooManyDecimals(self.decimals));
        }
        for (what, text) in [("name", &self.name), ("symbol", &self.symbol)] {
            if text.is_empty() || text.len() > usize::from(u8::MAX) {
                return Err(GenesisError::TextLength { what, bytes: text.len() });
            }
        }
        if self.fee_account == RESERVED_ORDERS_ACCOUNT {
            return Err(GenesisError::ReservedFeeAccount);
        }
        if self.count == 0 { Err(GenesisError::NoAccounts) } else { Ok(()) }
    }

    /// The bytes, as in `docs/protocol.md`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::default()
            .bytes(PREFIX)
            .u64(self.created.0)
            .u64(self.epoch_ms)
            .u32(self.full_interval)
            .u8(self.quorum.byte())
            .u8(self.decimals)
            .short(self.name.as_bytes())
            .short(self.symbol.as_bytes())
            .bytes(&self.fee_account.0)
            .u64(self.minimum_fee.0)
            .u64(self.opening_minimum.0)
            .bytes(&self.root.0)
            .u64(self.count)
            .u64(self.supply.0)
            .bytes(&self.servers.encode())
            .finish()
    }

    /// Reads and checks what [`Genesis::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("genesis", bytes);
        if reader.take("prefix", PREFIX.len())? != PREFIX {
            return Err(reader.error("prefix", "the file does not begin with `seedbank/genesis/1`"));
        }
        let genesis = Self {
            created: TimeMs(reader.u64("created")?),
            epoch_ms: reader.u64("epoch length")?,
            full_interval: reader.u32("full interval")?,
            quorum: {
                let byte = reader.u8("quorum")?;
                Rule::from_byte(byte).ok_or_else(|| reader.error("quorum", format!("no rule has number {byte}")))?
            },
            decimals: reader.u8("decimals")?,
            name: reader.text("name")?.to_owned(),
            symbol: reader.text("symbol")?.to_owned(),
            fee_account: AccountId(reader.array("fee account")?),
            minimum_fee: Amount(reader.u64("minimum fee")?),
            opening_minimum: Amount(reader.u64("opening minimum")?),
            root: Hash(reader.array("root")?),
            count: reader.u64("count")?,
            supply: Amount(reader.u64("supply")?),
            servers: ServerSet::read(&mut reader)?,
        };
        genesis.check().map_err(|error| reader.error("values", error.to_string()))?;
        reader.finish()?;
        Ok(genesis)
    }

    /// H(bytes): the community's identity.
    #[must_use]
    pub fn community(&self) -> CommunityId {
        CommunityId(Hash::of(&[&self.encode()]).0)
    }

    /// The newest epoch that can have ended at `now`: a later one is a lie.
    #[must_use]
    pub const fn latest_epoch(&self, now: TimeMs) -> u64 {
        now.since(self.created) / self.epoch_ms
    }
}
