//! A certified state in the place of another one, and what is forgotten.
use seedbank_ledger::View as _;
use seedbank_store::{Install, Store, StoreError};
use seedbank_types::{AccountRecord, Body, Certificate, Height};

use crate::common::{Batch, Chain, certificate, checkpoint, image, payment};

/// A community's chain up to an epoch's end, and a copy of it that stopped after the first batch.
fn ahead_and_behind() -> (Chain, Chain, Batch) {
    let (ahead, behind) = (Chain::new(50), Chain::new(50));
    let first = ahead.batch(vec![payment(1, 2, 10, 0)]);
    first.commit(&ahead.store).expect("the first");
    first.commit(&behind.store).expect("the first");
    for sequence in 1..5 {
        ahead.pay(vec![payment(1, 60, 10, sequence), payment(3, 4, 7, sequence - 1)]);
    }
    let closing = ahead.close();
    (ahead, behind, closing)
}

fn records(store: &Store) -> Vec<AccountRecord> {
    store.records().expect("readable").collect()
}

fn install(to: &Chain, from: &Chain, closing: &Batch, certificates: &[Certificate]) -> Result<(), StoreError> {
    let staged = to.store.stage(records(&from.store))?;
    let (state, values) = (&closing.changes.state, [("name".to_owned(), b"value".to_vec())]);
    let (header, body, decision) = (&closing.header, &closing.body[..], &b"decided"[..]);
    to.store.install(&staged, &Install { state, header, body, decision, certificates, values: &values })
}

#[test]
fn a_state_takes_the_place_of_an_older_one_and_the_chain_goes_on() {
    let (ahead, behind, closing) = ahead_and_behind();
    behind.store.append_log(Height(2), b"what it said").expect("writable");
    let own = checkpoint(&behind.store, 7, 1);
    behind.store.put_intent(&own).expect("writable");
    let kept = certificate(&checkpoint(&ahead.store, 1, 9), &[0]);
    install(&behind, &ahead, &closing, std::slice::from_ref(&kept)).expect("it is newer");
    let behind = behind.reopen();
    let store = &behind.store;
    assert_eq!(store.ledger_state(), ahead.store.ledger_state());
    assert_eq!((records(store), store.last_header()), (records(&ahead.store), closing.header.hash()));
    assert_eq!(store.last_closing(), ahead.store.last_closing());
    assert_eq!(store.closed_state().expect("readable"), ahead.store.closed_state().expect("readable"));
    assert_eq!(store.certificate(kept.checkpoint.epoch).expect("readable"), Some(kept));
    assert_eq!(store.meta("name").expect("readable").as_deref(), Some(&b"value"[..]));
    // What this server said stays.
    assert_eq!(store.read_log().expect("readable").len(), 1);
    assert_eq!(store.newest_intent().expect("readable"), Some(own));
    assert_eq!((store.lowest_body(), store.body(Height(6)).expect("readable")), (Height(6), Some(closing.body)));

    let next = ahead.batch(vec![payment(60, 61, 5, 0)]);
    next.commit(&ahead.store).expect("it follows");
    next.commit(store).expect("it follows here too");
    assert_eq!(records(store), records(&ahead.store));
    let closed: Vec<_> = store.closed_records().expect("readable").collect();
    assert_eq!(closed, ahead.store.closed_records().expect("readable").collect::<Vec<_>>());
    store.forget_replaced().expect("writable");
    assert_eq!(records(&behind.reopen().store), records(&ahead.store));
}

#[test]
fn until_the_last_write_the_old_state_stands_whatever_lies_beside_it() {
    let (ahead, behind, closing) = ahead_and_behind();
    let before = (behind.store.ledger_state(), records(&behind.store));
    behind.store.stage(records(&ahead.store)).expect("laid aside");
    assert_eq!(records(&behind.store), before.1);
    // As kill -9 leaves it: the same files, opened anew.
    let copy = behind.dir.path().join("image");
    image(&behind.path, &copy);
    let store = Store::open(&copy).expect("whole");
    assert_eq!((store.ledger_state(), records(&store)), before);
    drop(store);
    // What lay there is replaced by the next try.
    let half: Vec<_> = records(&ahead.store).into_iter().take(7).collect();
    behind.store.stage(half).expect("laid aside");
    install(&behind, &ahead, &closing, &[]).expect("from the beginning");
    assert_eq!(records(&behind.reopen().store), records(&ahead.store));
}

#[test]
fn accounts_and_state_must_belong_together() {
    let (ahead, behind, closing) = ahead_and_behind();
    let refused =
        |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::NotTheState(_))), "{result:?}");
    let whole = records(&ahead.store);
    let mut less = whole.clone();
    less.pop();
    let (state, header) = (&closing.changes.state, &closing.header);
    let with = |body| Install { state, header, body, decision: b"", certificates: &[], values: &[] };
    let staged = behind.store.stage(less).expect("laid aside");
    refused(behind.store.install(&staged, &with(&closing.body)));
    let staged = behind.store.stage(whole.clone()).expect("laid aside");
    refused(behind.store.install(&staged, &with(b"another")));
    let newer = behind.store.stage(whole).expect("laid aside");
    refused(behind.store.install(&staged, &with(&closing.body)));
    behind.store.install(&newer, &with(&closing.body)).expect("these belong together");
    refused(install(&behind, &ahead, &closing, &[]));
    assert!(behind.store.account(&crate::common::id(1)).is_some());
}

#[test]
fn pruned_bodies_are_gone_and_everything_else_stays() {
    let chain = Chain::new(50);
    let batches: Vec<Batch> = (0..6).map(|sequence| chain.pay(vec![payment(1, 2, 10, sequence)])).collect();
    assert_eq!(chain.store.lowest_body(), Height(1));
    chain.store.prune_bodies(Height(4)).expect("writable");
    chain.store.prune_bodies(Height(2)).expect("nothing to do");
    let chain = chain.reopen();
    let store = &chain.store;
    assert_eq!(store.lowest_body(), Height(4));
    for batch in &batches {
        let (height, stays) = (batch.header.height, batch.header.height >= Height(4));
        assert_eq!(store.header(height).expect("readable").as_ref(), Some(&batch.header));
        assert_eq!(store.body(height).expect("readable").is_some(), stays);
        assert_eq!(store.body_by_digest(&Body::digest(&batch.body)).expect("readable").is_some(), stays);
        let ids = Body::decode(&batch.body).expect("its own").entries;
        let place = store.payment(&ids[0].id(&store.community())).expect("readable");
        assert_eq!(place.map(|place| place.height), Some(height), "it could still be ordered");
    }
    assert_eq!(store.forget_payments(Height(3)).expect("writable"), 2);
    let id = |batch: &Batch| Body::decode(&batch.body).expect("its own").entries[0].id(&store.community());
    assert!(store.payment(&id(&batches[1])).expect("readable").is_none());
    assert!(store.payment(&id(&batches[2])).expect("readable").is_some());
}
