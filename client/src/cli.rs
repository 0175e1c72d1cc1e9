//! The command line as it is written, before anything is checked.
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::dht::DhtFlags;
use crate::evidence::EvidenceFlags;

const EXAMPLES: &str = "\
Examples:
  seedbank sync --trust keys/village.keys     find, verify and keep all balances
  seedbank wallet new                         make a wallet; write its words down
  seedbank balance                            what the own account holds
  seedbank pay SgXn...9k 12.50 --wait         pay, and wait until the servers certified it
  seedbank payment 5f0c...                    how far a payment has come
  seedbank seed                               keep the balances available for others
  seedbank dht status                         for operators: what the DHT holds of a community

Exit codes: 0 fine; 1 unexpected; 2 usage; 3 not found; 4 stale; 5 verification failed;
6 no record signed by these servers; 7 no peers; 8 payment refused; 9 disk.";

/// Community money without a block chain: the light client.
///
/// It knows only the servers' public keys from a trust file. It finds their newest signed statement in the
/// BitTorrent DHT, fetches all balances as a torrent and verifies them before it shows anything.
#[derive(Debug, Parser)]
#[command(name = "seedbank", version, after_help = EXAMPLES)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where wallet, certificates and balances are kept [default: ~/.seedbank]
    #[arg(long, global = true, value_name = "DIR", env = "SEEDBANK_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// Print one JSON object; amounts are strings of minor units
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Trust file of the community; remembered after the first sync
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Read the wallet's passphrase from this file instead of asking
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Wallet file [default: DIR/wallet]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) wallet: Option<PathBuf>,
    /// Local address for all sockets [default: 127.0.0.1 if all bootstrap hosts are there, else 0.0.0.0]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) ip: Option<IpAddr>,
    /// Ask this server by HTTP instead of all servers on the mesh
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) api: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, show, restore or print a wallet
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Find the newest certified balances, fetch and verify them
    #[command(after_help = "Example: seedbank sync --trust keys/village.keys")]
    Sync(SyncFlags),
    /// Show what an account holds, from verified balances
    #[command(after_help = "Example: seedbank balance SgXn...9k --json")]
    Balance(BalanceFlags),
    /// Pay from the own account
    #[command(after_help = "Example: seedbank pay SgXn...9k 12.50 --memo \"two loaves\" --wait")]
    Pay(PayFlags),
    /// Show how far a payment has come; send it again if the servers do not know it
    #[command(after_help = "Example: seedbank payment 5f0c... --wait")]
    Payment(PaymentFlags),
    /// Keep the newest balances available for others until stopped
    #[command(after_help = "Example: seedbank seed --torrent-port 6881 --dht-port 6881")]
    Seed(SeedFlags),
    /// Show what is known: community, epoch, age, grade, file, servers
    Status(StatusFlags),
    /// Check a snapshot, certificate, record, proof, receipt, evidence, handover or genesis file
    #[command(after_help = "Example: seedbank verify seedbank-a1b2c3d4-7.snapshot --trust keys/village.keys")]
    Verify(VerifyFlags),
    /// Show, check or hand on proofs that a server signed two checkpoints of one epoch
    Evidence(EvidenceFlags),
    /// Look into the DHT, for operators
    Dht(DhtFlags),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Make a wallet and show its words, to be written down
    New(NewFlags),
    /// Show the addresses
    Address(AddressFlags),
    /// Restore a wallet from its words
    Import(ImportFlags),
    /// Show the words
    Export,
}

#[derive(Debug, Args)]
pub(crate) struct NewFlags {
    /// How many words: 12 or 24
    #[arg(long, default_value = "12", value_parser = ["12", "24"])]
    pub(crate) words: String,
}

#[derive(Debug, Args)]
pub(crate) struct AddressFlags {
    /// Take one more address into use
    #[arg(long)]
    pub(crate) next: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportFlags {
    /// Read the words from this file instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) words_file: Option<PathBuf>,
    /// How many addresses were in use
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) accounts: u32,
}

#[derive(Debug, Args)]
pub(crate) struct SyncFlags {
    /// Go on as a seeder afterwards
    #[arg(long)]
    pub(crate) seed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BalanceFlags {
    /// Whose balance [default: the wallet's first address]
    pub(crate) address: Option<String>,
    /// Use the balances on disk; contact nobody
    #[arg(long)]
    pub(crate) offline: bool,
    /// End with exit code 4 if the balances are stale
    #[arg(long)]
    pub(crate) require_fresh: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PayFlags {
    /// Who receives
    pub(crate) address: String,
    /// How much, as people write it: 12.50
    #[arg(allow_negative_numbers = true)]
    pub(crate) amount: String,
    /// Fee [default: the community's minimum]
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    pub(crate) fee: Option<String>,
    /// Public text for the payee, at most 80 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) memo: String,
    /// Which of the wallet's accounts pays
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) account: u32,
    /// Wait until the servers have certified it
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PaymentFlags {
    /// The payment's id
    pub(crate) id: String,
    /// Send the stored payment again, the same bytes
    #[arg(long)]
    pub(crate) retry: bool,
    /// Wait until the servers have certified it
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SeedFlags {
    /// TCP port for BitTorrent peers; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = 6881)]
    pub(crate) torrent_port: u16,
    /// UDP port of the DHT node; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = 6881)]
    pub(crate) dht_port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct StatusFlags {
    /// Say what is on disk; contact nobody
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    /// The file to check
    pub(crate) file: PathBuf,
    /// Use the certificates on disk; contact nobody
    #[arg(long)]
    pub(crate) offline: bool,
}
