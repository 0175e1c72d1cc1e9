//! `seedbankd order`: commands of the servers themselves, from the proposal to the batch.
//!
//! One person proposes an order and writes it to a file; the people of the other servers read it and sign it, each
//! with the key of a server; anybody submits it.
mod ask;
mod file;
mod propose;
mod shown;
mod submit;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use seedbank_types::{Address, NumberedSignature, ServerKey};
use serde_json::Value;

use self::file::OrderFile;
use crate::cli::parse_server;
use crate::exit::Failure;
use crate::keys;

/// The API of a server on this machine with default settings.
const API: &str = "http://127.0.0.1:6883";

#[derive(Debug, Args)]
#[command(after_help = "\
Example: add a server
  seedbankd run --join ...                                         (the new server follows first)
  seedbankd order propose --kind servers --add <its key> --out add.order
  seedbankd order show add.order                                   (everybody reads what it does)
  seedbankd order sign add.order --key /srv/seedbank/key           (the people of enough servers, one after the other)
  seedbankd order submit add.order")]
pub(crate) struct OrderArguments {
    /// One JSON object instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: OrderCommand,
}

#[derive(Debug, Subcommand)]
enum OrderCommand {
    /// Write an order without signatures to a file.
    #[command(after_help = "\
Examples:
  seedbankd order propose --kind servers --add <key>=2 --remove <key> --out change.order
  seedbankd order propose --kind servers --rotate <old key>=<new key> --out rotate.order
  seedbankd order propose --kind servers --power <key>=3 --out power.order
  seedbankd order propose --kind issue --account S... --amount 500.00 --out issue.order
  seedbankd order propose --kind retire --amount 20.00 --out retire.order

A change of servers is in force from the epoch after the one in which the order is decided. Start a new server
with `seedbankd run --join` before, and wait until its status is `observing`, no longer `joining`: else it observes for
two epochs more, and a set that cannot do without it waits.")]
    Propose(Box<ProposeArguments>),
    /// Add the signatures of servers.
    #[command(after_help = "Example:\n  seedbankd order sign change.order --key /srv/seedbank/key")]
    Sign {
        /// The order; it is rewritten with the signatures.
        file: PathBuf,
        /// Secret key of a server; repeatable. The server may be running.
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
    },
    /// Show what an order does, and who signed it.
    #[command(after_help = "Example:\n  seedbankd order show change.order")]
    Show {
        /// The order.
        file: PathBuf,
    },
    /// Hand an order to a server, and wait until it is decided.
    #[command(after_help = "\
Examples:
  seedbankd order submit change.order
  seedbankd order submit signed-by-a.order signed-by-b.order       (copies of one order, each signed by somebody else)")]
    Submit {
        /// The order; of several copies the signatures are taken together.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// API of a server.
        #[arg(long, value_name = "URL", default_value = API)]
        api: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Other servers from the next epoch on.
    Servers,
    /// New money for an account.
    Issue,
    /// Money of the fee account ceases to be.
    Retire,
}

#[derive(Debug, Args)]
struct ProposeArguments {
    /// What is ordered.
    #[arg(long)]
    kind: Kind,
    /// servers: key of a new server, with its power if that is not 1; repeatable.
    #[arg(long, value_name = "KEY[=POWER]", value_parser = parse_server)]
    add: Vec<(ServerKey, u64)>,
    /// servers: key of a server that leaves; repeatable.
    #[arg(long, value_name = "KEY")]
    remove: Vec<ServerKey>,
    /// servers: another power for a server; repeatable.
    #[arg(long, value_name = "KEY=POWER", value_parser = parse_power)]
    power: Vec<(ServerKey, u64)>,
    /// servers: another key for a server, which keeps its power; repeatable.
    #[arg(long, value_name = "OLD=NEW", value_parser = parse_rotation)]
    rotate: Vec<(ServerKey, ServerKey)>,
    /// issue: who receives the money.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<Address>,
    /// issue, retire: how much, in major units.
    #[arg(long)]
    amount: Option<String>,
    /// The last epoch in which it may be decided [default: 1440 epochs from now].
    #[arg(long, value_name = "EPOCH")]
    last_epoch: Option<u64>,
    /// API of a server, which is asked for the servers in force.
    #[arg(long, value_name = "URL", default_value = API)]
    api: String,
    /// The answer of GET /v1/servers in a file, instead of asking for it.
    #[arg(long, value_name = "FILE", conflicts_with = "api")]
    current: Option<PathBuf>,
    /// Where to write the order; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn parse_power(text: &str) -> Result<(ServerKey, u64), String> {
    if text.contains('=') { parse_server(text) } else { Err("it must be KEY=POWER".to_owned()) }
}

fn parse_rotation(text: &str) -> Result<(ServerKey, ServerKey), String> {
    let (old, new) = text.split_once('=').ok_or("it must be OLD=NEW")?;
    let key = |text: &str| text.parse().map_err(|error: seedbank_types::HexError| error.to_string());
    Ok((key(old)?, key(new)?))
}

pub(crate) fn run(arguments: &OrderArguments) -> Result<(), Failure> {
    let (words, json) = match &arguments.command {
        OrderCommand::Propose(proposed) => propose(proposed)?,
        OrderCommand::Sign { file, key } => sign(file, key)?,
        OrderCommand::Show { file } => {
            let order = OrderFile::read(file)?;
            (shown::words(&order), shown::json(&order))
        }
        OrderCommand::Submit { files, api } => submit::run(&OrderFile::read_all(files)?, api)?,
    };
    let said = if arguments.json { json.to_string() } else { words };
    writeln!(std::io::stdout(), "{said}").map_err(Failure::disk)
}

fn propose(arguments: &ProposeArguments) -> Result<(String, Value), Failure> {
    let current = match &arguments.current {
        Some(path) => ask::read(path)?,
        None => ask::servers(&arguments.api)?,
    };
    let order = propose::order(arguments, &current)?;
    order.write_new(&arguments.out)?;
    let mut json = shown::json(&order);
    json["file"] = arguments.out.display().to_string().into();
    let words = format!(
        "{}\nwritten to {}; now the people of the servers sign it: seedbankd order sign {} --key FILE",
        shown::words(&order),
        arguments.out.display(),
        arguments.out.display()
    );
    Ok((words, json))
}

fn sign(path: &Path, key_files: &[PathBuf]) -> Result<(String, Value), Failure> {
    let mut order = OrderFile::read(path)?;
    let message = order.order.signed_bytes(&order.community);
    for key_file in key_files {
        let secret = keys::read(key_file)?;
        let key = secret.public();
        let number = order.servers.number(&key).ok_or_else(|| {
            Failure::usage(anyhow!(
                "{} holds the key {key}, which is none of the {} servers in force when the order was proposed: only \
                 those can sign it",
                key_file.display(),
                order.servers.count()
            ))
        })?;
        order.add(NumberedSignature { number, signature: secret.sign(&message) });
    }
    order.rewrite(path)?;
    Ok((shown::words(&order), shown::json(&order)))
}
