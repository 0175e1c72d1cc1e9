//! A whole node: packets, answers, jobs and time, as arbitrary bytes spell them.
#![no_main]
#[path = "../../tests/strangers/conversation.rs"]
mod conversation;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    conversation::converse(bytes);
});
