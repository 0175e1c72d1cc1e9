//! `seedbank-sim --seeds A..B`: many random communities with random faults, on all cores.
#![expect(clippy::print_stdout, reason = "a tool for people")]
mod report;
mod workers;

use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use seedbank_sim::{Kind, Mutation};

/// Runs whole communities in virtual time, with random faults, and holds every invariant after every
/// event. The same seed gives the same history.
#[derive(Debug, Parser)]
#[command(name = "seedbank-sim", version)]
struct Arguments {
    /// The seeds to run, the second one exclusive.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Range<u64>,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
    /// Check every signature only once in all (needs the feature `memoise`).
    #[arg(long)]
    memoise: bool,
    /// Print what happens in each seed.
    #[arg(long)]
    verbose: bool,
    /// Which communities: any, two-thirds-liars, majority-liar or majority-honest.
    #[arg(long, default_value_t)]
    plan: Kind,
    /// Let all servers do something wrong, to see that it is found out.
    #[arg(long)]
    mutation: Option<Mutation>,
    /// Seeds run at once; as many as there are cores, unless set.
    #[arg(long)]
    threads: Option<usize>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("it must be like 0..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?} is no number: {error}"));
    let range = number(first)?..number(end)?;
    if range.is_empty() { Err("there is no seed in it: the second number is exclusive".to_owned()) } else { Ok(range) }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.memoise && !seedbank_sim::CAN_MEMOISE {
        eprintln!("this build checks every signature: cargo run -p seedbank-sim --features memoise -- --memoise ...");
        return ExitCode::from(2);
    }
    let summary = workers::run(&arguments);
    if arguments.json {
        println!("{}", report::json(&summary));
    } else {
        println!("{}", report::text(&summary));
    }
    if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
