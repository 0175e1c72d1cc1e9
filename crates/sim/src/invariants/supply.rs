//! The balances of every server add up to its supply, and the supply is that of the genesis.
use seedbank_types::{Amount, ServerKey};

use crate::disk::Content;

/// Panics if money came from nowhere or vanished.
pub fn check(key: ServerKey, content: &Content, supply: Amount) {
    assert_eq!(content.sum(), u128::from(supply.0), "balances of server {}", key.short());
    assert_eq!(content.state().supply, supply, "supply of server {}", key.short());
}

/// The same with every balance counted anew.
pub fn check_wholly(key: ServerKey, content: &Content, supply: Amount) {
    let sum: u128 = content.accounts().values().map(|record| u128::from(record.balance.0)).sum();
    assert_eq!(sum, content.sum(), "the balances of server {} were not added up right", key.short());
    check(key, content, supply);
}
