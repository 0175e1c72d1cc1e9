//! The rules of payments, one by one.
use seedbank_ledger::{InvalidEntry, apply};
use seedbank_types::{
    AccountRecord, Amount, Body, CommunityId, Entry, Epoch, Payment, RESERVED_ORDERS_ACCOUNT, Refusal, SignedPayment,
};

use crate::common::{ANNA, BERT, CARA, FEES, World, id, secret, world};

fn refused(world: &World, payment: Payment) -> Refusal {
    world.try_one(&world.sign(ANNA, payment)).expect_err("against the rules")
}

fn draft(world: &World) -> Payment {
    world.draft(ANNA, BERT, 100)
}

#[test]
fn payment_moves_amount_and_fee_and_counts() {
    let mut world = world();
    let differing = world.apply(&[world.payment(ANNA, BERT, 100)]);
    assert_eq!([world.balance(ANNA), world.balance(BERT), world.balance(FEES)], [898, 1_100, 52]);
    assert_eq!((differing.len(), differing[&id(ANNA)].sequence, differing[&id(BERT)].sequence), (3, 1, 0));
    assert_eq!(world.state.supply, Amount(2_050));
}

#[test]
fn key_off_the_curve_is_refused() {
    let world = world();
    for first in [0, 4, 5] {
        let mut payment = draft(&world);
        payment.payer_key[0] = first;
        assert_eq!(refused(&world, payment), Refusal::BadKey);
    }
    // No point of the curve has x = 5.
    let mut payment = draft(&world);
    payment.payer_key = [0; 33];
    (payment.payer_key[0], payment.payer_key[32]) = (2, 5);
    assert_eq!(refused(&world, payment), Refusal::BadKey);
}

#[test]
fn signature_of_another_key_is_refused() {
    let world = world();
    let entry = world.sign(BERT, draft(&world));
    assert_eq!(world.try_one(&entry), Err(Refusal::BadSignature));
}

#[test]
fn signature_for_another_community_is_refused() {
    let world = world();
    let entry = Entry::Payment(draft(&world).sign(&CommunityId([8; 32]), secret(ANNA)));
    assert_eq!(world.try_one(&entry), Err(Refusal::BadSignature));
}

#[test]
fn any_flipped_bit_of_signature_or_payment_is_refused() {
    let world = world();
    let Entry::Payment(good) = world.payment(ANNA, BERT, 100) else { unreachable!("it is a payment") };
    let bytes = good.encode();
    for place in (0..bytes.len()).filter(|place| place % 3 == 0) {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1;
        let Ok(changed) = SignedPayment::decode(&bytes) else { continue };
        let said = world.try_one(&Entry::Payment(changed));
        assert!(matches!(said, Err(Refusal::BadSignature | Refusal::BadKey)), "byte {place}: {said:?}");
    }
}

#[test]
fn payment_to_oneself_is_refused() {
    let world = world();
    assert_eq!(refused(&world, world.draft(ANNA, ANNA, 100)), Refusal::SameAccount);
}

#[test]
fn reserved_account_is_never_paid() {
    let world = world();
    let payment = Payment { payee: RESERVED_ORDERS_ACCOUNT, ..draft(&world) };
    assert_eq!(refused(&world, payment), Refusal::ReservedAccount);
}

#[test]
fn amount_of_nothing_is_refused() {
    let world = world();
    assert_eq!(refused(&world, world.draft(ANNA, BERT, 0)), Refusal::ZeroAmount);
}

#[test]
fn fee_below_the_minimum_is_refused() {
    let world = world();
    let payment = Payment { fee: Amount(1), ..draft(&world) };
    assert_eq!(refused(&world, payment), Refusal::FeeTooLow { minimum: 2 });
}

#[test]
fn fee_above_the_minimum_is_taken() {
    let mut world = world();
    world.apply(&[world.sign(ANNA, Payment { fee: Amount(30), ..draft(&world) })]);
    assert_eq!([world.balance(ANNA), world.balance(FEES)], [870, 80]);
}

#[test]
fn fee_account_is_untouched_by_a_fee_of_nothing() {
    let mut world = world();
    world.rules.minimum_fee = Amount::ZERO;
    world.accounts.remove(&id(FEES));
    (world.state.count, world.state.supply) = (3, Amount(2_000));
    let differing = world.apply(&[world.sign(ANNA, Payment { fee: Amount::ZERO, ..draft(&world) })]);
    assert!(differing.len() == 2 && !differing.contains_key(&id(FEES)));
}

#[test]
fn first_fee_opens_the_fee_account() {
    let mut world = world();
    world.accounts.remove(&id(FEES));
    (world.state.count, world.state.supply) = (3, Amount(2_000));
    world.apply(&[world.payment(ANNA, BERT, 100)]);
    assert_eq!((world.balance(FEES), world.state.count), (2, 4));
}

#[test]
fn second_payment_with_same_sequence_is_refused() {
    let world = world();
    let mut batch = world.batch();
    batch.push(&world.payment(ANNA, BERT, 100)).expect("the first");
    let wrong = Err(Refusal::WrongSequence { expected: 1 });
    assert_eq!(batch.push(&world.payment(ANNA, BERT, 100)), wrong, "the very same");
    assert_eq!(batch.push(&world.payment(ANNA, BERT, 99)), wrong, "another with the same");
    assert_eq!(batch.finish().records.len(), 3);
}

#[test]
fn sequence_ahead_of_the_account_is_refused() {
    let world = world();
    let payment = Payment { sequence: 1, ..draft(&world) };
    assert_eq!(refused(&world, payment), Refusal::WrongSequence { expected: 0 });
}

#[test]
fn payment_of_an_earlier_batch_is_refused() {
    let mut world = world();
    let entry = world.payment(ANNA, BERT, 100);
    world.apply(std::slice::from_ref(&entry));
    assert_eq!(world.try_one(&entry), Err(Refusal::WrongSequence { expected: 1 }));
}

#[test]
fn last_sequence_of_all_is_refused_instead_of_overflowing() {
    let mut world = world();
    world.accounts.get_mut(&id(ANNA)).expect("Anna").sequence = u64::MAX;
    assert_eq!(refused(&world, draft(&world)), Refusal::WrongSequence { expected: u64::MAX });
}

#[test]
fn payments_of_one_account_follow_each_other_in_a_batch() {
    let mut world = world();
    let entries: Vec<_> =
        (0..5).map(|sequence| world.sign(ANNA, Payment { sequence, ..world.draft(ANNA, BERT, 10) })).collect();
    world.apply(&entries);
    assert_eq!((world.balance(ANNA), world.accounts[&id(ANNA)].sequence), (940, 5));
}

#[test]
fn amount_and_fee_may_take_everything_and_not_more() {
    let mut world = world();
    let short = Refusal::InsufficientBalance { balance: 1_000 };
    assert_eq!(refused(&world, world.draft(ANNA, BERT, 999)), short);
    world.apply(&[world.payment(ANNA, BERT, 998)]);
    assert_eq!(world.balance(ANNA), 0);
}

#[test]
fn amount_and_fee_that_overflow_together_are_refused() {
    let world = world();
    let short = Refusal::InsufficientBalance { balance: 1_000 };
    let payment = Payment { fee: Amount(u64::MAX), ..world.draft(ANNA, BERT, u64::MAX) };
    assert_eq!(refused(&world, payment), short);
}

#[test]
fn account_that_was_never_opened_cannot_pay() {
    let world = world();
    let said = world.try_one(&world.payment(CARA, BERT, 1));
    assert_eq!(said, Err(Refusal::InsufficientBalance { balance: 0 }));
}

#[test]
fn emptied_account_is_kept_with_its_sequence() {
    let mut world = world();
    world.apply(&[world.payment(ANNA, BERT, 998)]);
    assert_eq!(world.accounts[&id(ANNA)], AccountRecord { id: id(ANNA), balance: Amount::ZERO, sequence: 1 });
    let count = world.state.count;
    world.apply(&[world.payment(BERT, ANNA, 1)]);
    assert_eq!((world.balance(ANNA), world.state.count), (1, count));
}

#[test]
fn payment_is_good_in_its_last_epoch_and_expired_after_it() {
    let mut world = world();
    let entry = world.sign(ANNA, Payment { expires: Epoch(5), ..draft(&world) });
    assert_eq!(world.try_one(&entry), Ok(()));
    world.epoch = Epoch(6);
    assert_eq!(world.try_one(&entry), Err(Refusal::Expired { epoch: 6 }));
}

#[test]
fn last_epoch_too_far_ahead_is_refused() {
    let mut world = world();
    let at = |expires| world.sign(ANNA, Payment { expires: Epoch(expires), ..draft(&world) });
    assert_eq!(world.try_one(&at(1_445)), Ok(()));
    assert_eq!(world.try_one(&at(1_446)), Err(Refusal::ExpiresTooFar { latest: 1_445 }));
    assert_eq!(world.try_one(&at(u64::MAX)), Err(Refusal::ExpiresTooFar { latest: 1_445 }));
    let entry = at(1_446);
    world.epoch = Epoch(6);
    assert_eq!(world.try_one(&entry), Ok(()), "the very same is good an epoch later");
}

#[test]
fn first_payment_below_the_opening_minimum_is_refused() {
    let world = world();
    assert_eq!(refused(&world, world.draft(ANNA, CARA, 9)), Refusal::BelowOpeningMinimum { minimum: 10 });
}

#[test]
fn opening_minimum_opens_and_later_payments_may_be_smaller() {
    let mut world = world();
    let second = world.sign(ANNA, Payment { sequence: 1, ..world.draft(ANNA, CARA, 1) });
    world.apply(&[world.payment(ANNA, CARA, 10), second]);
    assert_eq!((world.balance(CARA), world.state.count), (11, 5));
}

#[test]
fn account_opened_in_a_batch_can_pay_in_the_same_batch() {
    let mut world = world();
    world.apply(&[world.payment(ANNA, CARA, 100), world.payment(CARA, BERT, 50)]);
    assert_eq!([world.balance(CARA), world.balance(BERT)], [48, 1_050]);
}

#[test]
fn memo_that_is_too_long_is_refused() {
    let world = world();
    assert_eq!(refused(&world, Payment { memo: vec![0; 81], ..draft(&world) }), Refusal::MemoTooLong);
    let longest = world.sign(ANNA, Payment { memo: vec![0; 80], ..draft(&world) });
    assert_eq!(world.try_one(&longest), Ok(()));
}

#[test]
fn balance_beyond_64_bits_is_refused() {
    let mut world = world();
    // Only accounts that break the supply can come so far.
    world.accounts.get_mut(&id(BERT)).expect("Bert").balance = Amount(u64::MAX);
    assert_eq!(refused(&world, draft(&world)), Refusal::BalanceOverflow);
    world.accounts.get_mut(&id(BERT)).expect("Bert").balance = Amount(0);
    world.accounts.get_mut(&id(FEES)).expect("fees").balance = Amount(u64::MAX);
    assert_eq!(refused(&world, draft(&world)), Refusal::BalanceOverflow, "the fee account's too");
}

#[test]
fn fee_account_can_pay_and_gets_its_own_fee_back() {
    let mut world = world();
    world.apply(&[world.payment(FEES, BERT, 20)]);
    assert_eq!([world.balance(FEES), world.balance(BERT)], [30, 1_020]);
    assert_eq!(world.accounts[&id(FEES)].sequence, 1);
    let said = world.try_one(&world.payment(FEES, BERT, 29));
    assert_eq!(said, Err(Refusal::InsufficientBalance { balance: 30 }), "it needs the fee before it gets it back");
}

#[test]
fn fee_account_can_be_paid_and_receives_amount_and_fee() {
    let mut world = world();
    let differing = world.apply(&[world.payment(ANNA, FEES, 20)]);
    assert_eq!([world.balance(FEES), world.balance(ANNA)], [72, 978]);
    assert_eq!(differing.len(), 2);
}

#[test]
fn one_refused_entry_makes_the_whole_body_invalid() {
    let world = world();
    let entries = vec![world.payment(ANNA, BERT, 1), world.payment(BERT, ANNA, 1), world.payment(ANNA, BERT, 2)];
    let applied = apply(&world.rules, &world.state, &world.accounts, world.place(), &Body { entries }, |_| false);
    assert_eq!(applied, Err(InvalidEntry { index: 2, refusal: Refusal::WrongSequence { expected: 1 } }));
}

#[test]
fn only_signatures_that_were_checked_before_are_not_checked_again() {
    let world = world();
    let [good, bad] = [ANNA, BERT].map(|signer| world.sign(signer, draft(&world)));
    let apply_one = |entry: &Entry, is_checked| {
        let body = Body { entries: vec![entry.clone()] };
        apply(&world.rules, &world.state, &world.accounts, world.place(), &body, |_| is_checked)
    };
    assert_eq!(apply_one(&good, false), apply_one(&good, true));
    assert_eq!(apply_one(&bad, false), Err(InvalidEntry { index: 0, refusal: Refusal::BadSignature }));
    assert!(apply_one(&bad, true).is_ok(), "the caller has said so");
}
