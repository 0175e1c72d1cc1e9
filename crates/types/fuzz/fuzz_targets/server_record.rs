//! Bytes taken for a `ServerRecord`.
#![no_main]
use seedbank_types::ServerRecord;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, ServerRecord::decode, ServerRecord::encode);
});
