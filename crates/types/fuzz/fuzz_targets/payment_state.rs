//! Bytes taken for a `PaymentState`.
#![no_main]
use seedbank_types::PaymentState;
use seedbank_types_fuzz::{whole, written_back};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, |bytes| whole(bytes, PaymentState::read), PaymentState::encode);
});
