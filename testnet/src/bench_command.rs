//! `seedbank-testnet bench`: flags, progress, the result.
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use seedbank_testnet::bench::{self, BenchSettings, Target};
use seedbank_testnet::{Net, TestnetSettings};
use seedbank_types::Rule;

use crate::{print_line, stop_signals};

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// How fast payments become final by a quorum; every balance is checked at the end
    #[command(after_help = "Example: seedbank-testnet bench payments --servers 4 --payments 360000 --json\n\
                            Method: docs/bench.md")]
    Payments(PaymentsFlags),
    /// How fast an empty server catches up with the batches of payments that became final before
    #[command(after_help = "Example: seedbank-testnet bench catch-up --servers 1 --payments 60000 --json\n\
                            Method: docs/bench.md")]
    CatchUp(PaymentsFlags),
}

#[derive(Debug, Args)]
pub(crate) struct PaymentsFlags {
    /// Servers, 1 to 13
    #[arg(long, default_value_t = 4)]
    servers: u8,
    /// Payments to measure
    #[arg(long, default_value_t = 100_000)]
    payments: u32,
    /// Payments a second [default: as many as the servers take]
    #[arg(long)]
    rate: Option<u32>,
    /// Accounts that are paid; the first 1,000 of them pay
    #[arg(long, default_value_t = 1_000)]
    accounts: u32,
    /// Without --rate: payments on their way at once
    #[arg(long, default_value_t = 10_000)]
    window: u32,
    /// To whom payments are handed in
    #[arg(long, value_enum, default_value_t = To::Spread)]
    to: To,
    /// Length of an epoch
    #[arg(long, default_value = "60s")]
    epoch: String,
    /// `majority` or `two-thirds`
    #[arg(long, default_value = "majority")]
    quorum: Rule,
    /// Loopback addresses to use
    #[arg(long, default_value = "127.77.0.0/16")]
    net: Net,
    /// An empty directory for everything [default: a temporary one]
    #[arg(long)]
    home: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// Each payment to one server, which server goes round
    Spread,
    /// All to one server
    First,
    /// Each to every server
    All,
}

pub(crate) async fn run(flags: &PaymentsFlags) -> Result<()> {
    let stop = stop_signals()?;
    let settings = flags.settings();
    let mut say = |text: &str| eprintln!("{text}");
    let numbers = tokio::select! {
        numbers = bench::payments(&settings, &mut say) => numbers?,
        () = stop.cancelled() => anyhow::bail!("the measurement was interrupted"),
    };
    let said = if flags.json { serde_json::to_string(&numbers)? } else { numbers.to_string() };
    print_line(&said)
}

pub(crate) async fn run_catch_up(flags: &PaymentsFlags) -> Result<()> {
    let stop = stop_signals()?;
    let settings = flags.settings();
    let mut say = |text: &str| eprintln!("{text}");
    let numbers = tokio::select! {
        numbers = bench::catch_up(&settings, &mut say) => numbers?,
        () = stop.cancelled() => anyhow::bail!("the measurement was interrupted"),
    };
    let said = if flags.json { serde_json::to_string(&numbers)? } else { numbers.to_string() };
    print_line(&said)
}

impl PaymentsFlags {
    fn settings(&self) -> BenchSettings {
        let testnet = TestnetSettings {
            servers: self.servers,
            seeders: 0,
            accounts: self.accounts,
            epoch: self.epoch.clone(),
            quorum: self.quorum,
            net: self.net,
            home: self.home.clone(),
            ..TestnetSettings::default()
        };
        let target = match self.to {
            To::Spread => Target::Spread,
            To::First => Target::First,
            To::All => Target::All,
        };
        BenchSettings { testnet, payments: self.payments, rate: self.rate, window: self.window, target }
    }
}
