//! Payments: the signed order of an account's key to move an amount.
use crate::codec::{DecodeError, Reader, Writer};
use crate::{
    AccountId, AccountPublicKey, AccountSecret, Amount, CommunityId, Epoch, Hash, KeyError, PaymentId, Refusal,
};

/// Longest memo.
pub const MEMO_BYTES_MAX: usize = 80;
/// How many epochs ahead a payment's last epoch may lie.
pub const PAYMENT_EXPIRY_EPOCHS_MAX: u64 = 1_440;
/// Longest signed payment on the wire.
pub const SIGNED_PAYMENT_BYTES_MAX: usize = 33 + 20 + 32 + 1 + MEMO_BYTES_MAX + 64;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Compressed public key of the payer, as on the wire; checked by [`SignedPayment::check`].
    pub payer_key: [u8; 33],
    /// Who receives.
    pub payee: AccountId,
    /// What the payee receives.
    pub amount: Amount,
    /// What the fee account receives.
    pub fee: Amount,
    /// Number of this payment among those of the payer, from 0.
    pub sequence: u64,
    /// Last epoch in which it may be ordered.
    pub expires: Epoch,
    /// Free text for the payee, at most 80 bytes; public.
    pub memo: Vec<u8>,
}

impl Payment {
    /// `key 33 ‖ payee 20 ‖ amount 8 ‖ fee 8 ‖ sequence 8 ‖ expires 8 ‖ memo length 1 ‖ memo`.
    ///
    /// # Panics
    /// If the memo is longer than 255 bytes; whoever makes a payment holds it to [`MEMO_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::with_capacity(SIGNED_PAYMENT_BYTES_MAX)
            .bytes(&self.payer_key)
            .bytes(&self.payee.0)
            .u64(self.amount.0)
            .u64(self.fee.0)
            .u64(self.sequence)
            .u64(self.expires.0)
            .short(&self.memo)
            .finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let payment = Self {
            payer_key: reader.array("payer key")?,
            payee: AccountId(reader.array("payee")?),
            amount: Amount(reader.u64("amount")?),
            fee: Amount(reader.u64("fee")?),
            sequence: reader.u64("sequence")?,
            expires: Epoch(reader.u64("expires")?),
            memo: {
                let length = usize::from(reader.u8("memo length")?);
                reader.take("memo", length)?.to_vec()
            },
        };
        if payment.memo.len() > MEMO_BYTES_MAX {
            return Err(reader.error("memo", format!("{} bytes, at most {MEMO_BYTES_MAX}", payment.memo.len())));
        }
        Ok(payment)
    }

    /// H(`"seedbank/payment/1"` ‖ community ‖ bytes): its name, and what the key signs.
    #[must_use]
    pub fn id(&self, community: &CommunityId) -> PaymentId {
        PaymentId(Hash::of(&[b"seedbank/payment/1", &community.0, &self.encode()]).0)
    }

    /// The payer's account.
    #[must_use]
    pub fn payer(&self) -> AccountId {
        AccountId::of_key_bytes(&self.payer_key)
    }

    /// Signs for a community.
    #[must_use]
    pub fn sign(self, community: &CommunityId, secret: &AccountSecret) -> SignedPayment {
        let signature = secret.sign(&self.id(community).0);
        SignedPayment { payment: self, signature }
    }
}

/// A payment with its signature, as it is sent and ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPayment {
    /// What is signed.
    pub payment: Payment,
    /// ECDSA secp256k1, r‖s, over the payment id.
    pub signature: [u8; 64],
}

impl SignedPayment {
    /// The payment's bytes, then the signature.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.payment.encode();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// How long [`SignedPayment::encode`] is.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        SIGNED_PAYMENT_BYTES_MAX - MEMO_BYTES_MAX + self.payment.memo.len()
    }

    /// Reads what [`SignedPayment::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("payment", bytes);
        let payment = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(payment)
    }

    /// Reads a signed payment out of a longer format.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { payment: Payment::read(reader)?, signature: reader.array("signature")? })
    }

    /// Checks memo, key and signature: all that can be known without the ledger.
    pub fn check(&self, community: &CommunityId) -> Result<(), Refusal> {
        // What is too long cannot be encoded, and so has no id.
        self.check_memo()?;
        self.check_named(&self.payment.id(community), AccountPublicKey::from_bytes)
    }

    /// The same for whoever knows the payment's id already, and perhaps what
    /// [`AccountPublicKey::from_bytes`] makes of the payer's key: that is a tenth of a check.
    pub fn check_named(
        &self,
        id: &PaymentId,
        key_of: impl FnOnce(&[u8; 33]) -> Result<AccountPublicKey, KeyError>,
    ) -> Result<(), Refusal> {
        self.check_memo()?;
        let key = key_of(&self.payment.payer_key).map_err(|_not_a_point| Refusal::BadKey)?;
        if key.verifies(&id.0, &self.signature) { Ok(()) } else { Err(Refusal::BadSignature) }
    }

    const fn check_memo(&self) -> Result<(), Refusal> {
        if self.payment.memo.len() > MEMO_BYTES_MAX { Err(Refusal::MemoTooLong) } else { Ok(()) }
    }
}
