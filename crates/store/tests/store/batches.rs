//! Commits and what is read of them.
use std::collections::BTreeSet;

use seedbank_ledger::View;
use seedbank_store::{Commit, PaymentPlace, Role, StoreError};
use seedbank_types::{
    Amount, Body, CommunityId, Entry, Epoch, Hash, Height, NumberedSignature, Order, OrderKind, PaymentId, SignedOrder,
};

use crate::common::{Chain, id, image, payment, secret};

#[test]
fn batch_is_there_as_a_whole() {
    let chain = Chain::new(10);
    let batch = chain.pay(vec![payment(1, 2, 100, 0), payment(2, 77, 50, 0)]);
    let chain = chain.reopen();
    let store = &chain.store;
    assert_eq!(store.ledger_state(), batch.changes.state);
    assert_eq!(store.last_header(), batch.header.hash());
    assert_eq!(store.header(Height(1)).expect("readable"), Some(batch.header.clone()));
    assert_eq!(store.decision(Height(1)).expect("readable"), Some(b"decided".to_vec()));
    assert_eq!(store.body(Height(1)).expect("readable"), Some(batch.body.clone()));
    assert_eq!(store.body_by_digest(&batch.header.body_digest).expect("readable"), Some(batch.body.clone()));
    for record in &batch.changes.records {
        assert_eq!(store.account(&record.id), Some(*record));
    }
    assert_eq!(store.account(&id(77)).expect("opened").balance, Amount(50));
}

#[test]
fn an_account_is_told_with_the_height_at_which_it_is_so() {
    let chain = Chain::new(10);
    let payer = id(1);
    std::thread::scope(|scope| {
        let store = chain.store.clone();
        let reader = scope.spawn(move || {
            let mut last = Height(0);
            while last < Height(30) {
                let (record, height) = store.account_now(&payer).expect("readable");
                // One payment a batch.
                assert_eq!(record.expect("there from the start").sequence, height.0);
                assert!(height >= last, "{height} after {last}");
                last = height;
            }
        });
        for sequence in 0..30 {
            chain.pay(vec![payment(1, 2, 1, sequence)]);
        }
        reader.join().expect("the reader saw nothing wrong");
    });
}

#[test]
fn what_is_not_there_is_none() {
    let chain = Chain::new(2);
    let store = &chain.store;
    assert_eq!(store.header(Height(1)).expect("readable"), None);
    assert_eq!(store.decision(Height(1)).expect("readable"), None);
    assert_eq!(store.body(Height(1)).expect("readable"), None);
    assert_eq!(store.body_by_digest(&Hash::ZERO).expect("readable"), None);
    assert_eq!(store.payment(&PaymentId([0; 32])).expect("readable"), None);
    assert_eq!(store.closing_height(Epoch(1)).expect("readable"), None);
    assert_eq!(store.last_closing(), None);
    assert_eq!(store.history(&id(0), None, 10).expect("readable"), []);
}

#[test]
fn payments_are_found_by_id() {
    let chain = Chain::new(10);
    let entries = vec![payment(1, 2, 100, 0), payment(2, 3, 50, 0)];
    chain.pay(vec![payment(5, 6, 1, 0)]);
    let batch = chain.pay(entries.clone());
    for (index, entry) in (0..).zip(&entries) {
        let place = chain.store.payment(&entry.id(&chain.store.community())).expect("readable");
        let (height, header, epoch) = (Height(2), batch.header.hash(), Epoch(1));
        assert_eq!(place, Some(PaymentPlace { height, index, header, epoch }));
    }
}

#[test]
fn height_that_is_not_the_next_is_refused() {
    let chain = Chain::new(10);
    let first = chain.batch(vec![payment(1, 2, 100, 0)]);
    first.commit(&chain.store).expect("the next one");
    let again = first.commit(&chain.store);
    assert!(matches!(again, Err(StoreError::NotNext { expected: Height(2), found: Height(1) })));
    let mut later = chain.batch(vec![payment(2, 1, 100, 0)]);
    later.header.height = Height(3);
    assert!(matches!(later.commit(&chain.store), Err(StoreError::NotNext { .. })));
    assert_eq!(chain.store.ledger_state(), first.changes.state);
}

#[test]
fn parts_that_do_not_belong_together_are_refused_and_change_nothing() {
    let chain = Chain::new(10);
    chain.close();
    let good = chain.batch(vec![payment(1, 2, 100, 0)]);
    let mut wrong = vec![good.clone(); 5];
    wrong[0].header.community = CommunityId([0; 32]);
    wrong[1].header.previous = Hash::ZERO;
    wrong[2].body = Body::default().encode();
    wrong[3].changes.state.height = Height(9);
    wrong[4].closing = true;
    for (number, batch) in wrong.iter().enumerate() {
        assert!(matches!(batch.commit(&chain.store), Err(StoreError::NotTheBatch(_))), "{number}");
    }
    let mut twice = crate::common::closing(&chain.store);
    twice.header.epoch = Epoch(1);
    assert!(matches!(twice.commit(&chain.store), Err(StoreError::NotTheBatch(_))));
    let mut garbage = good.clone();
    garbage.body = b"no body".to_vec();
    garbage.header.body_digest = Body::digest(&garbage.body);
    assert!(matches!(garbage.commit(&chain.store), Err(StoreError::NotTheBatch(_))));
    let chain = chain.reopen();
    good.commit(&chain.store).expect("nothing of the wrong ones is left");
}

#[test]
fn decision_beyond_its_bound_is_refused() {
    let chain = Chain::new(10);
    let batch = chain.batch(vec![payment(1, 2, 100, 0)]);
    let decision = vec![0; (64 << 10) + 1];
    let (header, body, changes) = (&batch.header, &batch.body[..], &batch.changes);
    let ids = &batch.ids()[..];
    let commit = Commit { header, body, ids, decision: &decision, closing: false, changes };
    assert!(matches!(chain.store.commit(&commit), Err(StoreError::TooLong { what: "decision", .. })));
}

#[test]
fn closing_headers_are_found_by_epoch() {
    let chain = Chain::new(10);
    chain.pay(vec![payment(1, 2, 100, 0)]);
    let first = chain.close();
    assert_eq!(chain.store.last_closing(), Some((Epoch(1), Height(2), first.header.time)));
    let batch = chain.pay(vec![payment(1, 2, 100, 1)]);
    assert_eq!(batch.header.epoch, Epoch(2));
    let second = chain.close();
    let chain = chain.reopen();
    assert_eq!(chain.store.last_closing(), Some((Epoch(2), Height(4), second.header.time)));
    assert_eq!(chain.store.closing_height(Epoch(1)).expect("readable"), Some(Height(2)));
    assert_eq!(chain.store.closing_height(Epoch(2)).expect("readable"), Some(Height(4)));
    assert_eq!(chain.store.closing_height(Epoch(3)).expect("readable"), None);
    assert_eq!(chain.store.ledger_state().digest, batch.changes.state.digest);
}

#[test]
fn history_comes_newest_first_and_in_pages() {
    let chain = Chain::new(10);
    for sequence in 0..5 {
        chain.pay(vec![payment(1, 2, 100, 2 * sequence), payment(1, 3, 7, 2 * sequence + 1)]);
    }
    let all = chain.store.history(&id(1), None, 100).expect("readable");
    let places: Vec<_> = all.iter().map(|entry| (entry.height.0, entry.index)).collect();
    assert_eq!(places, [(5, 1), (5, 0), (4, 1), (4, 0), (3, 1), (3, 0), (2, 1), (2, 0), (1, 1), (1, 0)]);
    assert!(all.iter().all(|entry| entry.role == Role::Payer));
    let mut paged = chain.store.history(&id(1), None, 3).expect("readable");
    while let Some(last) = paged.last().copied().filter(|_| paged.len() < all.len()) {
        paged.extend(chain.store.history(&id(1), Some((last.height, last.index)), 3).expect("readable"));
    }
    assert_eq!(paged, all);
    let received = chain.store.history(&id(3), None, 100).expect("readable");
    assert!(received.len() == 5 && received.iter().all(|entry| entry.role == Role::Payee));
    assert_eq!(chain.store.history(&id(1), None, 0).expect("readable"), []);
}

fn order(chain: &Chain, kind: OrderKind, sequence: u64) -> Entry {
    let order = Order { kind, sequence, last_epoch: Epoch(9) };
    let message = order.signed_bytes(&chain.store.community());
    let servers = &chain.store.genesis().servers;
    let mut signatures: Vec<_> = [1, 2, 3]
        .map(|number| {
            let number_in_set = servers.number(&secret(number).public()).expect("a server");
            NumberedSignature { number: number_in_set, signature: secret(number).sign(&message) }
        })
        .to_vec();
    signatures.sort_by_key(|one| one.number);
    Entry::Order(SignedOrder { order, signatures })
}

#[test]
fn orders_are_in_the_history_of_the_accounts_they_touch() {
    let chain = Chain::new(10);
    let issue = order(&chain, OrderKind::Issue { account: id(4), amount: Amount(9) }, 0);
    let retire = order(&chain, OrderKind::Retire { amount: Amount(3) }, 1);
    chain.pay(vec![issue.clone(), retire.clone()]);
    let issued = chain.store.history(&id(4), None, 9).expect("readable");
    assert_eq!((issued[0].role, issued[0].payment), (Role::Issued, issue.id(&chain.store.community())));
    let retired = chain.store.history(&id(0), None, 9).expect("readable");
    assert_eq!((retired[0].role, retired[0].index), (Role::Retired, 1));
    let chain = chain.reopen();
    assert_eq!(chain.store.ledger_state().supply.0, 10 * crate::common::BALANCE + 6);
}

#[test]
fn power_cut_after_a_commit_loses_nothing() {
    let chain = Chain::new(10);
    for sequence in 0..20 {
        let batch = chain.pay(vec![payment(1, 2, 100, sequence)]);
        let cut = chain.dir.path().join(format!("cut-{sequence}"));
        image(&chain.path, &cut);
        let store = seedbank_store::Store::open(&cut).expect("opens without help");
        assert_eq!(store.ledger_state(), batch.changes.state);
    }
}

#[test]
fn power_cut_within_a_write_leaves_the_batch_before() {
    let chain = Chain::new(10);
    let first = chain.pay(vec![payment(1, 2, 100, 0)]);
    let second = chain.pay(vec![payment(1, 2, 100, 1)]);
    let mut heights = BTreeSet::new();
    for missing in [1, 10, 100, 300] {
        let cut = chain.dir.path().join(format!("cut-{missing}"));
        image(&chain.path, &cut);
        let log = newest_log(&cut);
        let length = std::fs::metadata(&log).expect("it is there").len();
        let file = std::fs::OpenOptions::new().write(true).open(&log).expect("writable");
        file.set_len(length - missing).expect("it can be cut");
        let state = seedbank_store::Store::open(&cut).expect("opens without help").ledger_state();
        assert!(state == first.changes.state || state == second.changes.state);
        heights.insert(state.height);
    }
    assert!(heights.contains(&Height(1)), "some cut went through the second batch");
}

/// RocksDB's own log with the highest number that has anything in it.
fn newest_log(dir: &std::path::Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("readable").path());
    let mut logs: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 300))
        .collect();
    logs.sort();
    logs.pop().expect("commits were written there")
}
