//! Bytes taken for a `Message`.
#![no_main]
use seedbank_quorum::Message;
use seedbank_quorum_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, Message::decode, Message::encode);
});
