//! Bytes taken for a `AccountRecord`.
#![no_main]
use seedbank_types::AccountRecord;
use seedbank_types_fuzz::written_back;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    written_back(bytes, AccountRecord::decode, |record| record.encode().to_vec());
});
