//! Bytes taken for a `Checkpoint`.
#![no_main]
use seedbank_types::Checkpoint;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Checkpoint::decode, Checkpoint::encode);
});
