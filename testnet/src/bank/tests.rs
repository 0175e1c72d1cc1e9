//! The checker's teeth: a good history passes, and each way of going wrong is found.
use std::collections::BTreeMap;

use seedbank_types::{AccountId, PaymentId};

use super::{Deed, Ending, Entry, History, Opening, Place, ServerEnd, Told, Transfer, check};

const A: AccountId = AccountId([1; 20]);
const B: AccountId = AccountId([2; 20]);
const FEES: AccountId = AccountId([9; 20]);

fn id(number: u8) -> PaymentId {
    PaymentId([number; 32])
}

fn place(height: u64) -> Place {
    Place { height, header: format!("header {height}") }
}

fn entry(begin_us: u64, deed: Deed) -> Entry {
    Entry { begin_us, end_us: begin_us + 10, client: 0, deed }
}

fn transfer(number: u8, sequence: u64) -> Transfer {
    Transfer { id: id(number), payer: A, payee: B, amount: 10, fee: 1, sequence }
}

fn told(begin_us: u64, number: u8, server: usize, told: Told) -> Entry {
    entry(begin_us, Deed::Told { payment: id(number), server, told })
}

fn read(begin_us: u64, server: usize, balance: u64, sequence: u64, height: u64) -> Entry {
    entry(begin_us, Deed::Read { server, account: A, balance, sequence, height })
}

fn certificate(begin_us: u64, epoch: u64, height: u64, hash: &str) -> Entry {
    entry(begin_us, Deed::Certificate { server: 0, epoch, height, hash: hash.to_owned() })
}

fn verified(begin_us: u64, balance: u64, sequence: u64, epoch: u64) -> Entry {
    entry(begin_us, Deed::Verified { account: A, balance, sequence, epoch })
}

/// Two payments of A, at heights 3 and 5, read here and there.
fn good() -> (History, Ending) {
    let balances = BTreeMap::from([(A, 100), (B, 100), (FEES, 0)]);
    let entries = vec![
        entry(0, Deed::Signed(transfer(1, 0))),
        told(20, 1, 0, Told::Sent),
        told(40, 1, 0, Told::Final(place(3))),
        entry(60, Deed::Final { payment: id(1), place: place(3) }),
        read(80, 0, 89, 1, 4),
        certificate(90, 1, 4, "first"),
        entry(100, Deed::Signed(transfer(2, 1))),
        told(120, 2, 1, Told::Refused { code: "busy".to_owned(), for_ever: false }),
        told(140, 2, 1, Told::Final(place(5))),
        read(160, 1, 78, 2, 6),
        verified(180, 89, 1, 1),
        read(200, 0, 78, 2, 5),
    ];
    let server = |name: &str| ServerEnd {
        name: name.to_owned(),
        supply: 1_000,
        accounts: BTreeMap::from([(A, (78, 2)), (B, (120, 0)), (FEES, (2, 0))]),
        places: BTreeMap::from([(id(1), place(3)), (id(2), place(5))]),
        checkpoint: (2, "second".to_owned()),
    };
    let opening = Opening { balances, fee_account: FEES, supply: 1_000 };
    (History { opening, entries }, Ending { servers: vec![server("server-1"), server("server-2")] })
}

/// The rules that are broken once `spoil` has worked.
fn broken(spoil: impl FnOnce(&mut History, &mut Ending)) -> Vec<&'static str> {
    let (mut history, mut ending) = good();
    spoil(&mut history, &mut ending);
    let mut rules: Vec<&str> = check(&history, &ending).into_iter().map(|finding| finding.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_good_history_has_no_findings() {
    let (history, ending) = good();
    assert_eq!(check(&history, &ending), []);
}

#[test]
fn a_lost_payment_is_found() {
    let rules = broken(|_, ending| {
        for server in &mut ending.servers {
            server.places.remove(&id(2));
            server.accounts = BTreeMap::from([(A, (89, 1)), (B, (110, 0)), (FEES, (1, 0))]);
        }
    });
    assert!(rules.contains(&"nothing final is lost"), "{rules:?}");
}

#[test]
fn a_payment_that_one_server_lacks_is_found() {
    let rules = broken(|_, ending| drop(ending.servers[1].places.remove(&id(1))));
    assert!(rules.contains(&"nothing final is lost") && rules.contains(&"servers agree"), "{rules:?}");
}

#[test]
fn money_that_moved_twice_is_found() {
    let rules = broken(|_, ending| {
        ending.servers[0].accounts = BTreeMap::from([(A, (67, 2)), (B, (130, 0)), (FEES, (3, 0))]);
    });
    assert!(rules.contains(&"balances are those of the payments"), "{rules:?}");
}

#[test]
fn one_sequence_used_twice_is_found() {
    let rules = broken(|history, _| history.entries[6].deed = Deed::Signed(transfer(2, 0)));
    assert!(rules.contains(&"nothing is doubled"), "{rules:?}");
}

#[test]
fn payments_out_of_order_are_found() {
    let rules = broken(|history, ending| {
        history.entries.retain(|entry| !matches!(entry.deed, Deed::Told { .. } | Deed::Final { .. }));
        for server in &mut ending.servers {
            server.places = BTreeMap::from([(id(1), place(5)), (id(2), place(3))]);
        }
    });
    assert!(rules.contains(&"nothing is doubled"), "{rules:?}");
}

#[test]
fn a_payment_at_two_places_is_found() {
    let rules = broken(|history, _| history.entries.push(told(300, 1, 1, Told::Final(place(4)))));
    assert_eq!(rules, ["a payment has one place"]);
}

#[test]
fn a_fork_is_found() {
    let other = || Place { header: "another".to_owned(), ..place(3) };
    let rules = broken(|history, _| history.entries.push(told(300, 1, 1, Told::Final(other()))));
    assert_eq!(rules, ["a payment has one place", "a height has one header"]);
}

#[test]
fn a_payment_applied_after_it_was_refused_for_ever_is_found() {
    let expired = || Told::Refused { code: "expired".to_owned(), for_ever: true };
    let rules = broken(|history, _| history.entries.push(told(130, 2, 0, expired())));
    assert_eq!(rules, ["what is refused for ever stays out"]);
}

#[test]
fn a_stale_balance_told_for_a_newer_height_is_found() {
    let rules = broken(|history, _| history.entries.push(read(300, 1, 89, 1, 6)));
    assert_eq!(rules, ["reads are those of their height"]);
}

#[test]
fn a_balance_that_was_never_true_is_found() {
    let rules = broken(|history, _| history.entries.push(read(300, 1, 90, 1, 6)));
    assert_eq!(rules, ["reads are those of their height"]);
}

#[test]
fn a_server_that_goes_back_is_found() {
    let rules = broken(|history, _| history.entries.push(read(300, 1, 78, 2, 5)));
    assert_eq!(rules, ["reads never go back"]);
}

#[test]
fn a_server_that_forgot_what_it_called_final_is_found() {
    let rules = broken(|history, _| {
        history.entries.pop();
        history.entries.push(told(190, 2, 0, Told::Final(place(5))));
        history.entries.push(read(300, 0, 89, 1, 4));
    });
    assert_eq!(rules, ["reads never go back"]);
}

#[test]
fn answers_that_overlap_in_time_are_no_step_back() {
    let rules = broken(|history, _| {
        let deed = read(195, 0, 89, 1, 4).deed;
        history.entries.push(Entry { begin_us: 155, end_us: 300, client: 0, deed });
    });
    assert_eq!(rules, [""; 0]);
}

#[test]
fn a_light_client_that_goes_back_is_found() {
    let rules = broken(|history, _| {
        history.entries.push(certificate(300, 2, 6, "second"));
        history.entries.push(verified(320, 78, 2, 2));
        history.entries.push(verified(340, 89, 1, 1));
    });
    assert_eq!(rules, ["reads never go back"]);
}

#[test]
fn a_wrong_snapshot_is_found() {
    let rules = broken(|history, _| history.entries.push(verified(300, 78, 2, 1)));
    assert_eq!(rules, ["reads are those of their height"]);
}

#[test]
fn two_checkpoints_of_one_epoch_are_found() {
    let rules = broken(|history, _| history.entries.push(certificate(300, 1, 4, "another")));
    assert_eq!(rules, ["servers agree"]);
}

#[test]
fn money_from_nowhere_is_found() {
    let rules = broken(|_, ending| ending.servers.iter_mut().for_each(|server| server.supply += 1));
    assert_eq!(rules, ["balances are those of the payments"]);
}

#[test]
fn a_history_is_written_as_json_lines() {
    let (history, _) = good();
    let lines = history.to_json_lines();
    assert_eq!(lines.lines().count(), history.entries.len());
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}
