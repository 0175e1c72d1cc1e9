//! Digest, counters and the stored form of the state.
use seedbank_ledger::LedgerState;
use seedbank_types::{AccountRecord, Amount, Hash, Height, RESERVED_ORDERS_ACCOUNT};

use crate::common::{ANNA, BERT, id, servers, world};

#[test]
fn first_digest_is_that_of_the_design() {
    let world = world();
    let expected = Hash::of(&[b"seedbank/state/1", &[7; 32], &[1; 32]]);
    assert_eq!(world.state.digest, expected);
}

#[test]
fn digest_is_that_of_the_design_after_a_payment() {
    let mut world = world();
    let before = world.state.digest;
    let differing = world.apply(&[world.payment(ANNA, BERT, 100)]);
    let mut bytes = [&b"seedbank/state/1"[..], &before.0, &1_u64.to_be_bytes(), &2_050_u64.to_be_bytes()].concat();
    for record in differing.values() {
        bytes.extend_from_slice(&record.id.0);
        bytes.extend_from_slice(&record.balance.0.to_be_bytes());
        bytes.extend_from_slice(&record.sequence.to_be_bytes());
    }
    assert_eq!(world.state.digest, Hash::of(&[&bytes]));
    assert_eq!((world.state.height, world.state.last_change), (Height(1), Height(1)));
}

#[test]
fn digest_stays_if_no_record_differs() {
    let mut world = world();
    let before = world.state.clone();
    assert!(world.apply(&[]).is_empty());
    assert_eq!(world.state, LedgerState { height: Height(1), ..before });
}

#[test]
fn closing_header_keeps_all_but_height_and_servers() {
    let world = world();
    let state = LedgerState { next_servers: servers(&[4]), ..world.state };
    let after = state.after_closing();
    assert_eq!(after, LedgerState { height: Height(1), servers: servers(&[4]), ..state });
}

#[test]
fn differing_records_ascend_by_id() {
    let world = world();
    let mut batch = world.batch();
    for entry in [world.payment(BERT, ANNA, 10), world.payment(ANNA, 9, 10), world.payment(1, 8, 10)] {
        batch.push(&entry).expect("good");
    }
    let records = batch.finish().records;
    assert_eq!(records.len(), 5);
    assert!(records.windows(2).all(|pair| pair[0].id < pair[1].id));
}

#[test]
#[should_panic(expected = "would break the supply")]
fn money_from_nowhere_is_never_stored() {
    /// Says something else each time: what a broken database would do.
    struct Liar(std::cell::Cell<u64>);
    impl seedbank_ledger::View for Liar {
        fn account(&self, id: &seedbank_types::AccountId) -> Option<AccountRecord> {
            self.0.set(self.0.get() + 1_000);
            Some(AccountRecord { id: *id, balance: Amount(self.0.get()), sequence: 0 })
        }
    }
    let world = world();
    let liar = Liar(std::cell::Cell::new(0));
    let mut batch = seedbank_ledger::Batch::new(&world.rules, &world.state, &liar, world.place());
    batch.push(&world.payment(ANNA, BERT, 100)).expect("it looks good");
    let _never = batch.finish();
}

#[test]
fn state_is_read_back_as_it_was_written() {
    let world = world();
    let state = LedgerState { next_servers: servers(&[4, 5]), last_change: Height(9), ..world.state };
    let bytes = state.encode();
    assert_eq!(LedgerState::decode(&bytes), Ok(state));
    for length in 0..bytes.len() {
        assert!(LedgerState::decode(&bytes[..length]).is_err());
    }
    assert!(LedgerState::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn reserved_account_is_no_ones() {
    assert!((1..=50).all(|person| id(person) != RESERVED_ORDERS_ACCOUNT));
}
