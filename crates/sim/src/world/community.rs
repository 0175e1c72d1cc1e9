//! The community's beginning.
use std::collections::BTreeMap;

use seedbank_snapshot::BucketTable;
use seedbank_types::{
    AccountId, AccountRecord, AccountSecret, Amount, Genesis, RESERVED_ORDERS_ACCOUNT, ServerSecret, ServerSet, TimeMs,
};

use crate::Plan;

const BALANCE: u64 = 1_000_000;
const FEE_ACCOUNT: AccountId = AccountId([0xfe; 20]);

pub(super) fn first_accounts(secrets: &[AccountSecret]) -> BTreeMap<AccountId, AccountRecord> {
    let mut accounts: BTreeMap<AccountId, AccountRecord> = secrets
        .iter()
        .map(|secret| secret.public().id())
        .map(|id| (id, AccountRecord { id, balance: Amount(BALANCE), sequence: 0 }))
        .collect();
    for id in [RESERVED_ORDERS_ACCOUNT, FEE_ACCOUNT] {
        accounts.insert(id, AccountRecord::empty(id));
    }
    accounts
}

pub(super) fn genesis(plan: &Plan, accounts: &BTreeMap<AccountId, AccountRecord>, servers: &[ServerSecret]) -> Genesis {
    let count = accounts.len() as u64;
    let table = BucketTable::from_records(count, accounts.values().copied()).expect("sorted by the map");
    let members = servers.iter().enumerate().map(|(number, secret)| (secret.public(), plan.power(number)));
    Genesis {
        created: TimeMs(1_700_000_000_000),
        epoch_ms: plan.epoch_ms,
        full_interval: 1,
        quorum: plan.rule,
        decimals: 2,
        name: "Simulation".to_owned(),
        symbol: "SIM".to_owned(),
        fee_account: FEE_ACCOUNT,
        minimum_fee: Amount(1),
        opening_minimum: Amount(1),
        root: table.root(),
        count,
        supply: Amount(accounts.values().map(|record| record.balance.0).sum()),
        servers: ServerSet::new(members).expect("distinct keys"),
    }
}
