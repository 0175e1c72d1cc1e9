//! A short run of each real fault, and the bank checker over all that clients were told. Longer runs:
//! `seedbank-testnet faults`, see `docs/faults.md`.
use std::process::Output;

use anyhow::{Context, Result, ensure};
use seedbank_testnet::Binaries;
use seedbank_testnet::faults::room;
use serde_json::Value;
use tokio::process::Command;

const SECONDS: &str = "8";

/// Runs the command; `None` where this system does not allow it.
async fn faults(kind: &str) -> Result<Option<Value>> {
    if let Err(why) = room::possible() {
        eprintln!("skipped: {why:#}");
        return Ok(None);
    }
    let arguments = ["faults", "--kind", kind, "--seconds", SECONDS, "--json"];
    let output = Command::new(Binaries::find()?.testnet).args(arguments).kill_on_drop(true).output().await?;
    let Output { status, stdout, stderr } = output;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.success(), "`seedbank-testnet {}` ended with {status}: {said}", arguments.join(" "));
    let last = stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).context("it printed nothing")?;
    Ok(Some(serde_json::from_slice(last).with_context(|| said.clone())?))
}

/// Something happened, much was paid and read meanwhile, and nothing was found.
async fn survived(kind: &str) -> Result<()> {
    let Some(report) = faults(kind).await? else { return Ok(()) };
    let count = |name: &str| report[name].as_u64().unwrap_or_default();
    let faults = report["faults"].as_array().map_or(0, Vec::len);
    ensure!(faults > 0 && count("payments") > 20 && count("reads") > 20, "too little happened: {report}");
    ensure!(report["findings"].as_array().is_some_and(Vec::is_empty), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_partition_loses_and_doubles_nothing() -> Result<()> {
    survived("partition").await
}

#[tokio::test]
async fn latency_and_loss_lose_and_double_nothing() -> Result<()> {
    survived("latency").await
}

#[tokio::test]
async fn a_wrong_clock_loses_and_doubles_nothing() -> Result<()> {
    if !room::has_fake_time() {
        eprintln!("skipped: the Debian package `faketime` is not installed");
        return Ok(());
    }
    survived("clock").await
}

#[tokio::test]
async fn a_full_disk_stops_its_server_with_clear_words_and_loses_nothing() -> Result<()> {
    survived("disk-full").await
}

#[tokio::test]
async fn servers_that_stand_still_catch_up_and_lose_nothing() -> Result<()> {
    survived("stop").await
}

#[tokio::test]
async fn kills_lose_and_double_nothing() -> Result<()> {
    survived("kill").await
}
