//! Bytes taken for a `Refusal`.
#![no_main]
use seedbank_types::Refusal;
use seedbank_types_fuzz::{whole, written_back};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, |bytes| whole(bytes, Refusal::read), Refusal::encode);
});
