//! The balances of every server add up to its supply, and the supply is that of the genesis.
use std::collections::BTreeMap;

use seedbank_types::{Amount, ServerKey};

use crate::Server;

/// Panics if money came from nowhere or vanished.
pub fn check(servers: &BTreeMap<ServerKey, Server>, supply: Amount) {
    for (key, server) in servers {
        let sum: u128 = server.disk.accounts().values().map(|record| u128::from(record.balance.0)).sum();
        assert_eq!(sum, u128::from(server.disk.state().supply.0), "balances of server {key}");
        assert_eq!(server.disk.state().supply, supply, "supply of server {key}");
    }
}
