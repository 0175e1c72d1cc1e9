//! What the node answers.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use seedbank_types::{
    AccountId, AccountRecord, Amount, CommunityId, Epoch, FileRef, Grade, Guarantee, Hash, Height, PaymentId,
    PaymentState, Rule, ServerKey,
};

/// What a server does in the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It has not heard a quorum yet.
    Joining,
    /// It only listens for a while, because its key may have spoken before.
    Observing,
    /// It is fetching what the others decided without it.
    CatchingUp,
    /// It votes and signs.
    Active,
    /// The others agreed on another state than its own; it votes and signs no more.
    Diverged,
}

/// `joining`, `observing`, `catching up`, `active` or `diverged`.
impl std::fmt::Display for ServerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Observing => "observing",
            Self::CatchingUp => "catching up",
            Self::Active => "active",
            Self::Diverged => "diverged",
        })
    }
}

/// How a server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The community.
    pub community: CommunityId,
    /// Its name.
    pub name: String,
    /// The currency's symbol.
    pub symbol: String,
    /// Digits after the point.
    pub decimals: u8,
    /// Length of an epoch in milliseconds.
    pub epoch_ms: u64,
    /// This server's key.
    pub server: ServerKey,
    /// Whose agreement is enough.
    pub quorum: Rule,
    /// How many of the servers in force may fail.
    pub guarantee: Guarantee,
    /// What it does in the quorum.
    pub state: ServerState,
    /// The last height that it applied.
    pub height: Height,
    /// The epoch that is open.
    pub open_epoch: Epoch,
    /// The newest certified epoch with its grade.
    pub certified: Option<(Epoch, Grade)>,
    /// State root of the newest certified checkpoint; of the genesis before the first.
    pub root: Hash,
    /// The snapshot of the newest certified checkpoint.
    pub snapshot: Option<FileRef>,
    /// All money now.
    pub supply: Amount,
    /// Accounts now.
    pub count: u64,
    /// Servers that this one hears, itself included.
    pub servers_connected: usize,
    /// Servers in force.
    pub servers_total: usize,
    /// Whether those that it hears are a quorum together with it.
    pub quorum_in_reach: bool,
    /// Payments that wait to be ordered.
    pub waiting: usize,
    /// Zero bits that the stamp of a payment must have; 0: none is asked for.
    pub stamp_bits: u8,
    /// Addresses on the mesh.
    pub mesh: Vec<String>,
    /// Where BitTorrent peers connect.
    pub torrent: SocketAddr,
    /// How its DHT node is doing.
    pub dht: DhtStatus,
    /// Servers that signed two checkpoints of one epoch, with that epoch.
    pub double_signers: Vec<(ServerKey, Epoch)>,
    /// How this server's database differs from what the others agreed on, if it does.
    pub divergence: Option<Divergence>,
    /// How far this server is with what it missed, while it fetches that.
    pub catching_up: Option<CatchingUp>,
    /// The lowest batch that it still has for others.
    pub lowest_batch: Height,
}

/// How far a server is with what it missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchingUp {
    /// What it does, in words.
    pub step: String,
    /// The height that the others have reached, as far as it is known.
    pub to: Height,
    /// How much of this step is done, of a hundred.
    pub percent: u8,
}

/// How a server's database differs from what the others agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The first height at which it showed.
    pub height: Height,
    /// In which way.
    pub why: String,
    /// Where the database is kept for examination.
    pub kept: PathBuf,
    /// What a comparison with certified balances gave, once it was made.
    pub findings: Option<Findings>,
    /// Why there was no comparison.
    pub problem: Option<String>,
}

/// What a comparison of all records gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// The epoch of the certified balances.
    pub epoch: Epoch,
    /// The height at which both sides were compared.
    pub height: Height,
    /// Buckets that differ.
    pub buckets: u64,
    /// Records that differ.
    pub records: u64,
    /// The first of them by account.
    pub first: Vec<Differing>,
}

/// One record that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Differing {
    /// The account.
    pub id: AccountId,
    /// As this server has it.
    pub own: Option<AccountRecord>,
    /// As it is certified.
    pub certified: Option<AccountRecord>,
}

/// How a server's DHT node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhtStatus {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many nodes it knows.
    pub nodes: usize,
    /// How long ago, in milliseconds, a node last answered, if any ever did.
    pub last_answer_ms: Option<u64>,
    /// The server's record, if it was stored.
    pub record: Option<RecordKept>,
}

/// How well a record was last stored in the DHT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordKept {
    /// Nodes that confirmed.
    pub nodes: u32,
    /// Nodes that were told to.
    pub tried: u32,
    /// How long ago that was.
    pub age: Duration,
}

/// An account as this server sees it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountView {
    /// Balance and sequence.
    pub record: AccountRecord,
    /// The sequence that its next payment must carry, waiting ones counted.
    pub next_sequence: u64,
    /// The height at which it is so.
    pub height: Height,
    /// The epoch that is open.
    pub epoch: Epoch,
}

/// An address has handed in as many payments as it may for the moment; none of these was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryLater {
    /// When to try again, in milliseconds.
    pub ms: u32,
}

/// What became of a payment that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubmittedPayment {
    /// Its name.
    pub id: PaymentId,
    /// How far it has come.
    pub state: PaymentState,
}
