use std::collections::BTreeMap;

use proptest::prelude::*;
use seedbank_types::{Hash, Rule, ServerSecret, ServerSet};

use super::*;

const COMMUNITY: CommunityId = CommunityId([7; 32]);
const FEES: AccountId = AccountId([0xfe; 20]);
const PLACES: usize = 12;

/// Accounts and a small pool, as one server has them.
struct World {
    accounts: BTreeMap<AccountId, AccountRecord>,
    rules: Rules,
    state: LedgerState,
    pool: Pool,
}

/// A key that nobody has; signatures are not looked at here.
fn key(number: u8) -> [u8; 33] {
    [number; 33]
}

fn id(number: u8) -> AccountId {
    AccountId::of_key_bytes(&key(number))
}

fn payment(from: u8, sequence: u64, amount: u64, fee: u64) -> Payment {
    let (payer_key, payee) = (key(from), id(200));
    Payment { payer_key, payee, amount: Amount(amount), fee: Amount(fee), sequence, expires: Epoch(9), memo: vec![] }
}

fn checked(payment: Payment) -> CheckedPayment {
    let signed = SignedPayment { payment, signature: [1; 64] };
    CheckedPayment::check_unless(signed, &COMMUNITY, |_, _| true, |_| unreachable!()).expect("not looked at")
}

impl World {
    fn new(places: usize, balance: u64) -> Self {
        let records = (0..=200).map(|number| AccountRecord { id: id(number), balance: Amount(balance), sequence: 0 });
        let mut accounts: BTreeMap<_, _> = records.map(|record| (record.id, record)).collect();
        for id in [FEES, RESERVED_ORDERS_ACCOUNT] {
            accounts.insert(id, AccountRecord::empty(id));
        }
        let servers = ServerSet::new([(ServerSecret::from_bytes(&[1; 32]).public(), 1)]).expect("one server");
        let (count, supply) = (accounts.len() as u64, Amount(201 * balance));
        let state = LedgerState::genesis(&COMMUNITY, Hash::ZERO, count, supply, servers);
        let rules = Rules {
            community: COMMUNITY,
            quorum: Rule::Majority,
            fee_account: FEES,
            minimum_fee: Amount(1),
            opening_minimum: Amount(10),
        };
        Self { accounts, rules, state, pool: Pool::new(places) }
    }

    fn admit(&mut self, payment: Payment) -> Result<bool, Refusal> {
        self.pool.admit(checked(payment), &self.rules, &self.accounts, Epoch(1))
    }

    fn place(&self) -> Place {
        Place { height: self.state.height.next(), epoch: Epoch(1) }
    }

    fn select(&self, bytes_max: usize) -> (Vec<Entry>, Changes) {
        let Selected { body, ids, changes } =
            self.pool.select(&self.rules, &self.state, &self.accounts, self.place(), bytes_max);
        assert_eq!(ids, body.ids(&COMMUNITY));
        (body.entries, changes)
    }

    /// Orders some of what waits, as a batch does.
    fn order(&mut self, bytes_max: usize) -> Vec<(PaymentId, Refusal)> {
        let (entries, changes) = self.select(bytes_max);
        self.accounts.extend(changes.records.iter().map(|record| (record.id, *record)));
        self.state = changes.state;
        self.pool.after_batch(&entries, &changes.records, &self.rules, &self.state, &self.accounts, Epoch(1))
    }

    fn places(&self, number: u8) -> usize {
        self.pool.lines.get(&id(number)).map_or(0, Line::len)
    }

    /// What must hold of a pool at any time.
    fn check(&self) {
        let pool = &self.pool;
        let lines = || pool.lines.values();
        assert!(pool.len() <= pool.payments_max && pool.bytes <= PAYMENTS_BYTES_MAX);
        assert_eq!(lines().map(Line::len).sum::<usize>(), pool.len());
        assert_eq!(lines().map(Line::ready).sum::<usize>(), pool.ready);
        assert_eq!(lines().flat_map(Line::all).map(|one| one.signed().size_bytes()).sum::<usize>(), pool.bytes);
        assert_eq!(pool.claims.len(), pool.lines.len());
        assert_eq!(pool.turns.len(), lines().filter(|line| line.ready() > 0).count());
        for (account, line) in &pool.lines {
            let record = &self.accounts[account];
            assert_eq!(line.made(), record.sequence);
            assert!(line.moves() <= u128::from(record.balance.0), "everything that waits can be paid");
            assert_eq!(line.moves(), line.all().map(CheckedPayment::moves).sum::<u128>());
            assert_eq!(pool.next_sequence(record), record.sequence + line.ready() as u64);
            assert!(line.all().zip(line.all().skip(1)).all(|(a, b)| a.payment().sequence < b.payment().sequence));
            assert!(pool.claims.contains(&line.claim(*account).expect("not empty")));
        }
    }
}

#[test]
fn one_payment_finds_a_place_against_an_account_with_many() {
    let mut world = World::new(PLACES, 10_000);
    (0..PLACES as u64).for_each(|sequence| assert_eq!(world.admit(payment(1, sequence, 5, 90)), Ok(true)));
    assert_eq!(world.admit(payment(2, 0, 5, 1)), Ok(true), "whatever fee the other pays");
    assert_eq!(world.pool.take_evicted(), [checked(payment(1, PLACES as u64 - 1, 5, 90)).id()], "the newest goes");
    world.check();
}

#[test]
fn accounts_with_many_leave_a_place_to_every_other() {
    let mut world = World::new(PLACES, 1_000);
    for sequence in 0..4 {
        (1..=3).for_each(|greedy| assert_eq!(world.admit(payment(greedy, sequence, 5, 50)), Ok(true)));
    }
    (10..19).for_each(|poor| assert_eq!(world.admit(payment(poor, 0, 5, 1)), Ok(true), "{poor}"));
    assert_eq!([1, 2, 3].map(|greedy| world.places(greedy)), [1; 3]);
    assert_eq!(world.admit(payment(19, 0, 5, 900)), Err(Refusal::Busy), "an only payment is not outbid");
    assert_eq!(world.pool.len(), PLACES);
    world.check();
}

#[test]
fn of_accounts_with_as_many_places_the_one_that_pays_least_gives_one_back() {
    let mut world = World::new(6, 1_000);
    for sequence in 0..2 {
        for (from, fee) in [(1, 5), (2, 3), (3, 4)] {
            assert_eq!(world.admit(payment(from, sequence, 5, fee)), Ok(true));
        }
    }
    assert_eq!(world.admit(payment(4, 0, 5, 1)), Ok(true));
    assert_eq!([1, 2, 3, 4].map(|from| world.places(from)), [2, 1, 2, 1]);
    assert_eq!(world.admit(payment(4, 1, 5, 2)), Err(Refusal::Busy), "its second is worth least");
    assert_eq!(world.admit(payment(4, 1, 5, 9)), Ok(true));
    assert_eq!([1, 2, 3, 4].map(|from| world.places(from)), [2, 1, 1, 2]);
}

#[test]
fn what_waits_for_a_missing_one_goes_first() {
    let mut world = World::new(4, 1_000);
    assert_eq!(world.admit(payment(1, 3, 5, 900)), Ok(true), "its number comes later");
    (0..3).for_each(|sequence| assert_eq!(world.admit(payment(2, sequence, 5, 1)), Ok(true)));
    assert_eq!(world.pool.ready(), 3);
    assert_eq!(world.admit(payment(2, 3, 5, 1)), Ok(true));
    assert_eq!((world.places(1), world.places(2)), (0, 4));
    assert_eq!(world.admit(payment(1, 3, 5, 900)), Err(Refusal::Busy));
    world.check();
}

#[test]
fn long_memos_take_room_from_others_but_no_more_than_there_is() {
    let mut world = World::new(usize::MAX, 1_000_000);
    let long = |from, sequence| Payment { memo: vec![0; 80], ..payment(from, sequence, 5, 1) };
    for sequence in 0..1_000 {
        (0..90)
            .for_each(|from| assert!(world.admit(long(from, sequence)).is_ok_and(|is_new| is_new) || sequence > 900));
    }
    assert!(world.pool.bytes() <= PAYMENTS_BYTES_MAX && world.pool.bytes() > PAYMENTS_BYTES_MAX - 300);
    assert_eq!(world.admit(long(100, 0)), Ok(true));
    world.check();
}

#[test]
fn what_waits_is_counted_against_the_balance() {
    let mut world = World::new(PLACES, 100);
    assert_eq!(world.admit(payment(1, 0, 59, 1)), Ok(true));
    assert_eq!(world.admit(payment(1, 1, 40, 1)), Err(Refusal::InsufficientBalance { balance: 40 }));
    assert_eq!(world.admit(payment(1, 1, 39, 1)), Ok(true));
}

#[test]
fn an_account_may_have_so_many_waiting_and_is_told_when_they_are_too_many() {
    let mut world = World::new(usize::MAX, 1_000_000);
    let limit = PAYMENTS_PER_ACCOUNT_MAX;
    (0..limit).for_each(|sequence| assert_eq!(world.admit(payment(1, sequence, 5, 1)), Ok(true)));
    assert_eq!(world.admit(payment(1, limit, 5, 1)), Err(Refusal::TooManyWaiting { limit }));
    assert_eq!(world.admit(payment(1, limit + 1, 5, 1)), Err(Refusal::WrongSequence { expected: limit }));
    assert!(world.order(ONE_ENTRY_BYTES).is_empty());
    assert_eq!(world.admit(payment(1, limit, 5, 1)), Ok(true));
}

#[test]
fn an_account_is_opened_with_the_minimum_or_by_a_payment_before() {
    let mut world = World::new(PLACES, 1_000);
    let to_new = |sequence, amount| Payment { payee: AccountId([9; 20]), ..payment(1, sequence, amount, 1) };
    let below = Err(Refusal::BelowOpeningMinimum { minimum: 10 });
    assert_eq!(world.admit(to_new(0, 9)), below);
    assert_eq!(world.admit(to_new(1, 9)), below, "later ones too");
    assert_eq!(world.admit(to_new(0, 10)), Ok(true));
    assert_eq!(world.admit(to_new(1, 9)), Ok(true));
    assert!(world.order(1 << 20).is_empty());
    assert_eq!(world.pool.len(), 0);
}

#[test]
fn a_batch_takes_one_of_each_account_before_a_second_of_any() {
    let mut world = World::new(usize::MAX, 1_000_000);
    for from in [1, 2, 3] {
        (0..50).for_each(|sequence| assert_eq!(world.admit(payment(from, sequence, 5, 90)), Ok(true)));
    }
    assert_eq!(world.admit(payment(4, 0, 5, 1)), Ok(true));
    let (entries, _) = world.select(4 * 155);
    let payers: Vec<_> = entries.iter().map(payer).collect();
    assert_eq!(payers, [1, 2, 3, 4].map(id));
    // With room for two only, those that were served go to the end.
    world.order(2 * 150);
    assert_eq!(world.select(2 * 150).0.iter().map(payer).collect::<Vec<_>>(), [3, 4].map(id));
    world.check();
}

fn payer(entry: &Entry) -> AccountId {
    match entry {
        Entry::Payment(signed) => signed.payment.payer(),
        Entry::Order(_) => panic!("there are no orders"),
    }
}

#[test]
fn what_expires_leaves() {
    let mut world = World::new(PLACES, 1_000);
    for (sequence, expires) in [(0, 9), (1, 1), (2, 9)] {
        assert_eq!(world.admit(Payment { expires: Epoch(expires), ..payment(1, sequence, 5, 1) }), Ok(true));
    }
    let gone = Payment { expires: Epoch(1), ..payment(1, 1, 5, 1) };
    assert_eq!(world.pool.expire(Epoch(2)), [(checked(gone).id(), Refusal::Expired { epoch: 2 })]);
    assert_eq!((world.pool.len(), world.pool.ready()), (2, 1));
    world.check();
}

/// What happens to a pool.
#[derive(Debug, Clone)]
enum Step {
    Admit(Payment),
    Order { bytes_max: usize },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let admit = (0..8_u8, 0..9_u64, 1..60_u64, 1..5_u64, 0..3_usize, 1..4_u64);
    prop_oneof![
        12 => admit.prop_map(|(from, sequence, amount, fee, memo, expires)| {
            let memo = vec![0; memo * 40];
            Step::Admit(Payment { memo, expires: Epoch(expires), ..payment(from, sequence, amount, fee) })
        }),
        1 => (5..2_000_usize).prop_map(|bytes_max| Step::Order { bytes_max }),
        1 => Just(Step::Expire),
    ]
}

impl World {
    fn carry_out(&mut self, step: &Step) -> (Option<Result<bool, Refusal>>, Vec<PaymentId>) {
        match step {
            Step::Admit(payment) => (Some(self.admit(payment.clone())), self.pool.take_evicted()),
            Step::Order { bytes_max } => {
                assert!(self.order(*bytes_max).is_empty(), "what waits can be ordered");
                (None, Vec::new())
            }
            Step::Expire => {
                self.pool.expire(Epoch(2));
                (None, Vec::new())
            }
        }
    }

    /// Who had how many places before a step, and what they were.
    fn snapshot(&self) -> BTreeMap<AccountId, Vec<(u64, PaymentId)>> {
        let list = |line: &Line| line.all().map(|one| (one.payment().sequence, one.id())).collect();
        self.pool.lines.iter().map(|(account, line)| (*account, list(line))).collect()
    }
}

proptest! {
    /// Against a model: fair, without holes, never more than may be, and the same on every server.
    #[test]
    fn any_pool_is_fair(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut world, mut twin) = (World::new(PLACES, 150), World::new(PLACES, 150));
        for step in &steps {
            let before = world.snapshot();
            let ready: BTreeMap<AccountId, usize> =
                world.pool.lines.iter().map(|(account, line)| (*account, line.ready())).collect();
            let (result, evicted) = world.carry_out(step);
            prop_assert_eq!(twin.carry_out(step), (result, evicted.clone()));
            world.check();
            let Step::Admit(payment) = step else { continue };
            let newcomer = payment.payer();
            for gone in &evicted {
                let (account, places) = before.iter().find(|(_, places)| places.iter().any(|(_, id)| id == gone))
                    .expect("it had a place");
                prop_assert_eq!(&places.last().expect("not empty").1, gone, "only the last one goes");
                let own = before.get(&newcomer).map_or(0, Vec::len);
                prop_assert!(ready[account] < places.len() || places.len() > own, "whoever has most gives");
            }
            if result == Some(Err(Refusal::Busy)) {
                prop_assert_eq!(world.pool.len(), PLACES);
                prop_assert!(evicted.is_empty(), "nobody goes for nothing");
                if !before.contains_key(&newcomer) && payment.sequence == world.accounts[&newcomer].sequence {
                    prop_assert!(before.values().all(|places| places.len() == 1), "no place is left for a single one");
                    prop_assert!(before.keys().all(|account| ready[account] == 1));
                }
            }
        }
    }
}
