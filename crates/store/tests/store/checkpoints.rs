//! Intents, certificates, evidence, small values.
use seedbank_store::{META_BYTES_MAX, StoreError};
use seedbank_types::{Epoch, Evidence};

use crate::common::{Chain, certificate, checkpoint, image, secret, server};

#[test]
fn intent_is_never_replaced_by_another() {
    let chain = Chain::new(2);
    let intent = checkpoint(&chain.store, 3, 1);
    chain.store.put_intent(&intent).expect("the first of its epoch");
    chain.store.put_intent(&intent).expect("the same again");
    let chain = chain.reopen();
    let other = chain.store.put_intent(&checkpoint(&chain.store, 3, 2));
    assert!(matches!(other, Err(StoreError::OtherIntent(Epoch(3)))));
    assert_eq!(chain.store.intent(Epoch(3)).expect("readable"), Some(intent));
}

#[test]
fn intent_survives_a_power_cut() {
    let chain = Chain::new(2);
    let intent = checkpoint(&chain.store, 3, 1);
    chain.store.put_intent(&intent).expect("the first of its epoch");
    let cut = chain.dir.path().join("cut");
    image(&chain.path, &cut);
    let store = seedbank_store::Store::open(&cut).expect("opens without help");
    assert_eq!(store.intent(Epoch(3)).expect("readable"), Some(intent));
}

#[test]
fn newest_intent_and_certificate_are_those_of_the_highest_epoch() {
    let chain = Chain::new(2);
    assert_eq!(chain.store.newest_intent().expect("readable"), None);
    assert_eq!(chain.store.newest_certificate().expect("readable"), None);
    for epoch in [2, 300, 7] {
        let checkpoint = checkpoint(&chain.store, epoch, 1);
        chain.store.put_intent(&checkpoint).expect("the first of its epoch");
        chain.store.put_certificate(&certificate(&checkpoint, &[0, 1])).expect("the first of its epoch");
    }
    let newest = chain.store.newest_intent().expect("readable");
    assert_eq!(newest.map(|checkpoint| checkpoint.epoch), Some(Epoch(300)));
    let newest = chain.store.newest_certificate().expect("readable");
    assert_eq!(newest.map(|certificate| certificate.checkpoint.epoch), Some(Epoch(300)));
}

#[test]
fn certificate_gains_signatures_but_never_another_checkpoint() {
    let chain = Chain::new(2);
    let first = checkpoint(&chain.store, 1, 1);
    chain.store.put_certificate(&certificate(&first, &[0, 1])).expect("the first of its epoch");
    let fuller = certificate(&first, &[0, 1, 2]);
    chain.store.put_certificate(&fuller).expect("the same checkpoint");
    let other = chain.store.put_certificate(&certificate(&checkpoint(&chain.store, 1, 2), &[0, 1, 2]));
    assert!(matches!(other, Err(StoreError::OtherCertificate(Epoch(1)))));
    let chain = chain.reopen();
    assert_eq!(chain.store.certificate(Epoch(1)).expect("readable"), Some(fuller));
    assert_eq!(chain.store.certificate(Epoch(2)).expect("readable"), None);
}

#[test]
fn evidence_is_kept_once_for_each_server_and_epoch() {
    let chain = Chain::new(2);
    let evidence = |number, epoch, mark| {
        let [one, other] = [1, mark].map(|mark| checkpoint(&chain.store, epoch, mark));
        let signatures = [one.sign(&secret(number)), other.sign(&secret(number))];
        Evidence::new(server(number), (one, signatures[0]), (other, signatures[1])).expect("two of one epoch")
    };
    let (first, second, third) = (evidence(1, 5, 2), evidence(1, 6, 2), evidence(2, 5, 2));
    for new in [&first, &second, &third] {
        assert!(chain.store.put_evidence(new).expect("writable"));
    }
    assert!(!chain.store.put_evidence(&evidence(1, 5, 9)).expect("writable"), "one is enough");
    let mut all = vec![first, second, third];
    all.sort_by_key(|evidence| (evidence.key, evidence.a.epoch));
    assert_eq!(chain.store.evidence().expect("readable"), all);
    let chain = chain.reopen();
    assert_eq!(chain.store.evidence().expect("readable"), all);
}

#[test]
fn small_values_are_kept_under_their_names() {
    let chain = Chain::new(2);
    assert_eq!(chain.store.meta("genesis").expect("readable"), None, "other names than the store's own");
    chain.store.meta_put("genesis", b"x").expect("writable");
    chain.store.meta_put("dht sequence", &7_u64.to_be_bytes()).expect("writable");
    let chain = chain.reopen();
    assert_eq!(chain.store.meta("genesis").expect("readable"), Some(b"x".to_vec()));
    assert_eq!(chain.store.meta("dht sequence").expect("readable"), Some(7_u64.to_be_bytes().to_vec()));
    let long = chain.store.meta_put("long", &vec![0; META_BYTES_MAX + 1]);
    assert!(matches!(long, Err(StoreError::TooLong { .. })));
}
