//! `seedbank-testnet`: a whole community on this machine, see the library of the same name.
mod bench_command;
mod faults_command;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use seedbank_testnet::{Narrator, Net, Testnet, TestnetSettings, dht_net, guard, story};
use seedbank_types::Rule;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// So long it may take until an epoch of usual length is certified and everybody has its file.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// A whole Seedbank community on this machine: a local DHT, servers and seeders on loopback addresses.
#[derive(Debug, Parser)]
#[command(name = "seedbank-testnet", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a community; print one line of JSON when it is ready; stop all on SIGTERM or Ctrl-C
    #[command(after_help = "Example: seedbank-testnet up --servers 3 --seeders 1 --accounts 1000 --epoch 5s")]
    Up(UpFlags),
    /// Tell the story of a community: payments, a light client, kill -9; exit 0 if all came true
    #[command(after_help = "Example: seedbank-testnet demo")]
    Demo(DemoFlags),
    /// Measure how fast a community is, and what its work costs
    Bench {
        #[command(subcommand)]
        what: bench_command::Bench,
    },
    /// Let real faults happen to a community under load, and check that nothing is lost or doubled
    #[command(after_help = "Example: seedbank-testnet faults --kind partition --seconds 30\n\
                            Method: docs/faults.md")]
    Faults(faults_command::FaultsFlags),
    /// The process of the local DHT
    #[command(hide = true)]
    Dht {
        #[arg(long)]
        home: PathBuf,
        #[arg(long, required = true)]
        ip: Vec<Ipv4Addr>,
    },
    /// The process that ends the others when the testnet has died
    #[command(hide = true)]
    Guard,
}

#[derive(Debug, Args)]
struct UpFlags {
    /// Servers, 1 to 13
    #[arg(long, default_value_t = 3)]
    servers: u8,
    /// Community seeders
    #[arg(long, default_value_t = 1)]
    seeders: u8,
    /// Accounts in the genesis
    #[arg(long, default_value_t = 1_000)]
    accounts: u32,
    /// Length of an epoch
    #[arg(long, default_value = "5s")]
    epoch: String,
    /// `majority` or `two-thirds`
    #[arg(long, default_value = "majority")]
    quorum: Rule,
    /// Nodes of the local DHT
    #[arg(long, default_value_t = 16)]
    dht_nodes: u8,
    /// Loopback addresses to use
    #[arg(long, default_value = "127.1.0.0/16")]
    net: Net,
    /// An empty directory for everything [default: a temporary one]
    #[arg(long)]
    home: Option<PathBuf>,
    /// Errors as one JSON object on standard output, too
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DemoFlags {
    /// Print one JSON object at the end instead of the story
    #[arg(long)]
    json: bool,
    /// Length of an epoch
    #[arg(long, default_value = "2s")]
    epoch: String,
    /// Loopback addresses to use
    #[arg(long, default_value = "127.1.0.0/16")]
    net: Net,
    /// An empty directory for everything [default: a temporary one]
    #[arg(long)]
    home: Option<PathBuf>,
}

/// One thread: everything here waits for other processes.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEEDBANK_LOG");
    let filter = filter.unwrap_or_else(|_not_set| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let (result, json) = match Flags::parse().command {
        Command::Up(flags) => (up(&flags).await, flags.json),
        Command::Demo(flags) => return demo(&flags).await,
        Command::Bench { what: bench_command::Bench::CatchUp(flags) } => {
            (bench_command::run_catch_up(&flags).await, flags.json)
        }
        Command::Bench { what: bench_command::Bench::Payments(flags) } => {
            (bench_command::run(&flags).await, flags.json)
        }
        Command::Faults(flags) => match faults_command::run(&flags).await {
            Ok(code) => return ExitCode::from(u8::try_from(code).unwrap_or(1)),
            Err(error) => (Err(error), flags.json),
        },
        Command::Dht { home, ip } => (run_dht(home, ip).await, false),
        Command::Guard => (guard::run(std::io::stdin().lock()), false),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if json => fail_in_json(&error),
        Err(error) => fail(&error),
    }
}

async fn up(flags: &UpFlags) -> Result<()> {
    let settings = TestnetSettings {
        peer_payments: None,
        servers: flags.servers,
        seeders: flags.seeders,
        accounts: flags.accounts,
        epoch: flags.epoch.clone(),
        quorum: flags.quorum,
        dht_nodes: flags.dht_nodes,
        net: flags.net,
        home: flags.home.clone(),
        stations: Vec::new(),
    };
    let stop = stop_signals()?;
    let start = async {
        let mut testnet = Testnet::start(&settings).await?;
        testnet.ready(READY_LIMIT).await?;
        anyhow::Ok(testnet)
    };
    let testnet = tokio::select! {
        testnet = start => testnet?,
        // Dropped halfway, it takes its processes with it.
        () = stop.cancelled() => return Ok(()),
    };
    print_line(&serde_json::to_string(&testnet.description())?)?;
    stop.cancelled().await;
    testnet.stop().await
}

async fn demo(flags: &DemoFlags) -> ExitCode {
    let settings =
        TestnetSettings { epoch: flags.epoch.clone(), net: flags.net, home: flags.home.clone(), ..Default::default() };
    let mut narrator = if flags.json { Narrator::silent() } else { Narrator::aloud() };
    let told = tell(&settings, &mut narrator).await;
    let reported = match &told {
        Ok(()) if flags.json => {
            let report = json!({ "ok": true, "seconds": narrator.elapsed().as_secs_f64(), "steps": narrator.steps() });
            print_line(&report.to_string())
        }
        Ok(()) => Ok(()),
        Err(error) if flags.json => return fail_in_json(error),
        Err(error) => narrator.failed(error),
    };
    match reported {
        Ok(()) if told.is_ok() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

async fn tell(settings: &TestnetSettings, narrator: &mut Narrator) -> Result<()> {
    let stop = stop_signals()?;
    tokio::select! {
        told = story::tell(settings, narrator) => told,
        () = stop.cancelled() => anyhow::bail!("the demo was interrupted"),
    }
}

async fn run_dht(home: PathBuf, addresses: Vec<Ipv4Addr>) -> Result<()> {
    dht_net::run(&home, &addresses, stop_signals()?).await
}

/// Cancelled by SIGTERM or Ctrl-C.
fn stop_signals() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(stop)
}

#[expect(clippy::print_stdout, reason = "the one line that programs wait for")]
fn print_line(line: &str) -> Result<()> {
    use std::io::Write;
    println!("{line}");
    std::io::stdout().flush().context("standard output is closed")
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("{error:#}");
    ExitCode::FAILURE
}

fn fail_in_json(error: &anyhow::Error) -> ExitCode {
    let next = "The logs are in the directory that --home names, one below each process.";
    let object = json!({ "error": { "code": "unexpected", "message": format!("{error:#}"), "next": next } });
    match print_line(&object.to_string()) {
        Ok(()) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}
