//! Disks that fail and databases that somebody changed.
use rocksdb::{DB, Options};
use seedbank_store::{LOG_ENTRY_BYTES_MAX, Store, StoreError};
use seedbank_types::Height;

use crate::common::{Chain, checkpoint, id, payment};

/// Changes the closed database behind the store's back.
fn tamper(chain: Chain, change: impl FnOnce(&DB)) -> StoreError {
    let Chain { dir, path, store } = chain;
    drop(store);
    let options = Options::default();
    let columns = DB::list_cf(&options, &path).expect("a database");
    let db = DB::open_cf(&options, &path, columns).expect("nobody has it open");
    change(&db);
    drop(db);
    let error = Store::open(&path).expect_err("the change is noticed");
    drop(dir);
    error
}

fn column<'a>(db: &'a DB, name: &str) -> &'a rocksdb::ColumnFamily {
    db.cf_handle(name).expect("the store made it")
}

#[test]
fn balance_changed_on_disk_is_noticed() {
    let error = tamper(Chain::new(10), |db| {
        let record = [&1_000_001_u64.to_be_bytes()[..], &[0; 8]].concat();
        db.put_cf(column(db, "accounts"), id(1).0, record).expect("writable");
    });
    assert!(matches!(error, StoreError::SupplyBroken { sum: 10_000_001, expected_sum: 10_000_000, .. }), "{error}");
}

#[test]
fn account_gone_from_disk_is_noticed_even_if_it_was_empty() {
    let error = tamper(Chain::new(10), |db| {
        db.delete_cf(column(db, "accounts"), seedbank_types::RESERVED_ORDERS_ACCOUNT.0).expect("writable");
    });
    assert!(matches!(error, StoreError::SupplyBroken { count: 10, expected_count: 11, .. }), "{error}");
}

#[test]
fn account_of_a_wrong_length_is_noticed() {
    let error = tamper(Chain::new(10), |db| {
        db.put_cf(column(db, "accounts"), id(1).0, [0; 15]).expect("writable");
    });
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[test]
fn missing_header_is_noticed() {
    let chain = Chain::new(10);
    chain.pay(vec![payment(1, 2, 5, 0)]);
    let error = tamper(chain, |db| {
        db.delete_cf(column(db, "headers"), [0, 0, 0, 0, 0, 0, 0, 0, 1]).expect("writable");
    });
    assert!(matches!(&error, StoreError::Damaged(why) if why.contains("header 1")), "{error}");
}

#[test]
fn another_format_is_refused() {
    let error = tamper(Chain::new(10), |db| {
        db.put_cf(column(db, "meta"), "format", [2]).expect("writable");
    });
    assert!(matches!(error, StoreError::Format { known: 1, .. }), "{error}");
}

#[test]
fn bad_genesis_on_disk_is_refused() {
    let error = tamper(Chain::new(10), |db| {
        db.put_cf(column(db, "meta"), "genesis", b"nonsense").expect("writable");
    });
    assert!(matches!(&error, StoreError::Damaged(why) if why.contains("genesis")), "{error}");
}

#[test]
fn flipped_bits_in_a_file_are_noticed() {
    let chain = Chain::new(50_000);
    let Chain { dir, path, store } = chain;
    drop(store);
    let files = std::fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("readable").path());
    let tables = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    let table =
        tables.max_by_key(|path| std::fs::metadata(path).map_or(0, |data| data.len())).expect("flushed accounts");
    let mut bytes = std::fs::read(&table).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&table, bytes).expect("writable");
    let error = Store::open(&path).expect_err("the checksum does not fit");
    assert!(matches!(error, StoreError::Read(_)), "{error}");
    drop(dir);
}

#[test]
fn nothing_is_written_after_a_failed_write() {
    let chain = Chain::new(10);
    let good = chain.batch(vec![payment(1, 2, 5, 0)]);
    // The open files go on to work, but as soon as RocksDB needs a new one, it fails.
    std::fs::remove_dir_all(&chain.path).expect("ours");
    let entry = vec![1; LOG_ENTRY_BYTES_MAX];
    let error = (0..20).find_map(|height| chain.store.append_log(Height(height), &entry).err());
    assert!(matches!(error, Some(StoreError::Write(_))), "{error:?}");
    let store = &chain.store;
    assert!(matches!(good.commit(store), Err(StoreError::Poisoned)));
    assert!(matches!(store.append_log(Height(1), b"x"), Err(StoreError::Poisoned)));
    assert!(matches!(store.clear_log_below(Height(1)), Err(StoreError::Poisoned)));
    assert!(matches!(store.put_intent(&checkpoint(store, 1, 1)), Err(StoreError::Poisoned)));
    assert!(matches!(store.meta_put("name", b"x"), Err(StoreError::Poisoned)));
    assert_eq!(store.ledger_state().height, Height(0));
}
