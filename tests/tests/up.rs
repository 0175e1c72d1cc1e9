//! `seedbank-testnet up` as programs use it.
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use seedbank_testnet::Binaries;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

const STOP_LIMIT: Duration = Duration::from_secs(12);
const POLL_PAUSE: Duration = Duration::from_millis(20);

async fn up() -> Result<(Child, BufReader<ChildStdout>, Value)> {
    let mut up = Command::new(Binaries::find()?.testnet)
        .args("up --servers 3 --seeders 1 --accounts 50 --epoch 1s --json".split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdout = BufReader::new(up.stdout.take().context("it is a pipe")?);
    let mut line = String::new();
    timeout(seedbank_tests::READY_LIMIT, stdout.read_line(&mut line)).await.context("it is not ready in time")??;
    let description = serde_json::from_str(&line).with_context(|| format!("the line is {line:?}"))?;
    Ok((up, stdout, description))
}

fn processes(description: &Value) -> Result<Vec<Pid>> {
    let all = ["servers", "seeders"].map(|kind| description[kind].as_array().cloned().unwrap_or_default()).concat();
    let pid = |process: &Value| Pid::from_raw(i32::try_from(process["pid"].as_i64()?).ok()?);
    all.iter().map(|process| pid(process).with_context(|| format!("{process} has no pid"))).collect()
}

fn pid_of(child: &Child) -> Result<Pid> {
    child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("it runs")
}

async fn all_gone(processes: &[Pid]) -> Result<()> {
    let deadline = Instant::now() + STOP_LIMIT;
    while processes.iter().any(|pid| test_kill_process(*pid).is_ok()) {
        ensure!(Instant::now() < deadline, "processes stay behind: {processes:?}");
        sleep(POLL_PAUSE).await;
    }
    Ok(())
}

#[tokio::test]
async fn it_prints_one_line_and_stops_everything_on_sigterm() -> Result<()> {
    let (mut up, mut stdout, description) = up().await?;
    for file in ["trust_file", "wallet", "passphrase_file"] {
        let path = std::path::PathBuf::from(description[file].as_str().context(file)?);
        ensure!(path.is_absolute() && path.is_file(), "{file} is {}", path.display());
    }
    let community = description["community"].as_str().context("community")?;
    ensure!(community.len() == 64, "{community}");
    for server in description["servers"].as_array().context("servers")? {
        for place in ["api", "mesh", "torrent", "home", "log"] {
            ensure!(server[place].as_str().is_some_and(|text| !text.is_empty()), "{server} lacks {place}");
        }
    }
    let trust = std::fs::read_to_string(description["trust_file"].as_str().context("trust_file")?)?;
    let bootstrap = description["dht_bootstrap"][0].as_str().context("dht_bootstrap")?;
    ensure!(trust.contains(&format!("bootstrap = {bootstrap}")), "{trust}");
    let processes = processes(&description)?;
    ensure!(processes.len() == 4, "{description}");

    kill_process(pid_of(&up)?, Signal::TERM)?;
    let status = timeout(STOP_LIMIT, up.wait()).await.context("it does not stop in time")??;
    ensure!(status.success(), "it stopped with {status}");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).await?;
    ensure!(rest.is_empty(), "it said more than one line: {rest:?}");
    all_gone(&processes).await
}

#[tokio::test]
async fn killed_with_kill_9_it_leaves_no_orphans() -> Result<()> {
    let (mut up, _stdout, description) = up().await?;
    let processes = processes(&description)?;
    up.kill().await?;
    all_gone(&processes).await?;
    // Killed, it could not clean up after itself.
    let trust_file = std::path::PathBuf::from(description["trust_file"].as_str().context("trust_file")?);
    let home = trust_file.parent().and_then(|community| community.parent()).context("the testnet has a home")?;
    Ok(std::fs::remove_dir_all(home)?)
}
