//! The sizes and times that the design promises, with a million accounts.
use std::io::Read;
use std::time::{Duration, Instant};

use seedbank_ledger::View;
use seedbank_store::Store;
use seedbank_types::Amount;

use crate::child;
use crate::common::{Random, accounts, batch, genesis, id, key, payment, place};

const ACCOUNTS: u32 = 1_000_000;
/// A start has 5 s; the rest of a server needs the greater part of them.
const OPEN_TIME_MAX: Duration = Duration::from_secs(2);
/// A server has 250 MB.
const RESIDENT_KIB_MAX: u64 = 120 << 10;
const BATCHES: u64 = 40;
const PAYMENTS_A_BATCH: u32 = 2_000;

#[test]
fn million_accounts_open_fast_and_stay_small() {
    let (_dir, path) = place();
    let all = accounts(ACCOUNTS);
    drop(Store::create(&path, &genesis(&all), all).expect("they fit the genesis"));
    let mut process = child::spawn("million::opens_and_works_in_a_process_of_its_own", &path);
    let mut text = String::new();
    process.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
    assert!(process.wait().expect("it ends").success(), "{text}");
    text.lines().filter_map(child::said).for_each(|line| eprintln!("{line}"));
    assert!(text.lines().filter_map(child::said).any(|line| line == "done"), "{text}");
}

#[test]
fn opens_and_works_in_a_process_of_its_own() {
    let Some(path) = child::place() else { return };
    let started = Instant::now();
    let store = Store::open(&path).expect("opens");
    let opened = started.elapsed();
    let mut writing = Duration::ZERO;
    for number in 0..BATCHES {
        let payers = (0..PAYMENTS_A_BATCH).map(|payer| 1 + payer * 400);
        let batch = batch(&store, payers.map(|payer| payment(payer, payer + 100, 5, number)).collect());
        let started = Instant::now();
        batch.commit(&store).expect("it is the next batch");
        writing += started.elapsed();
    }
    let mut random = Random(1);
    for _ in 0..200_000 {
        let number = u32::try_from(random.below(u64::from(ACCOUNTS))).expect("below 32 bits");
        assert!(store.account(&id(number)).is_some_and(|record| record.balance > Amount::ZERO), "{:?}", key(number));
    }
    assert_eq!(store.records().expect("readable").count(), ACCOUNTS as usize + 1);
    let resident = resident_kib();
    let rate = (BATCHES * u64::from(PAYMENTS_A_BATCH)) as f64 / writing.as_secs_f64();
    child::say(&format!("open {opened:?}, {rate:.0} payments/s, {resident} KiB resident"));
    assert!(opened <= OPEN_TIME_MAX, "opened in {opened:?}");
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB resident");
    child::say("done");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux has it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
