//! Bytes taken for a `Receipt`.
#![no_main]
use seedbank_types::Receipt;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Receipt::decode, Receipt::encode);
});
