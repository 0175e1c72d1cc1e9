//! The rules of orders, one by one.
use seedbank_types::{
    AccountRecord, Amount, CommunityId, Epoch, Order, OrderKind, RESERVED_ORDERS_ACCOUNT, Refusal, Rule,
};

use crate::common::{ANNA, BERT, CARA, FEES, World, id, issue, retire, server, servers, world};

const ALL: [u8; 3] = [1, 2, 3];

fn refused(world: &World, kind: OrderKind) -> Refusal {
    world.try_one(&world.order(kind, &ALL)).expect_err("against the rules")
}

#[test]
fn issue_credits_the_account_and_raises_the_supply() {
    let mut world = world();
    let differing = world.apply(&[world.order(issue(id(ANNA), 500), &ALL)]);
    assert_eq!((world.balance(ANNA), world.state.supply), (1_500, Amount(2_550)));
    assert_eq!(differing[&RESERVED_ORDERS_ACCOUNT].sequence, 1);
    assert_eq!(differing.len(), 2);
}

#[test]
fn issue_opens_an_account_below_the_opening_minimum_too() {
    let mut world = world();
    world.apply(&[world.order(issue(id(CARA), 1), &ALL)]);
    assert_eq!((world.balance(CARA), world.state.count), (1, 5));
}

#[test]
fn retire_debits_the_fee_account_and_lowers_the_supply() {
    let mut world = world();
    world.apply(&[world.order(retire(50), &ALL)]);
    assert_eq!((world.balance(FEES), world.state.supply, world.state.count), (0, Amount(2_000), 4));
}

#[test]
fn retiring_more_than_the_fee_account_has_is_refused() {
    let world = world();
    assert_eq!(refused(&world, retire(51)), Refusal::FeeAccountShort { balance: 50 });
    let mut without = world;
    without.accounts.remove(&id(FEES));
    (without.state.count, without.state.supply) = (3, Amount(2_000));
    assert_eq!(refused(&without, retire(1)), Refusal::FeeAccountShort { balance: 0 });
}

#[test]
fn order_of_nothing_is_refused() {
    let world = world();
    assert_eq!(refused(&world, issue(id(ANNA), 0)), Refusal::ZeroAmount);
    assert_eq!(refused(&world, retire(0)), Refusal::ZeroAmount);
}

#[test]
fn nothing_is_issued_to_the_reserved_account() {
    let world = world();
    assert_eq!(refused(&world, issue(RESERVED_ORDERS_ACCOUNT, 5)), Refusal::ReservedAccount);
}

#[test]
fn supply_beyond_64_bits_is_refused() {
    let mut world = world();
    assert_eq!(refused(&world, issue(id(ANNA), u64::MAX - 2_049)), Refusal::SupplyOverflow);
    world.apply(&[world.order(issue(id(ANNA), u64::MAX - 2_050), &ALL)]);
    assert_eq!(world.state.supply, Amount(u64::MAX));
    assert_eq!(refused(&world, issue(id(BERT), 1)), Refusal::SupplyOverflow);
    world.apply(&[world.payment(ANNA, BERT, u64::MAX - 2_050)]);
    assert_eq!(world.balance(BERT), u64::MAX - 1_050);
}

#[test]
fn order_without_a_quorum_is_refused() {
    let world = world();
    for signers in [&[][..], &[1], &[3]] {
        let said = world.try_one(&world.order(issue(id(ANNA), 5), signers));
        assert_eq!(said, Err(Refusal::OrderNoQuorum), "{signers:?}");
    }
    assert_eq!(world.try_one(&world.order(issue(id(ANNA), 5), &[1, 3])), Ok(()));
}

#[test]
fn order_needs_the_power_that_the_rule_asks_for() {
    let mut world = world();
    world.rules.quorum = Rule::TwoThirds;
    let said = world.try_one(&world.order(issue(id(ANNA), 5), &[1, 2]));
    assert_eq!(said, Err(Refusal::OrderNoQuorum), "2 of 3 are not more than two thirds");
    assert_eq!(world.try_one(&world.order(issue(id(ANNA), 5), &ALL)), Ok(()));
}

#[test]
fn signature_of_a_stranger_spoils_an_order() {
    let world = world();
    let said = world.try_one(&world.order(issue(id(ANNA), 5), &[9]));
    assert_eq!(said, Err(Refusal::OrderNoQuorum));
}

#[test]
fn order_of_another_community_is_refused() {
    let world = world();
    let mut other = world.clone();
    other.rules.community = CommunityId([8; 32]);
    assert_eq!(world.try_one(&other.order(issue(id(ANNA), 5), &ALL)), Err(Refusal::OrderNoQuorum));
}

#[test]
fn order_changed_after_signing_is_refused() {
    let world = world();
    let seedbank_types::Entry::Order(mut signed) = world.order(issue(id(ANNA), 5), &ALL) else {
        unreachable!("it is an order")
    };
    signed.order.kind = issue(id(ANNA), 6);
    assert_eq!(world.try_one(&seedbank_types::Entry::Order(signed)), Err(Refusal::OrderNoQuorum));
}

#[test]
fn order_takes_effect_once() {
    let mut world = world();
    let entry = world.order(issue(id(ANNA), 5), &ALL);
    let mut batch = world.batch();
    batch.push(&entry).expect("the first time");
    assert_eq!(batch.push(&entry), Err(Refusal::OrderWrongSequence { expected: 1 }));
    drop(batch);
    world.apply(std::slice::from_ref(&entry));
    assert_eq!(world.try_one(&entry), Err(Refusal::OrderWrongSequence { expected: 1 }));
    let early = Order { kind: issue(id(ANNA), 5), sequence: 2, last_epoch: Epoch(5) };
    assert_eq!(world.try_one(&world.sign_order(early, &ALL)), Err(Refusal::OrderWrongSequence { expected: 1 }));
}

#[test]
fn last_order_of_all_is_refused_instead_of_overflowing() {
    let mut world = world();
    world.accounts.get_mut(&RESERVED_ORDERS_ACCOUNT).expect("reserved").sequence = u64::MAX;
    assert_eq!(refused(&world, issue(id(ANNA), 5)), Refusal::OrderWrongSequence { expected: u64::MAX });
}

#[test]
fn order_is_good_in_its_last_epoch_and_expired_after_it() {
    let mut world = world();
    let entry = world.order(retire(5), &ALL);
    assert_eq!(world.try_one(&entry), Ok(()));
    world.epoch = Epoch(6);
    assert_eq!(world.try_one(&entry), Err(Refusal::OrderExpired { epoch: 6 }));
}

#[test]
fn servers_of_an_order_are_in_force_after_the_epoch() {
    let mut world = world();
    let before = world.state.servers.clone();
    world.apply(&[world.order(OrderKind::Servers(servers(&[3, 4, 5])), &ALL)]);
    assert_eq!((&world.state.servers, &world.state.next_servers), (&before, &servers(&[3, 4, 5])));
    world.apply(&[world.order(issue(id(ANNA), 5), &[1, 2])]);
    world.state = world.state.after_closing();
    assert_eq!(world.state.servers, servers(&[3, 4, 5]));
    let old = world.try_one(&world.order(issue(id(ANNA), 5), &[1, 2]));
    assert_eq!(old, Err(Refusal::OrderNoQuorum), "the old ones order nothing more");
    assert_eq!(world.try_one(&world.order(issue(id(ANNA), 5), &[4, 5])), Ok(()));
}

/// The sets that sign the checkpoint of this epoch, are in force, and come next.
fn sets(world: &World) -> [seedbank_types::ServerSet; 3] {
    [&world.state.signers, &world.state.servers, &world.state.next_servers].map(Clone::clone)
}

#[test]
fn servers_are_added_removed_weighed_and_rotated_each_from_the_next_epoch_on() {
    let weighed = servers(&[1, 2, 3, 4]).members().iter().map(|(key, _)| (*key, 1)).collect::<Vec<_>>();
    let heavy = weighed.iter().map(|(key, power)| (*key, if *key == server(2).public() { 5 } else { *power }));
    let heavy = seedbank_types::ServerSet::new(heavy).expect("good keys");
    let steps = [
        (servers(&[1, 2, 3, 4]), &[1, 2][..]),
        (heavy, &[1, 2, 4]),
        // Number 2 alone has five of eight.
        (servers(&[1, 2, 3]), &[2]),
        (servers(&[1, 2, 9]), &[2, 3]),
    ];
    let mut world = world();
    for (next, signers) in steps {
        let before = world.state.servers.clone();
        world.apply(&[world.order(OrderKind::Servers(next.clone()), signers)]);
        assert_eq!(sets(&world)[1..], [before.clone(), next.clone()]);
        world.state = world.state.after_closing();
        assert_eq!(sets(&world), [before, next.clone(), next], "the old set signs the epoch that it closed");
    }
    let rotated = world.try_one(&world.order(retire(1), &[2, 9]));
    assert_eq!(rotated, Ok(()), "the new key orders in the place of the old one");
}

#[test]
fn naming_the_same_servers_is_refused() {
    let mut world = world();
    assert_eq!(refused(&world, OrderKind::Servers(servers(&ALL))), Refusal::ServersUnchanged);
    world.apply(&[world.order(OrderKind::Servers(servers(&[3, 4, 5])), &ALL)]);
    assert_eq!(refused(&world, OrderKind::Servers(servers(&[3, 4, 5]))), Refusal::ServersUnchanged);
    assert_eq!(
        world.try_one(&world.order(OrderKind::Servers(servers(&ALL)), &ALL)),
        Ok(()),
        "a change can be taken back before it is in force"
    );
}

#[test]
fn order_changes_the_digest_even_if_no_money_moves() {
    let mut world = world();
    let before = world.state.digest;
    let differing = world.apply(&[world.order(OrderKind::Servers(servers(&[3, 4, 5])), &ALL)]);
    let counter = AccountRecord { id: RESERVED_ORDERS_ACCOUNT, balance: Amount::ZERO, sequence: 1 };
    assert_eq!(differing.into_values().collect::<Vec<_>>(), [counter]);
    assert_ne!(world.state.digest, before);
}

#[test]
fn reserved_account_missing_in_genesis_is_opened_by_the_first_order() {
    let mut world = world();
    world.accounts.remove(&RESERVED_ORDERS_ACCOUNT);
    world.state.count = 3;
    world.apply(&[world.order(issue(id(ANNA), 5), &ALL)]);
    assert_eq!((world.accounts[&RESERVED_ORDERS_ACCOUNT].sequence, world.state.count), (1, 4));
}

#[test]
fn orders_and_payments_mix_in_one_batch() {
    let mut world = world();
    let second = Order { kind: retire(12), sequence: 1, last_epoch: Epoch(5) };
    let entries = [
        world.order(issue(id(CARA), 100), &ALL),
        world.payment(CARA, FEES, 98),
        world.sign_order(second, &ALL),
        world.payment(FEES, BERT, 136),
    ];
    world.apply(&entries);
    assert_eq!([world.balance(CARA), world.balance(FEES), world.balance(BERT)], [0, 2, 1_136]);
    assert_eq!(world.state.supply, Amount(2_138));
}
