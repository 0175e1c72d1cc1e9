//! 10,000 random batches of good and bad entries, compared with a model that knows the rules in its
//! own simple way.
use std::collections::BTreeMap;

use seedbank_ledger::{Changes, InvalidEntry, apply};
use seedbank_types::{
    AccountId, AccountRecord, Amount, Body, Entry, Epoch, Hash, Height, Order, OrderKind, Payment,
    RESERVED_ORDERS_ACCOUNT, Refusal, Rule, ServerSet, SignedPayment,
};

use crate::common::{Accounts, FEES, World, id, issue, retire, secret, servers};

const RUNS: u64 = 20;
const BATCHES_A_RUN: u64 = 500;
const PEOPLE: u64 = 12;
const ENTRIES_MAX: u64 = 8;

/// xorshift64*: the same seed gives the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn person(&mut self) -> u8 {
        u8::try_from(1 + self.below(PEOPLE)).expect("few people")
    }
}

/// Balance and sequence of each account, in numbers that cannot overflow.
#[derive(Clone)]
struct Model {
    accounts: BTreeMap<AccountId, (i128, u64)>,
    supply: i128,
    next_servers: ServerSet,
}

impl Model {
    fn of(world: &World) -> Self {
        let accounts = world.accounts.values().map(|one| (one.id, (i128::from(one.balance.0), one.sequence)));
        let (supply, next_servers) = (i128::from(world.state.supply.0), world.state.next_servers.clone());
        Self { accounts: accounts.collect(), supply, next_servers }
    }

    fn at(&self, id: &AccountId) -> (i128, u64) {
        self.accounts.get(id).copied().unwrap_or_default()
    }

    fn add(&mut self, id: AccountId, amount: i128) {
        self.accounts.entry(id).or_default().0 += amount;
    }

    /// Applies an entry whose signatures are good, if it is good otherwise.
    fn take(&mut self, world: &World, entry: &Entry) -> bool {
        match entry {
            Entry::Payment(signed) => self.take_payment(world, &signed.payment),
            Entry::Order(signed) => self.take_order(world, &signed.order),
        }
    }

    fn take_payment(&mut self, world: &World, payment: &Payment) -> bool {
        let (payer, payee, rules) = (payment.payer(), payment.payee, &world.rules);
        let (balance, sequence) = self.at(&payer);
        let (amount, fee) = (i128::from(payment.amount.0), i128::from(payment.fee.0));
        let is_good = payer != payee
            && payee != RESERVED_ORDERS_ACCOUNT
            && amount > 0
            && payment.fee >= rules.minimum_fee
            && payment.sequence == sequence
            && balance >= amount + fee
            && (world.epoch.0..=world.epoch.0 + 1_440).contains(&payment.expires.0)
            && (self.accounts.contains_key(&payee) || payment.amount >= rules.opening_minimum);
        if is_good {
            self.add(payer, -amount - fee);
            self.accounts.entry(payer).or_default().1 += 1;
            self.add(payee, amount);
            if fee > 0 {
                self.add(rules.fee_account, fee);
            }
        }
        is_good
    }

    fn take_order(&mut self, world: &World, order: &Order) -> bool {
        let is_timely = order.sequence == self.at(&RESERVED_ORDERS_ACCOUNT).1 && order.last_epoch >= world.epoch;
        let is_good = is_timely
            && match &order.kind {
                OrderKind::Issue { account, amount } => {
                    *account != RESERVED_ORDERS_ACCOUNT
                        && amount.0 > 0
                        && self.supply + i128::from(amount.0) <= i128::from(u64::MAX)
                }
                OrderKind::Retire { amount } => {
                    amount.0 > 0 && self.at(&world.rules.fee_account).0 >= i128::from(amount.0)
                }
                OrderKind::Servers(servers) => *servers != self.next_servers,
            };
        if is_good {
            self.accounts.entry(RESERVED_ORDERS_ACCOUNT).or_default().1 += 1;
            match &order.kind {
                OrderKind::Issue { account, amount } => self.change_supply(*account, i128::from(amount.0)),
                OrderKind::Retire { amount } => self.change_supply(world.rules.fee_account, -i128::from(amount.0)),
                OrderKind::Servers(servers) => self.next_servers = servers.clone(),
            }
        }
        is_good
    }

    fn change_supply(&mut self, account: AccountId, amount: i128) {
        self.add(account, amount);
        self.supply += amount;
    }

    fn records(&self) -> Accounts {
        let record = |(&id, &(balance, sequence)): (&AccountId, &(i128, u64))| {
            let balance = Amount(u64::try_from(balance).expect("never negative, never beyond 64 bits"));
            (id, AccountRecord { id, balance, sequence })
        };
        self.accounts.iter().map(record).collect()
    }
}

#[test]
fn ten_thousand_random_batches_keep_every_promise() {
    let mut seen = Seen::default();
    for seed in 1..=RUNS {
        run(seed, &mut seen);
    }
    assert_eq!(seen.batches, 10_000);
    assert!(seen.accepted > 10_000 && seen.orders > 500 && seen.opened > 50, "{seen:?}");
    for code in [
        "bad_signature",
        "same_account",
        "reserved_account",
        "zero_amount",
        "fee_too_low",
        "wrong_sequence",
        "insufficient_balance",
        "expired",
        "expires_too_far",
        "below_opening_minimum",
        "order_no_quorum",
        "order_wrong_sequence",
        "order_expired",
        "supply_overflow",
        "fee_account_short",
        "servers_unchanged",
    ] {
        assert!(seen.refusals.contains_key(code), "no entry was refused as {code}: {seen:?}");
    }
}

/// What the runs met, so that they cannot become empty unnoticed.
#[derive(Debug, Default)]
struct Seen {
    batches: u64,
    accepted: u64,
    orders: u64,
    opened: u64,
    refusals: BTreeMap<&'static str, u64>,
}

fn run(seed: u64, seen: &mut Seen) {
    let mut random = Random(seed);
    let mut world = first_world(&mut random);
    for _ in 0..BATCHES_A_RUN {
        if random.one_in(10) {
            world.state = world.state.after_closing();
            world.epoch = world.epoch.next();
        }
        let before = world.clone();
        let (entries, refused, model) = fill(&mut random, &before, seen);
        let changes = check(&before, &entries, refused, &model, seed);
        seen.batches += 1;
        seen.opened += changes.state.count - before.state.count;
        world.accounts.extend(changes.records.iter().map(|record| (record.id, *record)));
        world.state = changes.state;
        let sum: u128 = world.accounts.values().map(|record| u128::from(record.balance.0)).sum();
        assert_eq!(sum, u128::from(world.state.supply.0), "seed {seed}");
        assert_eq!(world.accounts.len() as u64, world.state.count, "seed {seed}");
    }
}

/// Some people have accounts, some have not; sometimes one is so rich that sums come near 64 bits.
fn first_world(random: &mut Random) -> World {
    let riches = if random.one_in(3) { u64::MAX - 1_000_000 } else { 10_000 };
    let rich = AccountRecord { id: id(2), balance: Amount(riches), sequence: 0 };
    let people = (3..7).map(|person| AccountRecord { id: id(person), balance: Amount(1_000), sequence: 0 });
    let records: Vec<_> = people.chain([rich, AccountRecord::empty(RESERVED_ORDERS_ACCOUNT)]).collect();
    let mut world = World::new(records, if random.one_in(2) { Rule::Majority } else { Rule::TwoThirds });
    world.rules.minimum_fee = Amount(random.below(3));
    world
}

/// Pushes random entries; gives the accepted ones, one that was refused, and what the model makes of it.
fn fill(random: &mut Random, world: &World, seen: &mut Seen) -> (Vec<Entry>, Option<(Entry, Refusal)>, Model) {
    let (mut batch, mut model) = (world.batch(), Model::of(world));
    let (mut accepted, mut refused) = (Vec::new(), None);
    for _ in 0..random.below(ENTRIES_MAX + 1) {
        let (entry, is_signed) = entry(random, world, &model);
        let said = match &entry {
            Entry::Payment(signed) if !is_signed && random.below(20) > 0 => batch.push_checked(&signed.payment),
            entry => batch.push(entry),
        };
        match said {
            Ok(()) => {
                assert!(model.take(world, &entry), "{entry:?} is against the rules");
                seen.accepted += 1;
                seen.orders += u64::from(matches!(entry, Entry::Order(_)));
                accepted.push(entry);
            }
            Err(refusal) => {
                let is_about_signatures = matches!(refusal, Refusal::BadSignature | Refusal::OrderNoQuorum);
                assert!(is_about_signatures || !model.clone().take(world, &entry), "{refusal} is unjust to {entry:?}");
                *seen.refusals.entry(refusal.code()).or_default() += 1;
                refused = Some((entry, refusal));
            }
        }
    }
    check_changes(world, &batch.finish(), &model);
    (accepted, refused, model)
}

/// The same by [`apply`]; with the refused entry at the end, it names that one.
fn check(world: &World, entries: &[Entry], refused: Option<(Entry, Refusal)>, model: &Model, seed: u64) -> Changes {
    let body = |entries: &[Entry]| Body { entries: entries.to_vec() };
    let applied = |body: &Body| apply(&world.rules, &world.state, &world.accounts, world.place(), body, is_checked);
    let changes = applied(&body(entries)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    check_changes(world, &changes, model);
    if let Some((entry, Refusal::ReservedAccount | Refusal::ZeroAmount)) = refused {
        let said = applied(&body(&[entries, &[entry]].concat()));
        assert!(matches!(said, Err(InvalidEntry { index, .. }) if index == entries.len()), "seed {seed}: {said:?}");
    }
    changes
}

/// Payments without a signature have zeroes in its place.
fn is_checked(payment: &SignedPayment) -> bool {
    payment.signature == [0; 64]
}

fn check_changes(world: &World, changes: &Changes, model: &Model) {
    let records = model.records();
    let differing: Vec<_> =
        records.values().filter(|record| world.accounts.get(&record.id) != Some(record)).copied().collect();
    assert_eq!(changes.records, differing);
    let (state, before) = (&changes.state, &world.state);
    assert_eq!(state.height, Height(before.height.0 + 1));
    assert_eq!(i128::from(state.supply.0), model.supply);
    assert_eq!(state.count, records.len() as u64);
    assert_eq!((&state.servers, &state.next_servers), (&before.servers, &model.next_servers));
    let bytes: Vec<u8> = differing.iter().flat_map(AccountRecord::encode).collect();
    let numbers = [state.height.0.to_be_bytes(), state.supply.0.to_be_bytes()].concat();
    let (digest, changed) = match differing.len() {
        0 => (before.digest, before.last_change),
        _ => (Hash::of(&[b"seedbank/state/1", &before.digest.0, &numbers, &bytes]), state.height),
    };
    assert_eq!((state.digest, state.last_change), (digest, changed));
}

fn entry(random: &mut Random, world: &World, model: &Model) -> (Entry, bool) {
    if random.one_in(8) {
        return (order(random, world, model), true);
    }
    let (payer, payment) = payment(random, world, model);
    match random.below(20) {
        0 => (world.sign(payer, payment), true),
        // Somebody else's signature, or his own by chance.
        1 => (world.sign(random.person(), payment), true),
        _ => (Entry::Payment(SignedPayment { payment, signature: [0; 64] }), false),
    }
}

/// Mostly good; each field is wrong now and then.
fn payment(random: &mut Random, world: &World, model: &Model) -> (u8, Payment) {
    let payer = if random.one_in(6) { FEES } else { random.person() };
    let payee = match random.below(30) {
        0 => RESERVED_ORDERS_ACCOUNT,
        1 => id(payer),
        2..6 => id(FEES),
        _ => id(random.person()),
    };
    let (balance, sequence) = model.at(&id(payer));
    let balance = u64::try_from(balance).expect("checked after every batch");
    let amount = match random.below(20) {
        0 => 0,
        1 => balance,
        2 => u64::MAX - random.below(3),
        3 => balance.saturating_sub(world.rules.minimum_fee.0),
        4..10 => random.below(15),
        _ => random.below(balance / 2 + 20),
    };
    let fee = if random.one_in(10) { random.below(3) } else { world.rules.minimum_fee.0 };
    let payment = Payment {
        payer_key: secret(payer).public().to_bytes(),
        payee,
        amount: Amount(amount),
        fee: Amount(fee),
        sequence: if random.one_in(15) { sequence.wrapping_sub(1).min(9) } else { sequence },
        expires: Epoch(world.epoch.0.saturating_sub(1) + if random.one_in(20) { 0 } else { 1 + random.below(1_450) }),
        memo: vec![],
    };
    (payer, payment)
}

fn order(random: &mut Random, world: &World, model: &Model) -> Entry {
    let fees = u64::try_from(model.at(&id(FEES)).0).expect("checked after every batch");
    let kind = match random.below(8) {
        0 => issue(id(random.person()), u64::MAX / (1 + random.below(3))),
        1 => issue(RESERVED_ORDERS_ACCOUNT, 1),
        2 | 3 => issue(id(random.person()), random.below(500)),
        4 | 5 => retire(random.below(fees / 2 + 3).saturating_add(random.below(2))),
        6 => OrderKind::Servers(model.next_servers.clone()),
        _ => OrderKind::Servers(servers(
            [&[1, 2, 3][..], &[2, 3, 4], &[1, 2, 3, 4, 5]][usize::from(random.person()) % 3],
        )),
    };
    let sequence = model.at(&RESERVED_ORDERS_ACCOUNT).1 + u64::from(random.one_in(12));
    let last_epoch = Epoch((world.epoch.0 + random.below(9)).saturating_sub(1));
    let in_force = |number: &u8| world.state.servers.number(&crate::common::server(*number).public()).is_some();
    let mut signers: Vec<u8> = (1..=5).filter(in_force).collect();
    if random.one_in(8) {
        signers.truncate(1);
    }
    world.sign_order(Order { kind, sequence, last_epoch }, &signers)
}
