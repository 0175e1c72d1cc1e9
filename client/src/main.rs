//! `seedbank`: the light client of a community. It knows the servers' public keys and nothing else; it finds their
//! newest certificate in the DHT, fetches all balances by BitTorrent, verifies them, and seeds them on.
//!
//! It is *not* a server: it keeps no history and agrees on nothing. Whatever comes from outside is judged in
//! `judge`, `ranking` and `outcome`, which are pure; `sync` puts the parts together.
//!
//! Invariants: nothing is shown that the servers did not certify; the newest epoch seen is never gone back on; two
//! certified histories stop everything; a snapshot has its name only once it is verified; a signed payment is on
//! disk before it is sent, and only the same bytes are sent again.
mod api;
mod balance;
mod cli;
mod dht;
mod discovery;
mod disk;
mod errors;
mod evidence;
mod following;
mod home;
mod judge;
mod network;
mod obtain;
mod outcome;
mod passphrase;
mod pay;
mod payment_command;
mod ranking;
mod report;
#[cfg(test)]
mod samples;
mod seed;
mod servers;
mod settings;
mod stamping;
mod status;
mod sync;
mod verify;
mod wallet_commands;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;

use crate::cli::{Command, Flags, SeedFlags, SyncFlags};
use crate::errors::Failure;
use crate::network::Network;
use crate::report::Answer;
use crate::settings::Settings;

/// What is still running in the background when a command has ended gets so long.
const BACKGROUND_WITHIN: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("SEEDBANK_LOG").unwrap_or_else(|_not_set| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Flags::try_parse() {
        Ok(flags) => {
            let json = flags.common.json;
            ExitCode::from(report::finish(json, run(flags)))
        }
        Err(error) => bad_flags(&error),
    }
}

/// Wrong flags are words for people, and an object for who asked for objects.
fn bad_flags(error: &clap::Error) -> ExitCode {
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !is_help && std::env::args_os().any(|argument| argument == "--json") {
        let message = error.render().to_string();
        let failure = Failure::usage(message.trim(), "See `seedbank --help`.");
        return ExitCode::from(report::finish(true, Err(failure)));
    }
    if error.print().is_err() {
        tracing::debug!("nobody reads the help");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(flags: Flags) -> Result<Answer, Failure> {
    let settings = Settings::new(flags.common)?;
    let command = match flags.command {
        Command::Wallet(command) => return wallet_commands::run(&settings, command),
        Command::Evidence(flags) => return evidence::run(&settings, &flags),
        command => command,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::unexpected)?;
    let result = runtime.block_on(dispatch(&settings, command));
    runtime.shutdown_timeout(BACKGROUND_WITHIN);
    result
}

async fn dispatch(settings: &Settings, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Wallet(command) => wallet_commands::run(settings, command),
        Command::Evidence(flags) => evidence::run(settings, &flags),
        Command::Sync(flags) => sync_once(settings, &flags).await,
        Command::Balance(flags) => balance::run(settings, &flags).await,
        Command::Pay(flags) => pay::run(settings, &flags).await,
        Command::Payment(flags) => payment_command::run(settings, &flags).await,
        Command::Seed(flags) => seed::run(settings, &flags).await,
        Command::Status(flags) => status::run(settings, &flags).await,
        Command::Verify(flags) => verify::run(settings, &flags).await,
        Command::Dht(flags) => dht::run(settings, flags).await,
    }
}

async fn sync_once(settings: &Settings, flags: &SyncFlags) -> Result<Answer, Failure> {
    let trusted = settings.trusted()?;
    let network = Network::start(&trusted).await?;
    let synced = sync::sync(&settings.home, &trusted, &network, settings.voice).await?;
    let answer = sync::answer(&synced);
    drop(network);
    if !flags.seed {
        return Ok(answer);
    }
    settings.voice.say(&answer.words);
    seed::run(settings, &SeedFlags { torrent_port: 0, dht_port: 0 }).await?;
    Ok(Answer { words: String::new(), ..answer })
}
