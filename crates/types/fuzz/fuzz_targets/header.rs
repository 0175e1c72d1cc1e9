//! Bytes taken for a `Header`.
#![no_main]
use seedbank_types::Header;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Header::decode, Header::encode);
});
