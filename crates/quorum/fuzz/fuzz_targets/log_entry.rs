//! Bytes taken for an entry of the log, by a server that starts.
#![no_main]
use seedbank_quorum_fuzz::replay;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replay(vec![bytes.to_vec()]);
});
