//! `seedbankd`: a server of a community.
//!
//! Settings, one main loop ([`run`]) and wiring; the rules are in the crates beneath. Start at
//! `run.rs` for the way of a payment, at `engine_thread.rs` for what is written before it is said.
mod allowances;
mod bodies;
mod catching_up;
mod checking;
mod cli;
mod cutting;
mod discovery;
mod divergence;
mod durations;
mod engine_thread;
mod evidence;
mod exit;
mod fetching;
mod genesis;
mod gossip;
mod handovers;
mod home;
mod keys;
mod leaving;
mod order_command;
mod orders;
mod payments;
mod proofs;
mod pruning;
mod publishing;
mod recovery;
mod requests;
mod resync;
mod run;
mod settings;
mod shared;
mod snapshots;
mod speaking;
mod stamps;
mod stopping;
mod twins;
mod unordered;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, GenesisCommand, KeyCommand};
use crate::exit::Failure;

fn main() -> ExitCode {
    match carry_out(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn carry_out(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Key { command: KeyCommand::New { out } } => keys::new(&out),
        Command::Genesis { command: GenesisCommand::New(arguments) } => genesis::new(&arguments),
        Command::Order(arguments) => order_command::run(&arguments),
        Command::Run(arguments) => run::run(settings::Settings::read(arguments)?),
        Command::SpeakAgain(arguments) => speaking::run(&arguments),
        Command::Resync(arguments) => resync::run(&settings::Settings::read(arguments.into())?),
    }
}
