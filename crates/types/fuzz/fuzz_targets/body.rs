//! Bytes taken for a `Body`.
#![no_main]
use seedbank_types::Body;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Body::decode, Body::encode);
});
