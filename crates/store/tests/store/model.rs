//! A long random run, compared with a model that is too simple to be wrong.
use std::collections::BTreeMap;

use seedbank_ledger::View;
use seedbank_types::{AccountId, AccountRecord, Amount, Entry, Height, PaymentId};

use crate::common::{Chain, Random, accounts, id, payment};

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const STEPS: u64 = 250;
const PEOPLE: u64 = 40;

#[derive(Default)]
struct Model {
    accounts: BTreeMap<AccountId, AccountRecord>,
    payments: Vec<(PaymentId, Height, u32)>,
    history: BTreeMap<AccountId, Vec<(Height, u32, PaymentId)>>,
    bodies: Vec<Vec<u8>>,
}

impl Model {
    fn pay(&mut self, payer: AccountId, payee: AccountId, amount: u64) {
        let moves = [(payer, -i128::from(amount) - 1, 1), (payee, i128::from(amount), 0), (id(0), 1, 0)];
        for (account, change, made) in moves {
            let record = self.accounts.entry(account).or_insert(AccountRecord::empty(account));
            let balance = i128::from(record.balance.0) + change;
            record.balance = Amount(u64::try_from(balance).expect("the run pays only what is there"));
            record.sequence += made;
        }
    }
}

#[test]
fn random_run_agrees_with_the_model() {
    for seed in SEEDS {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let mut chain = Chain::new(20);
    let mut model =
        Model { accounts: accounts(20).into_iter().map(|record| (record.id, record)).collect(), ..Model::default() };
    for _ in 0..STEPS {
        match random.below(10) {
            0 => chain = chain.reopen(),
            1 => model.bodies.push(chain.close().body),
            _ => step(&mut random, &chain, &mut model),
        }
    }
    compare(&chain.reopen(), &model, seed);
}

fn step(random: &mut Random, chain: &Chain, model: &mut Model) {
    let mut entries: Vec<Entry> = Vec::new();
    let height = chain.store.ledger_state().height.next();
    for index in 0..=u32::try_from(random.below(20)).expect("few") {
        let [payer, payee] = [(); 2].map(|()| u32::try_from(random.below(PEOPLE)).expect("few"));
        let record = model.accounts.get(&id(payer)).copied().unwrap_or(AccountRecord::empty(id(payer)));
        let amount = 5 + random.below(1 + record.balance.0 / 2);
        let index = index.min(u32::try_from(entries.len()).expect("few"));
        if payer == payee || record.balance.0 < amount + 1 {
            continue;
        }
        let entry = payment(payer, payee, amount, record.sequence);
        let name = entry.id(&chain.store.community());
        model.pay(id(payer), id(payee), amount);
        model.payments.push((name, height, index));
        for account in [id(payer), id(payee)] {
            model.history.entry(account).or_default().push((height, index, name));
        }
        entries.push(entry);
    }
    if !entries.is_empty() {
        model.bodies.push(chain.pay(entries).body);
    }
}

fn compare(chain: &Chain, model: &Model, seed: u64) {
    let store = &chain.store;
    assert!(store.records().expect("readable").eq(model.accounts.values().copied()), "accounts, seed {seed}");
    for (account, record) in &model.accounts {
        assert_eq!(store.account(account), Some(*record), "seed {seed}");
    }
    for (name, height, index) in &model.payments {
        let place = store.payment(name).expect("readable").expect("it was paid");
        assert_eq!((place.height, place.index), (*height, *index), "seed {seed}");
    }
    for (account, expected) in &model.history {
        let history = store.history(account, None, 1_000).expect("readable");
        let found: Vec<_> = history.iter().rev().map(|entry| (entry.height, entry.index, entry.payment)).collect();
        assert_eq!(&found, &expected[expected.len().saturating_sub(1_000)..], "seed {seed}");
    }
    for (height, body) in (1..).zip(&model.bodies) {
        let header = store.header(Height(height)).expect("readable").expect("no gaps");
        assert_eq!(store.body(Height(height)).expect("readable").as_ref(), Some(body));
        assert_eq!(store.body_by_digest(&header.body_digest).expect("readable").as_ref(), Some(body));
    }
    assert_eq!(store.ledger_state().height.0, model.bodies.len() as u64);
}
