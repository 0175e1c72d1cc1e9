//! Bytes taken for a `SignedPayment`.
#![no_main]
use seedbank_types::SignedPayment;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, SignedPayment::decode, SignedPayment::encode);
});
