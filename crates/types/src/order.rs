//! Orders: commands of the servers themselves, signed by a quorum of them.
use std::collections::BTreeSet;

use crate::certificate::{NumberedSignature, power_of_signatures, read_signatures, write_signatures};
use crate::codec::{DecodeError, Reader, Writer};
use crate::{AccountId, Amount, CommunityId, Epoch, Hash, PaymentId, Refusal, Rule, ServerSet};

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKind {
    /// New money for an account.
    Issue {
        /// Who receives it.
        account: AccountId,
        /// How much.
        amount: Amount,
    },
    /// Money of the fee account ceases to be.
    Retire {
        /// How much.
        amount: Amount,
    },
    /// Other servers from the next epoch on.
    Servers(ServerSet),
}

/// An order without signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is ordered.
    pub kind: OrderKind,
    /// Number of this order, from 0; counted by the reserved account.
    pub sequence: u64,
    /// Last epoch in which it may take effect.
    pub last_epoch: Epoch,
}

impl Order {
    /// `kind u8 ‖ sequence u64 ‖ last epoch u64 ‖ payload`; payload: issue `account 20 ‖ amount u64`,
    /// retire `amount u64`, servers `n u8 ‖ n x (key 32 ‖ power u64)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match &self.kind {
            OrderKind::Issue { account, amount } => (1, Writer::default().bytes(&account.0).u64(amount.0).finish()),
            OrderKind::Retire { amount } => (2, Writer::default().u64(amount.0).finish()),
            OrderKind::Servers(set) => (3, set.encode()),
        };
        Writer::with_capacity(17 + payload.len())
            .u8(kind)
            .u64(self.sequence)
            .u64(self.last_epoch.0)
            .bytes(&payload)
            .finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.u8("kind")?;
        let (sequence, last_epoch) = (reader.u64("sequence")?, Epoch(reader.u64("last epoch")?));
        let kind = match kind {
            1 => {
                OrderKind::Issue { account: AccountId(reader.array("account")?), amount: Amount(reader.u64("amount")?) }
            }
            2 => OrderKind::Retire { amount: Amount(reader.u64("amount")?) },
            3 => OrderKind::Servers(ServerSet::read(reader)?),
            other => return Err(reader.error("kind", format!("no order has kind {other}"))),
        };
        Ok(Self { kind, sequence, last_epoch })
    }

    /// What servers sign: `"seedbank/order/1" ‖ community ‖ order`.
    #[must_use]
    pub fn signed_bytes(&self, community: &CommunityId) -> Vec<u8> {
        [&b"seedbank/order/1"[..], &community.0, &self.encode()].concat()
    }

    /// Hash of the signed bytes: its name beside the payment ids.
    #[must_use]
    pub fn id(&self, community: &CommunityId) -> PaymentId {
        PaymentId(Hash::of(&[&self.signed_bytes(community)]).0)
    }
}

/// An order with the signatures of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOrder {
    /// What is ordered.
    pub order: Order,
    /// Signatures, numbers ascending.
    pub signatures: Vec<NumberedSignature>,
}

impl SignedOrder {
    /// The order's bytes, then `n u8 ‖ n x (server number u8 ‖ signature 64)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write_signatures(Writer::default().bytes(&self.order.encode()), &self.signatures).finish()
    }

    /// Reads what [`SignedOrder::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("order", bytes);
        let order = Self { order: Order::read(&mut reader)?, signatures: read_signatures(&mut reader)? };
        reader.finish()?;
        Ok(order)
    }

    /// Checks the signatures against the servers in force.
    pub fn check(&self, community: &CommunityId, servers: &ServerSet, rule: Rule) -> Result<(), Refusal> {
        let message = self.order.signed_bytes(community);
        match power_of_signatures(&message, &self.signatures, servers, &BTreeSet::new()) {
            Ok(power) if rule.is_quorum(power, servers.total()) => Ok(()),
            _ => Err(Refusal::OrderNoQuorum),
        }
    }
}
