//! Bytes taken for a `Guard`.
#![no_main]
use seedbank_quorum::Guard;
use seedbank_quorum_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Guard::decode, Guard::encode);
});
