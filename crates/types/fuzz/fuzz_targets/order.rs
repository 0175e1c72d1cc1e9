//! Bytes taken for a `SignedOrder`.
#![no_main]
use seedbank_types::SignedOrder;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, SignedOrder::decode, SignedOrder::encode);
});
