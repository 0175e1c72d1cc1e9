//! A process of its own that is killed while it writes, and one that finds the lock taken.
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use seedbank_store::{Store, StoreError};

use crate::common::{Chain, Random, batch, epoch, payment};

const PLACE: &str = "SEEDBANK_STORE_OF_THE_PARENT";
const KILLS: u32 = 12;

/// Runs one test of this very binary, by name, on a store.
pub(crate) fn spawn(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(PLACE, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs")
}

/// The parent's store; `None` in an ordinary run of the tests.
pub(crate) fn place() -> Option<std::path::PathBuf> {
    std::env::var_os(PLACE).map(Into::into)
}

/// Past the test harness, which would keep the line until the end.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nsay {line}").and_then(|()| out.flush()).expect("the parent listens");
}

pub(crate) fn said(line: &str) -> Option<&str> {
    line.strip_prefix("say ")
}

#[test]
fn commits_until_it_is_killed() {
    let Some(path) = place() else { return };
    let store = Store::open(&path).expect("opens without help");
    loop {
        let height = store.ledger_state().height.next();
        store.append_log(height, &height.0.to_be_bytes()).expect("writable");
        let batch = batch(&store, (1..40).map(|payer| payment(payer, payer + 1, 5, height.0 - 1)).collect());
        batch.commit_with_log(&store, &[(height.next(), b"early")]).expect("it is the next batch");
        say(&height.to_string());
    }
}

#[test]
fn killed_process_loses_nothing_that_it_said() {
    let Chain { dir: _dir, path, store } = Chain::new(50);
    drop(store);
    let mut random = Random(7);
    let mut last = 0;
    for round in 0..KILLS {
        let mut child = spawn("child::commits_until_it_is_killed", &path);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let enough = random.below(40);
        let mut heard = 0;
        while heard <= enough {
            let line = lines.next().expect("it goes on until it is killed").expect("text");
            if let Some(height) = said(&line) {
                (last, heard) = (height.parse().expect("a height"), heard + 1);
            }
        }
        child.kill().expect("it runs");
        for line in lines.map_while(Result::ok) {
            last = said(&line).map_or(last, |height| height.parse().expect("a height"));
        }
        child.wait().expect("it ends");
        let store = Store::open(&path).expect("opens without help: supply and count are right");
        let height = store.ledger_state().height.0;
        assert!(height == last || height == last + 1, "round {round}: said {last}, stored {height}");
        let log = store.read_log().expect("readable");
        let heights: Vec<u64> = log.iter().map(|(_, of, _)| of.0).collect();
        let is_next = heights.iter().all(|of| *of == height + 1);
        assert!(is_next && !heights.is_empty(), "round {round}: log {heights:?}, stored {height}");
        assert_eq!(epoch(&store).0, 1);
    }
}

#[test]
fn says_whether_the_lock_is_taken() {
    let Some(path) = place() else { return };
    let locked = matches!(Store::open(&path), Err(StoreError::Locked(at)) if at == path);
    say(if locked { "locked" } else { "free" });
}

#[test]
fn database_of_another_process_is_refused() {
    let chain = Chain::new(5);
    let answer = |path: &Path| {
        let mut child = spawn("child::says_whether_the_lock_is_taken", path);
        let mut text = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
        child.wait().expect("it ends");
        text.lines().find_map(said).map(str::to_owned)
    };
    assert_eq!(answer(&chain.path).as_deref(), Some("locked"));
    let Chain { dir: _dir, path, store } = chain;
    drop(store);
    assert_eq!(answer(&path).as_deref(), Some("free"));
}
