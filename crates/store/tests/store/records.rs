//! All accounts of one moment.
use std::thread;

use seedbank_ledger::View;
use seedbank_store::Store;
use seedbank_types::{Height, RESERVED_ORDERS_ACCOUNT};

use crate::common::{Chain, accounts, id, payment};

#[test]
fn records_ascend_and_are_all_there() {
    let chain = Chain::new(20_000);
    assert!(chain.store.records().expect("readable").eq(accounts(20_000)));
}

#[test]
fn records_are_those_of_the_moment_of_asking() {
    let chain = Chain::new(10);
    let before = chain.store.records().expect("readable");
    let state = chain.store.ledger_state();
    for sequence in 0..10 {
        chain.pay(vec![payment(1, 99, 100, sequence)]);
    }
    assert_eq!(before.state(), &state);
    assert!(before.eq(accounts(10)));
    let after = chain.store.records().expect("readable");
    assert_eq!(after.state(), &chain.store.ledger_state());
    assert_eq!(after.count(), 12);
}

#[test]
fn records_are_whole_while_another_thread_commits() {
    let chain = Chain::new(5_000);
    let reader = chain.store.clone();
    let reading = thread::spawn(move || {
        let mut heights = Vec::new();
        while heights.last() != Some(&Height(60)) {
            let records = reader.records().expect("readable");
            let state = records.state().clone();
            let (count, sum) = records.fold((0, 0), |(count, sum), record| (count + 1, sum + record.balance.0));
            assert_eq!((count, sum), (state.count, state.supply.0), "height {}", state.height);
            heights.push(state.height);
        }
        assert!(heights.is_sorted());
    });
    for sequence in 0..60 {
        let new = u32::try_from(10_000 + sequence).expect("few");
        chain.pay((0..50).map(|payer| payment(payer + 1, new, 10, sequence)).collect());
    }
    reading.join().expect("every view was whole");
}

#[test]
fn dropping_records_half_way_frees_the_database() {
    let chain = Chain::new(20_000);
    let mut records = chain.store.records().expect("readable");
    assert!(records.next().is_some());
    let (path, _dir) = (chain.path.clone(), chain.dir);
    drop(chain.store);
    assert_eq!(records.by_ref().take(9_999).count(), 9_999, "it keeps the database open");
    drop(records);
    Store::open(&path).expect("free now");
}

#[test]
fn accounts_of_a_batch_appear_together_or_not_at_all_after_reopening() {
    let chain = Chain::new(10);
    chain.pay(vec![payment(1, 2, 7, 0)]);
    let chain = chain.reopen();
    let moved = [1, 2].map(|number| chain.store.account(&id(number)).expect("in genesis").balance.0);
    assert_eq!(moved, [999_992, 1_000_007]);
    assert_eq!(chain.store.account(&RESERVED_ORDERS_ACCOUNT).expect("in genesis").balance.0, 0);
}
