//! Bytes taken for a `Genesis`.
#![no_main]
use seedbank_types::Genesis;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Genesis::decode, Genesis::encode);
});
