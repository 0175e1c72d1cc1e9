//! Runs the studies of `tests/simulation.rs` at full length and prints what they find:
//!
//!     cargo run -p seedbank-dht-proto --example churn -- [latency|churn|eclipse|all] [--json]
//!         [--nodes 1000] [--hours 24] [--tries 30000] [--loss PERCENT] [--dead PERCENT]
//!         [--detour MILLISECONDS] [--seed 1]
//!
//! A seed gives the same figures every time, except those of real time.
#![expect(clippy::print_stdout, reason = "a tool for people")]
#[path = "../tests/simulation/figures.rs"]
mod figures;
#[path = "../tests/simulation/net.rs"]
mod net;
#[path = "../tests/simulation/random.rs"]
mod random;
#[path = "../tests/simulation/record.rs"]
mod record;
#[path = "../tests/simulation/study.rs"]
mod study;
#[path = "../tests/simulation/sybil.rs"]
mod sybil;

use std::time::Duration;

use figures::Rows;
use net::Link;
use study::{Plan, Siege, World, churn, eclipse, latency};

const SETTLE: Duration = Duration::from_secs(20 * 60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u32| {
        let place = arguments.iter().position(|argument| argument == name);
        place.and_then(|place| arguments.get(place + 1)?.parse().ok()).unwrap_or(default)
    };
    let detour = Duration::from_millis(number("--detour", 0).into());
    let link = Link { detour, loss_per_million: number("--loss", 0) * 10_000, ..Link::default() };
    let (seed, nodes) = (u64::from(number("--seed", 1)), usize_of(number("--nodes", 1_000)));
    let plan = |tries| Plan { seed, nodes, link, settle: SETTLE, tries: usize_of(number("--tries", tries)) };
    let json = arguments.iter().any(|argument| argument == "--json");
    let wanted =
        |name: &str| arguments.first().is_none_or(|first| first == name || first == "all" || first.starts_with("--"));
    if wanted("latency") {
        let dead = number("--dead", 10);
        run(&format!("latency, {dead} % dead"), json, || latency(plan(3_000), usize_of(dead)));
    }
    if wanted("eclipse") {
        for siege in [Siege::FewSubnets, Siege::ManySubnets, Siege::Founded] {
            for gives_old in [false, true] {
                run(&format!("eclipse {siege:?}, gives old: {gives_old}"), json, || {
                    eclipse(plan(1_000), siege, gives_old)
                });
            }
        }
    }
    if wanted("churn") {
        run("churn", json, || churn(plan(30_000), number("--hours", 24)));
    }
}

#[expect(clippy::disallowed_methods, reason = "what a packet costs is measured in real time")]
fn run(name: &str, json: bool, study: impl FnOnce() -> (World, Rows)) {
    let began = std::time::Instant::now();
    let (world, mut rows) = study();
    let took = began.elapsed().as_secs_f64();
    rows.add("real seconds", (took * 10.0).round() / 10.0);
    let packets = world.net.sent.packets.max(1) as f64;
    rows.add("real microseconds per packet", (took * 1e8 / packets).round() / 100.0);
    if json {
        println!("{{\"study\":\"{name}\",\"figures\":{}}}", rows.json());
    } else {
        println!("{name}\n{}", rows.table());
    }
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}
