//! Bytes taken for a `ServerSet`.
#![no_main]
use seedbank_types::ServerSet;
use seedbank_types_fuzz::{whole, written_back};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, |bytes| whole(bytes, ServerSet::read), ServerSet::encode);
});
