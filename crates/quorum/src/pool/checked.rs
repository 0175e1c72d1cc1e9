//! Payments whose signatures need not be verified any more.
use seedbank_types::{AccountId, AccountPublicKey, CommunityId, KeyError, Payment, PaymentId, Refusal, SignedPayment};

/// A payment whose key and signature were verified on this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPayment {
    signed: SignedPayment,
    id: PaymentId,
    payer: AccountId,
}

impl CheckedPayment {
    /// Verifies key and signature; the only way to make one. Costs about 50 µs: do it off the main loop.
    pub fn check(signed: SignedPayment, community: &CommunityId) -> Result<Self, Refusal> {
        Self::check_unless(signed, community, |_, _| false, AccountPublicKey::from_bytes)
    }

    /// The same, unless `is_known` says that this server has verified this very signature over this
    /// id before. To know the id is not enough: it does not cover the signature. `key_of` may remember
    /// what [`AccountPublicKey::from_bytes`] gave for the same bytes.
    pub fn check_unless(
        signed: SignedPayment,
        community: &CommunityId,
        is_known: impl FnOnce(&PaymentId, &[u8; 64]) -> bool,
        key_of: impl FnOnce(&[u8; 33]) -> Result<AccountPublicKey, KeyError>,
    ) -> Result<Self, Refusal> {
        let id = signed.payment.id(community);
        if !is_known(&id, &signed.signature) {
            signed.check_named(&id, key_of)?;
        }
        let payer = signed.payment.payer();
        Ok(Self { signed, id, payer })
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.id
    }

    /// The payment.
    #[must_use]
    pub const fn signed(&self) -> &SignedPayment {
        &self.signed
    }

    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> AccountId {
        self.payer
    }

    pub(super) const fn payment(&self) -> &Payment {
        &self.signed.payment
    }

    /// What the payer loses.
    pub(super) fn moves(&self) -> u128 {
        u128::from(self.signed.payment.amount.0) + u128::from(self.signed.payment.fee.0)
    }
}
