//! What goes into a node and what comes out of it.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::krpc::KrpcError;
use crate::{Id, Item, NodeCounts, NodeInfo, Time};

/// How a node behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether it has an IPv4 socket.
    pub v4: bool,
    /// Whether it has an IPv6 socket (BEP32: the two families are two networks).
    pub v6: bool,
    /// Whether it never sends anything beyond loopback.
    pub loopback_only: bool,
    /// After this time an answer is not waited for any longer.
    pub request_timeout: Duration,
    /// Whether it answers others and stores for them; otherwise it is read-only (BEP43).
    pub serve: bool,
    /// Whom it asks while it knows nobody else.
    pub bootstrap: Vec<SocketAddr>,
}

/// Something that happens to a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A packet came in.
    Packet {
        /// From where, as the socket says.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// The owner wants something done.
    Start {
        /// A number that is not in use.
        task: TaskId,
        /// What to do.
        job: Job,
    },
    /// The owner wants no more reports of this task; none comes any more, not even the last one.
    Cancel(TaskId),
    /// A packet to this address could not be sent, because no way leads there.
    Unsent(SocketAddr),
    /// From now on these are to be asked while nobody else is known.
    Bootstrap(Vec<SocketAddr>),
    /// The time of [`crate::Node::wake_at`] has come, and all packets that had come in before are handed over:
    /// whoever has not answered by now is late.
    Wake,
}

/// Number of a task, chosen by the owner of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// What a node can be asked to do.
#[derive(Debug, Clone)]
pub enum Job {
    /// Asks one address whether somebody is there.
    Ping(SocketAddr),
    /// Finds the nodes nearest to a point.
    FindNode(Id),
    /// Finds those who announced an infohash.
    Peers(Id),
    /// Says that whoever wants an infohash finds it at this address.
    Announce {
        /// What is announced.
        info_hash: Id,
        /// At which port; none: the port of the DHT itself (`implied_port`).
        port: Option<u16>,
    },
    /// Finds an item (BEP44).
    Get {
        /// Its target.
        target: Id,
        /// The salt, without which a mutable item cannot be checked.
        salt: Vec<u8>,
    },
    /// Looks what is there, and stores the item if nothing newer is.
    Put {
        /// The item.
        item: Item,
        /// Nodes store it only if they hold exactly this number.
        cas: Option<i64>,
    },
}

/// What is to be done for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "none lives longer than the call that made it")]
pub enum Effect {
    /// A packet goes out.
    Send {
        /// To whom.
        to: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// The owner of a task learns something.
    Report {
        /// Whose task.
        task: TaskId,
        /// What.
        report: Report,
    },
}

/// What a task has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A peer, each once.
    Peer(SocketAddr),
    /// A genuine item: the first one found, then each with a higher number, or with the same number
    /// and another value.
    Item(Item),
    /// The end, always the last report.
    Done(Outcome),
}

/// How a task went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Nodes that were asked.
    pub asked: u32,
    /// Those of them that answered.
    pub answered: u32,
    /// Those of them that gave the best item, or any peer.
    pub holders: u32,
    /// Nodes that were told to store.
    pub tried: u32,
    /// Those of them that confirmed.
    pub stored: u32,
    /// The last refusal to store, if there was one.
    pub refusal: Option<KrpcError>,
    /// Why nothing was put: this item is there already.
    pub newer: Option<Item>,
    /// The nearest nodes that answered, nearest first.
    pub nodes: Vec<NodeInfo>,
    /// The answer to a ping.
    pub pong: Option<Pong>,
}

/// The answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// Who answered.
    pub id: Id,
    /// Client and version, as it says itself: usually two letters and two bytes.
    pub version: Option<Vec<u8>>,
    /// How long it took.
    pub rtt: Duration,
    /// The asker's address, as it says that it sees it (BEP42).
    pub seen: Option<SocketAddr>,
}

/// How a node is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The own ids, for IPv4 and IPv6.
    pub ids: [Id; 2],
    /// Known nodes, by IPv4 and IPv6.
    pub nodes: [NodeCounts; 2],
    /// The own addresses, as other nodes see them.
    pub external: [Option<IpAddr>; 2],
    /// When a node last answered.
    pub last_answer: Option<Time>,
    /// Whether all of the last questions were lost: the network is gone, or everybody who was known.
    pub cut_off: bool,
    /// Items kept for others.
    pub items: usize,
    /// Announced peers kept for others.
    pub peers: usize,
    /// Tasks under way.
    pub tasks: usize,
    /// What has come and gone.
    pub traffic: Traffic,
}

/// Packets and bytes since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that came in.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets that came in and made no sense.
    pub malformed: u64,
    /// Queries left unanswered because their address asked too much.
    pub limited: u64,
}
