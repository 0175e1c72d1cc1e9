//! The command line of `seedbank dht`.
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  seedbank dht status --trust keys/village.keys     are all records there and fresh?
  seedbank dht ping 192.0.2.7:6881                  is a node there, how does it see us?
  seedbank dht get 3b6a...29                        the item of a key, and who holds it
  seedbank dht peers 823f...e6                      who announced an infohash
  seedbank dht get 3b6a...29 --bootstrap 192.0.2.7:6881     by way of this node

Only the hosts of the trust file, or of --bootstrap, are asked first.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DhtFlags {
    #[command(subcommand)]
    pub(super) command: DhtCommand,
    /// Ask this DHT node first instead of those of the trust file; repeatable; `public`: the public hosts
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(super) bootstrap: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DhtCommand {
    /// Ask one address whether a DHT node is there
    #[command(after_help = "Example: seedbank dht ping 192.0.2.7:6881")]
    Ping(PingFlags),
    /// Show an item of the DHT (BEP44) and how many nodes hold it
    #[command(after_help = "Example: seedbank dht get 3b6a...29 --salt news --trust keys/village.keys")]
    Get(GetFlags),
    /// Store a text, to see whether the DHT stores; it is forgotten after two hours
    #[command(after_help = "Example: seedbank dht put --immutable \"hello\" --trust keys/village.keys")]
    Put(PutFlags),
    /// Show who announced an infohash, each address as it is found
    #[command(after_help = "Example: seedbank dht peers 823f...e6 --bootstrap 192.0.2.7:6881")]
    Peers(PeersFlags),
    /// Show how well the DHT is reached and what it holds of the community: what is wrong, and what to do
    #[command(after_help = "Example: seedbank dht status --trust keys/village.keys\n\n\
        Exit codes: 0 fine; 4 the newest record is stale; 6 no record of these servers; 7 no node answered.")]
    Status,
}

#[derive(Debug, Args)]
pub(super) struct PingFlags {
    /// Whom to ask
    #[arg(value_name = "HOST:PORT")]
    pub(super) address: String,
}

#[derive(Debug, Args)]
pub(super) struct GetFlags {
    /// An Ed25519 public key (64 hex digits), or a target (40 hex digits)
    #[arg(value_name = "KEY|TARGET")]
    pub(super) what: String,
    /// Salt of a mutable item, as text
    #[arg(long, value_name = "TEXT", conflicts_with = "salt_hex")]
    pub(super) salt: Option<String>,
    /// Salt of a mutable item, in hex digits
    #[arg(long, value_name = "HEX")]
    pub(super) salt_hex: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PutFlags {
    /// The text; it is found by its hash, and cannot be changed
    #[arg(long, value_name = "TEXT", required = true)]
    pub(super) immutable: String,
}

#[derive(Debug, Args)]
pub(super) struct PeersFlags {
    /// What is announced: 40 hex digits
    #[arg(value_name = "INFOHASH")]
    pub(super) info_hash: String,
}
