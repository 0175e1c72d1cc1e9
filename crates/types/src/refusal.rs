//! Why a payment or an order is refused: one list for ledger, wire, API and command line.
use crate::codec::{DecodeError, Reader, Writer};

/// Declares the refusals with their wire byte, code and text; the detail is one number.
macro_rules! refusals {
    ($($byte:literal $name:ident $(($detail:ident))? $code:literal $text:literal $next:literal;)*) => {
        /// A named reason for which a payment or an order is not accepted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        pub enum Refusal {
            $(#[doc = $text] #[error($text)] $name $({
                #[doc = "The number that the text speaks of."] $detail: u64
            })?,)*
        }

        impl Refusal {
            /// The stable name in JSON.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)* }
            }

            /// What the person can do about it.
            #[must_use]
            pub const fn next(&self) -> &'static str {
                match self { $(Self::$name { .. } => $next,)* }
            }

            fn to_wire(self) -> (u8, u64) {
                match self { $(Self::$name $({ $detail })? => ($byte, 0 $(+ $detail)?),)* }
            }

            fn from_wire(byte: u8, detail: u64) -> Option<Self> {
                match byte {
                    $($byte => { let _detail = detail; Some(Self::$name $({ $detail: _detail })?) })*
                    _ => None,
                }
            }
        }
    };
}

refusals! {
    1 Malformed "malformed" "the bytes are not a payment or an order" "Make it again with this program.";
    2 BadKey "bad_key" "the payer's key is not a secp256k1 public key" "Make the payment again with this program.";
    3 BadSignature "bad_signature" "the signature is not by the payer's key, or for another community" "Check that the trust file is the one of this community.";
    4 SameAccount "same_account" "payer and payee are the same account" "Choose another payee.";
    5 ZeroAmount "zero_amount" "the amount is 0" "Choose an amount above 0.";
    6 FeeTooLow(minimum) "fee_too_low" "the fee is below the minimum of {minimum} minor units" "Pay again with at least the minimum fee.";
    7 WrongSequence(expected) "wrong_sequence" "the sequence is not {expected}, the number of payments the account has made" "Wait for earlier payments of this account to become final, then pay again.";
    8 InsufficientBalance(balance) "insufficient_balance" "the account has {balance} minor units left to pay with, less than amount and fee together" "Pay less, or receive something first.";
    9 Expired(epoch) "expired" "the payment could be ordered until its last epoch only; now is epoch {epoch}" "Nothing was moved. Pay again.";
    10 ExpiresTooFar(latest) "expires_too_far" "the payment's last epoch is too far ahead; {latest} is the latest allowed" "Pay again with an earlier last epoch.";
    11 BelowOpeningMinimum(minimum) "below_opening_minimum" "the payee has no account yet: the first payment must move at least {minimum} minor units" "Pay at least the opening minimum.";
    12 ReservedAccount "reserved_account" "the account that counts orders neither pays nor is paid" "Choose another payee.";
    13 BalanceOverflow "balance_overflow" "the payee's balance would not fit 64 bits" "Pay less.";
    14 MemoTooLong "memo_too_long" "the memo is longer than 80 bytes" "Shorten the memo.";
    20 OrderNoQuorum "order_no_quorum" "the order is not signed by a quorum of the servers" "Collect more servers' signatures.";
    21 OrderWrongSequence(expected) "order_wrong_sequence" "the order's sequence is not {expected}, the number of orders so far" "Make the order again with that sequence.";
    22 OrderExpired(epoch) "order_expired" "the order could take effect until its last epoch only; now is epoch {epoch}" "Make the order again.";
    23 SupplyOverflow "supply_overflow" "the supply would not fit 64 bits" "Issue less.";
    24 FeeAccountShort(balance) "fee_account_short" "the fee account holds {balance} minor units, less than should be retired" "Retire less.";
    25 ServersUnchanged "servers_unchanged" "the order names the servers that are in force already" "Nothing to do.";
    30 Busy "busy" "the server has too many payments waiting" "Try again in a few seconds; the same payment can be sent again safely.";
    31 NoQuorum "no_quorum" "this server does not hear enough other servers to agree on payments" "Wait until more servers are back; the same payment can be sent again safely.";
    32 TooManyWaiting(limit) "too_many_waiting" "the account has {limit} payments waiting, as many as may" "Wait until some of them are final; the same payment can be sent again safely.";
    33 StampTooWeak(bits) "stamp_too_weak" "the server is asked for much and takes only payments with a stamp of {bits} bits" "Pay with a program that makes stamps; the same payment can be sent again safely with one.";
}

impl Refusal {
    /// Length on the wire.
    pub const BYTES: usize = 9;

    /// `reason u8 ‖ detail u64`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (byte, detail) = self.to_wire();
        Writer::with_capacity(Self::BYTES).u8(byte).u64(detail).finish()
    }

    /// Reads a refusal out of a longer format.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (byte, detail) = (reader.u8("reason")?, reader.u64("detail")?);
        match Self::from_wire(byte, detail) {
            Some(refusal) if refusal.to_wire() == (byte, detail) => Ok(refusal),
            _ => Err(reader.error("reason", format!("no refusal has number {byte} with detail {detail}"))),
        }
    }

    /// Whether the very same payment may be accepted later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::NoQuorum | Self::TooManyWaiting { .. } | Self::StampTooWeak { .. })
    }
}
