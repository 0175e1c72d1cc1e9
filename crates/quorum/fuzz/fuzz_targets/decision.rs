//! Bytes taken for a `Decision`.
#![no_main]
use seedbank_quorum::Decision;
use seedbank_quorum_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Decision::decode, Decision::encode);
});
