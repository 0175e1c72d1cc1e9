//! The quorum's log.
use seedbank_store::{LOG_ENTRY_BYTES_MAX, Store, StoreError};
use seedbank_types::Height;

use crate::common::{Chain, image, payment};

fn heights(store: &Store) -> Vec<(u64, u64)> {
    store.read_log().expect("readable").iter().map(|(number, height, _)| (*number, height.0)).collect()
}

#[test]
fn entries_come_back_in_the_order_of_writing() {
    let chain = Chain::new(2);
    for (number, height) in [5, 5, 6, 5, 300].into_iter().enumerate() {
        let given = chain.store.append_log(Height(height), &[u8::try_from(number).expect("few")]).expect("writable");
        assert_eq!(given, number as u64);
    }
    let chain = chain.reopen();
    assert_eq!(heights(&chain.store), [(0, 5), (1, 5), (2, 6), (3, 5), (4, 300)]);
    let log = chain.store.read_log().expect("readable");
    assert!(log.iter().all(|(number, _, bytes)| u64::from(bytes[0]) == *number));
    assert_eq!(chain.store.append_log(Height(301), b"next").expect("writable"), 5);
}

#[test]
fn entries_of_lower_heights_are_cleared() {
    let chain = Chain::new(2);
    for height in [1, 2, 3, 3, 4] {
        chain.store.append_log(Height(height), b"entry").expect("writable");
    }
    chain.store.clear_log_below(Height(3)).expect("writable");
    assert_eq!(heights(&chain.store), [(2, 3), (3, 3), (4, 4)]);
    chain.store.clear_log_below(Height(2)).expect("writable");
    assert_eq!(heights(&chain.store), [(2, 3), (3, 3), (4, 4)]);
    chain.store.append_log(Height(1), b"late").expect("writable");
    chain.store.clear_log_below(Height(4)).expect("writable");
    assert_eq!(heights(&chain.store), [(4, 4)]);
    let chain = chain.reopen();
    chain.store.clear_log_below(Height(5)).expect("writable");
    assert_eq!(heights(&chain.store), []);
}

#[test]
fn a_batch_ends_the_log_of_its_height_in_the_same_write() {
    let chain = Chain::new(10);
    chain.store.append_log(Height(1), b"proposal").expect("writable");
    let batch = chain.batch(vec![payment(1, 2, 100, 0)]);
    let log = [(Height(1), &b"precommit"[..]), (Height(2), &b"early"[..])];
    batch.commit_with_log(&chain.store, &log).expect("it follows");
    assert_eq!(heights(&chain.store), [(1, 2)]);
    let chain = chain.reopen();
    assert_eq!((heights(&chain.store), chain.store.ledger_state().height), (vec![(1, 2)], Height(1)));
}

#[test]
fn a_log_that_a_batch_made_worthless_at_once_was_written_all_the_same() {
    let chain = Chain::new(10);
    let batch = chain.batch(vec![payment(1, 2, 100, 0)]);
    batch.commit_with_log(&chain.store, &[(Height(1), b"precommit")]).expect("it follows");
    let chain = chain.reopen();
    assert_eq!((heights(&chain.store), chain.store.log_started()), (vec![], true));
}

#[test]
fn log_that_was_written_once_says_so_for_ever() {
    let chain = Chain::new(2).reopen();
    assert!(!chain.store.log_started());
    chain.store.append_log(Height(1), b"entry").expect("writable");
    assert!(chain.store.log_started());
    chain.store.clear_log_below(Height(2)).expect("writable");
    let chain = chain.reopen();
    assert!(chain.store.log_started());
    assert_eq!(heights(&chain.store), []);
}

#[test]
fn entry_survives_a_power_cut() {
    let chain = Chain::new(2);
    for height in 0..20 {
        chain.store.append_log(Height(height), &vec![7; 10_000]).expect("writable");
        let cut = chain.dir.path().join(format!("cut-{height}"));
        image(&chain.path, &cut);
        let log = Store::open(&cut).expect("opens without help").read_log().expect("readable");
        assert_eq!(log.len() as u64, height + 1);
        assert!(log.iter().all(|(.., bytes)| *bytes == vec![7; 10_000]));
    }
}

#[test]
fn longest_entry_is_kept_and_a_longer_one_refused() {
    let chain = Chain::new(2);
    let longest = vec![3; LOG_ENTRY_BYTES_MAX];
    for height in 0..5 {
        chain.store.append_log(Height(height), &longest).expect("writable");
    }
    let longer = chain.store.append_log(Height(5), &[&longest[..], &[3]].concat());
    assert!(matches!(longer, Err(StoreError::TooLong { .. })));
    let chain = chain.reopen();
    let log = chain.store.read_log().expect("readable");
    assert!(log.len() == 5 && log.iter().all(|(.., bytes)| *bytes == longest));
}
