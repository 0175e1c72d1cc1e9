//! Bytes taken for a `Proof`: no panic, and what is accepted is written back as the same bytes.
//! Nobody can sign what the fuzzer makes of a checkpoint, so none is believed.
#![no_main]
use seedbank_snapshot::Proof;
use seedbank_types::{Rule, ServerSecret, ServerSet};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(proof) = Proof::decode(bytes) else { return };
    assert_eq!(proof.encode(), bytes, "two encodings of one value");
    let stranger = ServerSecret::from_bytes(&[0x5e; 32]).public();
    let servers = ServerSet::new([(stranger, 1)]).expect("one valid key");
    let community = proof.certificate().checkpoint.community;
    assert!(proof.verify(&proof.id(), &community, &servers, Rule::Majority).is_err());
});
