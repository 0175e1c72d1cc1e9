//! Bytes taken for a `Certificate`.
#![no_main]
use seedbank_types::Certificate;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Certificate::decode, Certificate::encode);
});
