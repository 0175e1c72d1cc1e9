//! The command line.
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use seedbank_types::{Address, Rule, ServerKey};
use serde::Deserialize;

use crate::durations::parse_ms;
use crate::exit::EXIT_CODES;
use crate::order_command::OrderArguments;

/// A server of a Seedbank community.
#[derive(Debug, Parser)]
#[command(name = "seedbankd", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the key of a server.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Found a community.
    Genesis {
        #[command(subcommand)]
        command: GenesisCommand,
    },
    /// Change the servers, issue or retire money: orders signed by the servers together.
    Order(OrderArguments),
    /// Take part in the quorum.
    #[command(after_help = "\
Examples:
  seedbankd run --home /srv/seedbank --key server.key --genesis genesis --snapshot genesis.snapshot --bootstrap public
  seedbankd run --home /srv/seedbank          (later: everything is in the home directory or its config.toml)

Every flag but --home and --config may stand in HOME/config.toml under the same name, for instance
  ip = \"192.0.2.7\"
  bootstrap = [\"router.example:6881\"]")]
    Run(RunArguments),
    /// Set a diverged or damaged database aside, so that the next run fetches the state anew.
    #[command(after_help = "\
The server must be stopped. Nothing is deleted: the old database goes to HOME/before-resync-<date>.
The key keeps its promises: the server observes first, and never signs an epoch that it has signed.

Example:
  seedbankd resync --home /srv/seedbank")]
    Resync(ResyncArguments),
    /// Let a server speak that waits forever, because too many disks may have forgotten what their keys said.
    #[command(after_help = "\
Servers that lost their logs, or were restored from backups, wait until their keys cannot contradict themselves. If
more of them wait than may fail, that time never comes; then people must decide. Without --i-take-the-risk this says
how long the server waits and what to look for, and changes nothing.

Example, on every server, while all are stopped:
  seedbankd speak-again --home /srv/seedbank --i-take-the-risk")]
    SpeakAgain(SpeakAgainArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Write a new secret key to a file and print its public key.
    #[command(after_help = "Example:\n  seedbankd key new --out server.key")]
    New {
        /// The file; nothing is overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenesisCommand {
    /// Write genesis, first snapshot and trust file of a new community.
    New(Box<GenesisArguments>),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  seedbankd genesis new --out village --name Village --symbol VIL --accounts accounts.txt \\
    --fee-account S... --server <key of A> --server <key of B> --server <key of C>=2

The accounts file has one account a line: its address and its first balance in major units,
  SXb1... 120.50
and `#` starts a comment.")]
pub(crate) struct GenesisArguments {
    /// Directory for the three files; it is made if it does not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Name of the community.
    #[arg(long)]
    pub(crate) name: String,
    /// Symbol of its currency.
    #[arg(long)]
    pub(crate) symbol: String,
    /// Digits after the point, 0 to 8.
    #[arg(long, default_value_t = 2)]
    pub(crate) decimals: u8,
    /// Length of an epoch.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_ms)]
    pub(crate) epoch: u64,
    /// Whose agreement is enough: majority or two-thirds.
    #[arg(long, default_value = "majority")]
    pub(crate) quorum: Rule,
    /// Public key of a server, with its power if that is not 1; repeatable.
    #[arg(long = "server", value_name = "KEY[=POWER]", required = true, value_parser = parse_server)]
    pub(crate) servers: Vec<(ServerKey, u64)>,
    /// File with the first accounts.
    #[arg(long, value_name = "FILE")]
    pub(crate) accounts: PathBuf,
    /// Who receives fees.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) fee_account: Address,
    /// Least fee of a payment, in major units.
    #[arg(long, value_name = "AMOUNT", default_value = "0")]
    pub(crate) minimum_fee: String,
    /// Least amount of a payment that opens an account, in major units.
    #[arg(long, value_name = "AMOUNT", default_value = "0")]
    pub(crate) opening_minimum: String,
    /// Every so many epochs a full file is cut at the latest; 1 until this program makes deltas.
    #[arg(long, value_name = "EPOCHS", default_value_t = 1)]
    pub(crate) full_interval: u32,
    /// For the trust file: how clients enter the DHT, host:port (repeatable) or `public`.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bootstrap: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SpeakAgainArguments {
    /// Directory with everything that belongs to this server.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// No disk, backup or certificate shows that the community got further than the databases at hand.
    #[arg(long)]
    pub(crate) i_take_the_risk: bool,
    /// Some of the other servers will never come back with their databases: a quorum is enough to be heard.
    #[arg(long, requires = "i_take_the_risk")]
    pub(crate) others_are_lost: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResyncArguments {
    /// Directory with everything that belongs to this server.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Configuration file; HOME/config.toml if it exists.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The community's genesis [default: HOME/genesis].
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
    /// The first snapshot [default: HOME/genesis.snapshot].
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
}

impl From<ResyncArguments> for RunArguments {
    fn from(arguments: ResyncArguments) -> Self {
        let ResyncArguments { home, config, genesis, snapshot } = arguments;
        Self { home, config, flags: RunFlags { genesis, snapshot, ..RunFlags::default() } }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Directory with everything that belongs to this server.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Configuration file; HOME/config.toml if it exists.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: RunFlags,
}

/// What may be set on the command line and, under the same name, in the configuration file.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RunFlags {
    /// The community's genesis; needed at the first start unless it is HOME/genesis.
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
    /// The first snapshot; needed at the first start unless it is HOME/genesis.snapshot.
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
    /// This server's secret key [default: HOME/key].
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Address to listen on, IPv4 [default: 127.0.0.1].
    #[arg(long)]
    pub(crate) ip: Option<std::net::Ipv4Addr>,
    /// TCP port of the mesh; 0 lets the system choose [default: 6882].
    #[arg(long, value_name = "PORT")]
    pub(crate) mesh_port: Option<u16>,
    /// TCP port for BitTorrent peers [default: 6881].
    #[arg(long, value_name = "PORT")]
    pub(crate) torrent_port: Option<u16>,
    /// UDP port of the DHT node [default: 6881].
    #[arg(long, value_name = "PORT")]
    pub(crate) dht_port: Option<u16>,
    /// Port of the HTTP API [default: 6883].
    #[arg(long, value_name = "PORT")]
    pub(crate) api_port: Option<u16>,
    /// Address of the HTTP API [default: --ip if that is a loopback address, else 127.0.0.1].
    #[arg(long, value_name = "IP")]
    pub(crate) api_ip: Option<std::net::IpAddr>,
    /// How to enter the DHT: host:port (repeatable) or `public`; without it nobody is contacted.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(default)]
    pub(crate) bootstrap: Vec<String>,
    /// error, warn, info, debug or trace, or a filter like seedbank_mesh=debug [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// This key is no server yet: follow the others until an order adds it (see `seedbankd order`).
    #[arg(long)]
    #[serde(default)]
    pub(crate) join: bool,
    /// Largest batch that this server proposes, in bytes [default: 1048576].
    #[arg(long, value_name = "BYTES")]
    pub(crate) batch_bytes: Option<usize>,
    /// Keep the bodies of batches for so many epochs; those since the third newest certified checkpoint are always kept
    /// [default: as many as a week has].
    #[arg(long, value_name = "EPOCHS")]
    pub(crate) keep_batches: Option<u64>,
    /// More batches behind the others than this, take the newest certified snapshot instead of them [default: 10000].
    #[arg(long, value_name = "BATCHES")]
    pub(crate) snapshot_after: Option<u64>,
    /// Zero bits that the stamp of a stranger's payment must have; 0: no stamps [default: 0].
    #[arg(long, value_name = "BITS")]
    pub(crate) stamp_bits: Option<u8>,
    /// The same at most, as places for waiting payments run short [default: 6 more than --stamp-bits].
    #[arg(long, value_name = "BITS")]
    pub(crate) stamp_bits_max: Option<u8>,
    /// Payments a second that one address may hand in, twice as many in a burst [default: 500; 20000 from this machine].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) peer_payments: Option<u32>,
    /// Requests a second that one address may make at the HTTP API, twice as many in a burst [default: 50; 5000 if the
    /// API listens on loopback].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) api_requests: Option<NonZeroU32>,
}

pub(crate) fn parse_server(text: &str) -> Result<(ServerKey, u64), String> {
    let (key, power) = text.split_once('=').unwrap_or((text, "1"));
    let key = key.parse().map_err(|error: seedbank_types::HexError| error.to_string())?;
    let power = power.parse().map_err(|error| format!("power {power:?}: {error}"))?;
    Ok((key, power))
}
