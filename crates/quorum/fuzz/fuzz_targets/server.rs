//! Messages and bodies said to a whole server.
#![no_main]
use seedbank_quorum_fuzz::converse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    converse(bytes);
});
