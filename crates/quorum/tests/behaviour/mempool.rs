//! Payments and orders that wait.
use seedbank_quorum::{Effect, Event, Input};
use seedbank_types::{
    AccountId, Amount, Epoch, NumberedSignature, Order, OrderKind, Payment, PaymentId, Refusal, SignedOrder,
};

use crate::harness::{Bench, FEES, account};

type Admitted = Result<bool, Refusal>;

fn admit(bench: &mut Bench, from: u8, payment: Payment) -> Admitted {
    let payment = bench.checked(from, payment);
    let wanted = payment.id();
    bench.effects.clear();
    bench.input(Input::Payments(vec![payment]));
    admitted(bench, &wanted)
}

fn admitted(bench: &Bench, wanted: &PaymentId) -> Admitted {
    let found = bench.effects.iter().find_map(|effect| match effect {
        Effect::Admitted { id, result } if id == wanted => Some(*result),
        _ => None,
    });
    found.expect("every payment is answered")
}

/// A bench of an observer, which keeps payments and never proposes: what waits stays.
fn quiet() -> Bench {
    Bench::new(3, seedbank_types::Rule::Majority, 1)
}

#[test]
fn a_payment_waits_once() {
    let mut bench = quiet();
    let payment = bench.payment(1, 2, 0, 5);
    assert_eq!(admit(&mut bench, 1, payment.clone()), Ok(true));
    assert_eq!(admit(&mut bench, 1, payment.clone()), Ok(false));
    assert_eq!(bench.quorum.waiting(), 1);
    assert!(bench.quorum.is_waiting(&payment.id(&bench.genesis.community())));
}

#[test]
fn a_second_payment_with_same_sequence_is_refused() {
    let mut bench = quiet();
    assert_eq!(admit(&mut bench, 1, bench_payment(0, 5)), Ok(true));
    assert_eq!(admit(&mut bench, 1, bench_payment(0, 6)), Err(Refusal::WrongSequence { expected: 1 }));
}

fn bench_payment(sequence: u64, amount: u64) -> Payment {
    quiet().payment(1, 2, sequence, amount)
}

#[test]
fn a_spent_sequence_is_refused_and_the_next_is_named() {
    let mut bench = Bench::joined();
    bench.decide_payment(0, 0);
    assert_eq!(admit(&mut bench, 1, bench_payment(1, 5)), Ok(true));
    assert_eq!(admit(&mut bench, 1, bench_payment(0, 5)), Err(Refusal::WrongSequence { expected: 2 }));
}

#[test]
fn payments_may_come_out_of_order() {
    let mut bench = quiet();
    for sequence in [2, 0, 1] {
        assert_eq!(admit(&mut bench, 1, bench_payment(sequence, 5)), Ok(true));
    }
    let record = bench.disk.accounts[&account(1).public().id()];
    assert_eq!(bench.quorum.next_sequence(&record), 3);
}

#[test]
fn a_gap_is_not_ordered_over() {
    let mut bench = Bench::new(3, seedbank_types::Rule::Majority, 0);
    bench.hear_statuses(0);
    assert_eq!(admit(&mut bench, 1, bench_payment(1, 5)), Ok(true));
    bench.pass_ms(2_000);
    assert!(bench.sent(2).is_empty(), "there is nothing to propose");
    bench.input(Input::Payments(vec![bench.checked(1, bench_payment(0, 5))]));
    assert_eq!(bench.sent(2).len(), 1);
}

#[test]
fn an_account_may_have_a_thousand_waiting() {
    let mut bench = quiet();
    assert_eq!(admit(&mut bench, 1, bench_payment(999, 5)), Ok(true));
    assert_eq!(admit(&mut bench, 1, bench_payment(1_000, 5)), Err(Refusal::WrongSequence { expected: 0 }));
}

#[test]
fn an_expired_payment_is_refused() {
    let mut bench = Bench::joined();
    bench.close(0, None);
    let payment = Payment { expires: Epoch(1), ..bench_payment(0, 5) };
    assert_eq!(admit(&mut bench, 1, payment), Err(Refusal::Expired { epoch: 2 }));
}

#[test]
fn a_waiting_payment_that_expires_is_dropped_and_named() {
    let mut bench = Bench::joined();
    let payment = Payment { expires: Epoch(1), ..bench_payment(1, 5) };
    let id = payment.id(&bench.genesis.community());
    assert_eq!(admit(&mut bench, 1, payment), Ok(true));
    bench.close(0, None);
    assert_eq!(bench.quorum.waiting(), 0);
    assert!(refused(&bench).contains(&(id, Refusal::Expired { epoch: 2 })));
}

fn refused(bench: &Bench) -> Vec<(PaymentId, Refusal)> {
    let refused = bench.events().into_iter().filter_map(|event| match event {
        Event::Refused(refused) => Some(refused.clone()),
        _ => None,
    });
    refused.flatten().collect()
}

#[test]
fn a_payment_that_nobody_can_pay_is_refused() {
    let mut bench = quiet();
    let short = Err(Refusal::InsufficientBalance { balance: 1_000 });
    assert_eq!(admit(&mut bench, 1, bench_payment(0, 1_000)), short, "amount and fee together");
    assert_eq!(admit(&mut bench, 1, bench_payment(3, 1_000)), short, "later ones too");
    assert_eq!(admit(&mut bench, 1, bench_payment(3, u64::MAX)), short);
    let unknown = bench.payment(9, 2, 1, 5);
    assert_eq!(admit(&mut bench, 9, unknown), Err(Refusal::InsufficientBalance { balance: 0 }));
}

#[test]
fn the_last_sequence_of_all_does_no_harm() {
    let id = account(1).public().id();
    for (sequence, is_good) in [(u64::MAX - 1, true), (u64::MAX, false)] {
        let mut bench = quiet();
        bench.disk.accounts.get_mut(&id).expect("an account").sequence = sequence;
        let answer = admit(&mut bench, 1, bench_payment(sequence, 5));
        assert_eq!(answer.is_ok(), is_good, "{answer:?}");
        let last = admit(&mut bench, 1, bench_payment(u64::MAX, 5));
        assert_eq!(last.is_ok(), is_good, "{last:?}");
        let record = bench.disk.accounts[&id];
        assert_eq!(bench.quorum.next_sequence(&record), u64::MAX);
    }
}

#[test]
fn a_batch_drops_what_it_ordered_and_what_it_made_impossible() {
    let mut bench = Bench::joined();
    let (ordered, rival, poor) = (bench_payment(0, 5), bench_payment(0, 7), bench.payment(1, 2, 1, 900));
    assert_eq!(admit(&mut bench, 1, rival.clone()), Ok(true));
    assert_eq!(admit(&mut bench, 1, poor.clone()), Ok(true));
    // The others order another payment with the same sequence, which leaves too little for the next.
    let big = Payment { amount: Amount(200), ..ordered };
    let entry = seedbank_types::Entry::Payment(bench.checked(1, big).signed().clone());
    let (header, body) = bench.header(0, &seedbank_types::Body { entries: vec![entry] });
    bench.decide(0, &header, body);
    let community = bench.genesis.community();
    assert_eq!(bench.quorum.waiting(), 0);
    let expected = [
        (rival.id(&community), Refusal::WrongSequence { expected: 1 }),
        (poor.id(&community), Refusal::InsufficientBalance { balance: 799 }),
    ];
    assert_eq!(refused(&bench), expected);
}

#[test]
fn a_batch_that_orders_what_waits_refuses_nothing() {
    let mut bench = Bench::joined();
    let payment = bench.payment(1, 2, 0, 5);
    assert_eq!(admit(&mut bench, 1, payment), Ok(true));
    bench.decide_payment(0, 0);
    assert_eq!((bench.quorum.waiting(), refused(&bench)), (0, vec![]));
}

fn order(bench: &Bench, sequence: u64, by: &[u8]) -> SignedOrder {
    let order = Order {
        sequence,
        last_epoch: Epoch(3),
        kind: OrderKind::Issue { account: AccountId(FEES.0), amount: Amount(10) },
    };
    let message = order.signed_bytes(&bench.genesis.community());
    let sign = |number: &u8| NumberedSignature {
        number: *number,
        signature: bench.secrets[usize::from(*number)].sign(&message),
    };
    SignedOrder { order, signatures: by.iter().map(sign).collect() }
}

fn admit_order(bench: &mut Bench, order: SignedOrder) -> Admitted {
    let id = order.order.id(&bench.genesis.community());
    bench.effects.clear();
    bench.input(Input::Order(order));
    admitted(bench, &id)
}

#[test]
fn an_order_needs_a_quorum_and_its_turn() {
    let mut bench = quiet();
    let few = order(&bench, 0, &[0]);
    assert_eq!(admit_order(&mut bench, few), Err(Refusal::OrderNoQuorum));
    let good = order(&bench, 0, &[0, 2]);
    assert_eq!(admit_order(&mut bench, good.clone()), Ok(true));
    assert_eq!(admit_order(&mut bench, good), Ok(false));
    let later = order(&bench, 1, &[0, 2]);
    assert_eq!(admit_order(&mut bench, later), Ok(true), "it waits for its turn");
}

#[test]
fn an_order_is_ordered_and_one_whose_turn_is_over_is_dropped() {
    let mut bench = Bench::new(3, seedbank_types::Rule::Majority, 0);
    bench.hear_statuses(0);
    let first = order(&bench, 0, &[0, 2]);
    assert_eq!(admit_order(&mut bench, first), Ok(true));
    let value = bench.voted(1, 0).expect("it proposed the order");
    for kind in [1, 2] {
        for peer in bench.peers() {
            let vote = bench.vote(peer, kind, 1, 0, value);
            bench.hear(peer, &vote);
        }
    }
    assert_eq!(bench.disk.state.supply, Amount(4_010));
    let spent = order(&bench, 0, &[0, 1]);
    assert_eq!(admit_order(&mut bench, spent), Err(Refusal::OrderWrongSequence { expected: 1 }));
}
