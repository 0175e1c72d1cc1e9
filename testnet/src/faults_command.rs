//! `seedbank-testnet faults`: flags, the room, the reports.
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use seedbank_testnet::faults::{self, FaultsSettings, Kind, Report, room};
use seedbank_types::Rule;

use crate::{print_line, stop_signals};

/// The exit code of a system that does not allow what is needed, as Automake has it for skipped tests.
const EXIT_SKIPPED: i32 = 77;

#[derive(Debug, Args)]
pub(crate) struct FaultsFlags {
    /// Runs, each with a new community
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// How long faults happen in a run
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Servers, 3 to 13
    #[arg(long, default_value_t = 3)]
    servers: u8,
    /// `majority` or `two-thirds`
    #[arg(long, default_value = "majority")]
    quorum: Rule,
    /// What happens
    #[arg(long, value_enum, default_value_t = Kind::Mixed)]
    kind: Kind,
    /// Says who is struck and when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An empty directory for everything [default: a temporary one]
    #[arg(long)]
    home: Option<PathBuf>,
    /// One JSON object a run instead of words
    #[arg(long)]
    pub(crate) json: bool,
}

/// Gives the exit code: 0 without findings, 77 where namespaces are not allowed.
pub(crate) async fn run(flags: &FaultsFlags) -> Result<i32> {
    if !room::is_inside() {
        if let Err(why) = room::possible() {
            eprintln!("skipped: {why:#}");
            return Ok(EXIT_SKIPPED);
        }
        return room::run_inside(stop_signals()?).await;
    }
    let settings = FaultsSettings {
        runs: flags.runs,
        seconds: flags.seconds,
        servers: flags.servers,
        quorum: flags.quorum,
        kind: flags.kind,
        seed: flags.seed,
        home: flags.home.clone(),
    };
    let mut findings = 0;
    let mut tell = |report: &Report| {
        findings += report.findings.len();
        let said = if flags.json { serde_json::to_string(report)? } else { words(report) };
        print_line(&said)
    };
    let stop = stop_signals()?;
    tokio::select! {
        done = faults::run(&settings, &mut tell) => done.context("the faults could not be tried")?,
        () = stop.cancelled() => bail!("the run was interrupted"),
    }
    Ok(i32::from(findings > 0))
}

fn words(report: &Report) -> String {
    let mut words = format!(
        "run {} (seed {}): {} payments final, {} reads, {} verified reads; {} faults, slowest recovery {} ms; {} findings",
        report.run,
        report.seed,
        report.payments,
        report.reads,
        report.verified,
        report.faults.len(),
        report.slowest_recovery_ms,
        report.findings.len(),
    );
    for fault in &report.faults {
        words += &format!("\n    {} ({} ms), then {} ms", fault.what, fault.lasted_ms, fault.recovered_ms);
    }
    for finding in &report.findings {
        words += &format!("\n    FINDING: {}: {}", finding.rule, finding.words);
    }
    if let Some(history) = &report.history {
        words += &format!("\n    history: {}", history.display());
    }
    words
}
