//! What clients did and were told, in the order in which it ended.
use std::collections::BTreeMap;

use seedbank_types::{AccountId, Address, PaymentId};
use serde_json::{Value, json};

/// Where a payment was ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Height of its batch.
    pub height: u64,
    /// Hash of that batch's header, hex.
    pub header: String,
}

/// A payment between two accounts of the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Its name.
    pub id: PaymentId,
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// Minor units.
    pub amount: u64,
    /// Minor units, for the fee account.
    pub fee: u64,
    /// How many payments the payer had made before.
    pub sequence: u64,
}

/// What one server said about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It waits to be ordered.
    Sent,
    /// It was ordered.
    Final(Place),
    /// It was refused.
    Refused {
        /// The stable name of the reason.
        code: String,
        /// Whether these bytes can never be ordered after that.
        for_ever: bool,
    },
    /// The server does not know it.
    Unknown,
}

/// One thing that a client did or was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A payment was signed: from now on it may be ordered.
    Signed(Transfer),
    /// A server spoke about a payment.
    Told {
        /// Which payment.
        payment: PaymentId,
        /// Who spoke.
        server: usize,
        /// What it said.
        told: Told,
    },
    /// Servers of a quorum named the same place for a payment.
    Final {
        /// Which payment.
        payment: PaymentId,
        /// Where.
        place: Place,
    },
    /// A server told an account.
    Read {
        /// Who spoke.
        server: usize,
        /// Which account.
        account: AccountId,
        /// Minor units.
        balance: u64,
        /// Payments made so far.
        sequence: u64,
        /// The height at which it is so.
        height: u64,
    },
    /// A server showed a certificate.
    Certificate {
        /// Who spoke.
        server: usize,
        /// The certified epoch.
        epoch: u64,
        /// The height at its end.
        height: u64,
        /// H(checkpoint), hex.
        hash: String,
    },
    /// A light client told an account out of a certified snapshot.
    Verified {
        /// Which account.
        account: AccountId,
        /// Minor units.
        balance: u64,
        /// Payments made so far.
        sequence: u64,
        /// The epoch at whose end it was so.
        epoch: u64,
    },
    /// A fault began or ended, for people who read the history.
    Fault(String),
    /// A server gave no answer, for people who read the history.
    Silence {
        /// Who was asked.
        server: usize,
        /// What came instead.
        why: String,
    },
}

/// A deed with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it began, in microseconds since the start.
    pub begin_us: u64,
    /// When it ended.
    pub end_us: u64,
    /// Whose deed it is.
    pub client: u32,
    /// What was done.
    pub deed: Deed,
}

/// What the bank began with.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The accounts of the bank, the fee account among them, with their first balances.
    pub balances: BTreeMap<AccountId, u64>,
    /// Who receives the fees.
    pub fee_account: AccountId,
    /// All money.
    pub supply: u64,
}

/// All that was done and told.
#[derive(Debug, Clone)]
pub struct History {
    /// What the bank began with.
    pub opening: Opening,
    /// In the order of their ends.
    pub entries: Vec<Entry>,
}

/// What one server holds in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEnd {
    /// Its name.
    pub name: String,
    /// All money.
    pub supply: u64,
    /// Balance and sequence of each account of the bank.
    pub accounts: BTreeMap<AccountId, (u64, u64)>,
    /// Where each payment is that it holds.
    pub places: BTreeMap<PaymentId, Place>,
    /// The certified epoch that all were asked for, with H(checkpoint).
    pub checkpoint: (u64, String),
}

/// What the servers hold when all is healed.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// One after the other.
    pub servers: Vec<ServerEnd>,
}

impl History {
    /// All payments that were signed.
    pub(crate) fn transfers(&self) -> impl Iterator<Item = &Transfer> {
        self.entries.iter().filter_map(|entry| match &entry.deed {
            Deed::Signed(transfer) => Some(transfer),
            _ => None,
        })
    }

    /// One JSON object a line.
    #[must_use]
    pub fn to_json_lines(&self) -> String {
        self.entries.iter().map(|entry| format!("{}\n", entry.json())).collect()
    }
}

impl Entry {
    fn json(&self) -> Value {
        let mut value = self.deed.json();
        value["begin_us"] = self.begin_us.into();
        value["end_us"] = self.end_us.into();
        value["client"] = self.client.into();
        value
    }
}

impl Deed {
    fn json(&self) -> Value {
        let address = |id: &AccountId| Address(*id).to_string();
        match self {
            Self::Signed(one) => json!({
                "deed": "signed", "payment": one.id.to_string(), "payer": address(&one.payer),
                "payee": address(&one.payee), "amount": one.amount, "fee": one.fee, "sequence": one.sequence,
            }),
            Self::Told { payment, server, told } => {
                json!({ "deed": "told", "payment": payment.to_string(), "server": server, "told": told.json() })
            }
            Self::Final { payment, place } => {
                json!({ "deed": "final", "payment": payment.to_string(), "place": place.json() })
            }
            Self::Read { server, account, balance, sequence, height } => json!({
                "deed": "read", "server": server, "account": address(account), "balance": balance,
                "sequence": sequence, "height": height,
            }),
            Self::Certificate { server, epoch, height, hash } => json!({
                "deed": "certificate", "server": server, "epoch": epoch, "height": height, "hash": hash,
            }),
            Self::Verified { account, balance, sequence, epoch } => json!({
                "deed": "verified", "account": address(account), "balance": balance, "sequence": sequence, "epoch": epoch,
            }),
            Self::Fault(words) => json!({ "deed": "fault", "words": words }),
            Self::Silence { server, why } => json!({ "deed": "silence", "server": server, "why": why }),
        }
    }
}

impl Told {
    fn json(&self) -> Value {
        match self {
            Self::Sent => json!("sent"),
            Self::Unknown => json!("unknown"),
            Self::Final(place) => json!({ "final": place.json() }),
            Self::Refused { code, for_ever } => json!({ "refused": code, "for_ever": for_ever }),
        }
    }
}

impl Place {
    fn json(&self) -> Value {
        json!({ "height": self.height, "header": self.header })
    }
}
