//! Creating and opening.
use std::fs;

use seedbank_ledger::View;
use seedbank_store::{Store, StoreError};
use seedbank_types::{AccountRecord, Amount, Height, RESERVED_ORDERS_ACCOUNT};

use crate::common::{Chain, accounts, genesis, id, place};

#[test]
fn what_was_created_is_opened_again() {
    let chain = Chain::new(100).reopen();
    let all = accounts(100);
    assert_eq!(chain.store.genesis(), &genesis(&all));
    assert_eq!(chain.store.ledger_state().height, Height(0));
    assert_eq!(chain.store.last_header(), chain.store.community().into());
    assert!(all.iter().all(|record| chain.store.account(&record.id) == Some(*record)));
    assert_eq!(chain.store.account(&id(100)), None);
}

#[test]
fn wrong_count_is_refused() {
    let all = accounts(10);
    let (_dir, path) = place();
    let genesis = seedbank_types::Genesis { count: 12, ..genesis(&all) };
    assert!(matches!(Store::create(&path, &genesis, all), Err(StoreError::NotTheGenesis(why)) if why.contains("11")));
}

#[test]
fn wrong_supply_is_refused() {
    let all = accounts(10);
    let (_dir, path) = place();
    let genesis = seedbank_types::Genesis { supply: Amount(1), ..genesis(&all) };
    assert!(matches!(Store::create(&path, &genesis, all), Err(StoreError::NotTheGenesis(_))));
}

#[test]
fn missing_reserved_account_is_refused() {
    let all: Vec<_> = accounts(10).into_iter().filter(|record| record.id != RESERVED_ORDERS_ACCOUNT).collect();
    let (_dir, path) = place();
    let made = Store::create(&path, &genesis(&all), all);
    assert!(matches!(made, Err(StoreError::NotTheGenesis(why)) if why.contains("reserved")));
}

#[test]
fn reserved_account_that_is_not_empty_is_refused() {
    for (balance, sequence) in [(1, 0), (0, 1)] {
        let mut all = accounts(10);
        all.retain(|record| record.id != RESERVED_ORDERS_ACCOUNT);
        all.push(AccountRecord { id: RESERVED_ORDERS_ACCOUNT, balance: Amount(balance), sequence });
        let (_dir, path) = place();
        let made = Store::create(&path, &genesis(&all), all);
        assert!(matches!(made, Err(StoreError::NotTheGenesis(why)) if why.contains("reserved")));
    }
}

#[test]
fn account_given_twice_is_refused() {
    let mut all = accounts(10);
    all.push(all[0]);
    let (_dir, path) = place();
    assert!(matches!(Store::create(&path, &genesis(&all), all), Err(StoreError::NotTheGenesis(_))));
}

#[test]
fn refused_creation_is_not_opened_and_can_be_done_again() {
    let all = accounts(10);
    let (_dir, path) = place();
    Store::create(&path, &genesis(&all), all[1..].to_vec()).expect_err("one is missing");
    assert!(matches!(Store::open(&path), Err(StoreError::Unfinished(_))));
    drop(Store::create(&path, &genesis(&all), all).expect("the place of an unfinished one is free"));
    Store::open(&path).expect("now it is whole");
}

#[test]
fn creation_that_crashed_is_not_opened_and_can_be_done_again() {
    let (dir, path) = place();
    let all = accounts(30_000);
    let crashed = dir.path().join("crashed");
    let stops = all.iter().copied().inspect(|record| {
        if *record == all[25_000] {
            crate::common::image(&path, &crashed);
        }
    });
    drop(Store::create(&path, &genesis(&all), stops).expect("the image does not disturb it"));
    assert!(matches!(Store::open(&crashed), Err(StoreError::Unfinished(_))));
    drop(Store::create(&crashed, &genesis(&all), all.clone()).expect("the place of an unfinished one is free"));
    assert_eq!(Store::open(&crashed).expect("whole").records().expect("readable").count(), 30_001);
}

#[test]
fn creation_never_overwrites() {
    let chain = Chain::new(10);
    let all = accounts(10);
    let path = chain.path.clone();
    assert!(matches!(Store::create(&path, &genesis(&all), all.clone()), Err(StoreError::Exists(_))));
    let (_dir, other) = place();
    fs::create_dir_all(&other).expect("a directory");
    fs::write(other.join("letters.txt"), "somebody's").expect("a file");
    assert!(matches!(Store::create(&other, &genesis(&all), all), Err(StoreError::Exists(_))));
}

#[test]
fn nothing_to_open_is_said() {
    let (_dir, path) = place();
    assert!(matches!(Store::open(&path), Err(StoreError::Missing(_))));
    assert!(!path.exists(), "opening makes nothing");
}

#[test]
fn bad_genesis_is_refused_before_anything_is_made() {
    let all = accounts(10);
    let (_dir, path) = place();
    let genesis = seedbank_types::Genesis { full_interval: 0, ..genesis(&all) };
    assert!(matches!(Store::create(&path, &genesis, all), Err(StoreError::NotTheGenesis(_))));
    assert!(!path.exists());
}

#[test]
fn database_in_use_is_refused_in_words() {
    let chain = Chain::new(10);
    let error = Store::open(&chain.path).expect_err("it is open");
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    assert!(error.to_string().contains("in use by another process"));
}

#[test]
fn clones_share_one_database() {
    let chain = Chain::new(10);
    let clone = chain.store.clone();
    chain.pay(vec![crate::common::payment(1, 2, 5, 0)]);
    assert_eq!(clone.ledger_state().height, Height(1));
    assert_eq!(clone.account(&id(1)).expect("in genesis").sequence, 1);
}
