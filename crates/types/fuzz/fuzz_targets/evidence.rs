//! Bytes taken for a `Evidence`.
#![no_main]
use seedbank_types::Evidence;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Evidence::decode, Evidence::encode);
});
