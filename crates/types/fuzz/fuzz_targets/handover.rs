//! Bytes taken for a `Handover`.
#![no_main]
use seedbank_types::Handover;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Handover::decode, Handover::encode);
});
