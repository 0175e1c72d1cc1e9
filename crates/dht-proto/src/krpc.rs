//! The packets of the DHT: queries, responses and errors (BEP5, with BEP32, BEP42, BEP43 and BEP44).
use std::net::SocketAddr;

use crate::{Id, Item, NodeInfo};

pub(crate) mod compact;
mod decode;
mod encode;
mod malformed;

pub use malformed::{DecodeError, Malformed};

/// Bytes of the longest packet that is read. BEP32 lets nobody send more than 1,024, but values of
/// 1,000 bytes do not fit into that.
pub const PACKET_BYTES_MAX: usize = 2048;
/// Bytes of the longest transaction id.
pub const TRANSACTION_BYTES_MAX: usize = 16;
/// Bytes of the longest version that is kept.
pub const VERSION_BYTES_MAX: usize = 16;
/// Bytes of the longest token.
pub const TOKEN_BYTES_MAX: usize = 128;
/// Nodes that are read from a response, of each family.
pub const NODES_MAX: usize = 64;
/// Peers that are read from a response.
pub const PEERS_MAX: usize = 256;
/// Bytes of the longest text of an error that is kept.
pub const ERROR_TEXT_BYTES_MAX: usize = 200;

/// One packet.
///
/// ```
/// use seedbank_dht_proto::Id;
/// use seedbank_dht_proto::krpc::{Body, Message, Method};
///
/// let ping = Message::decode(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe")?;
/// let Body::Query(query) = ping.body else { panic!("a query") };
/// assert_eq!((query.id, query.method), (Id(*b"abcdefghij0123456789"), Method::Ping));
/// # Ok::<(), seedbank_dht_proto::krpc::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Chosen by who asks, repeated by who answers.
    pub transaction: TransactionId,
    /// Client and version of the sender, as it says itself: usually two letters and two bytes.
    pub version: Option<Vec<u8>>,
    /// The sender answers no queries (BEP43).
    pub read_only: bool,
    /// How the sender sees the receiver (BEP42).
    pub ip: Option<SocketAddr>,
    /// What it is about.
    pub body: Body,
}

/// The three kinds of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A question.
    Query(Query),
    /// The answer to one.
    Response(Response),
    /// Why there is no answer.
    Error(KrpcError),
}

/// What connects an answer with its question: up to [`TRANSACTION_BYTES_MAX`] bytes, at least one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(Vec<u8>);

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Who asks.
    pub id: Id,
    /// Nodes of which families are wanted.
    pub want: Want,
    /// What is asked.
    pub method: Method,
}

/// Families of nodes that an answer should name (BEP32). Neither: nothing was said, so that of the packet is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Want {
    /// IPv4 nodes.
    pub v4: bool,
    /// IPv6 nodes.
    pub v6: bool,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Are you there?
    Ping,
    /// Who is nearest to a point?
    FindNode {
        /// The point.
        target: Id,
    },
    /// Who has announced an infohash?
    GetPeers {
        /// The infohash.
        info_hash: Id,
    },
    /// Whoever wants an infohash finds it here.
    AnnouncePeer {
        /// The infohash.
        info_hash: Id,
        /// At which port; none: the one the packet comes from (`implied_port`).
        port: Option<u16>,
        /// From the answer to [`Method::GetPeers`].
        token: Vec<u8>,
    },
    /// Which item is at a point?
    Get {
        /// The point.
        target: Id,
        /// This version is known: only a higher one is wanted.
        seq: Option<i64>,
    },
    /// Keep an item.
    Put {
        /// From the answer to [`Method::Get`].
        token: Vec<u8>,
        /// The item. Whether it is [genuine](Item::is_genuine) is not checked yet.
        item: Item,
        /// Only if exactly this version is there now.
        cas: Option<i64>,
    },
    /// Something that only others know.
    Unknown {
        /// What it is about: such questions are answered like [`Method::FindNode`].
        target: Option<Id>,
    },
}

/// An answer. What was not asked for is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Who answers.
    pub id: Id,
    /// IPv4 nodes near what was asked for.
    pub nodes: Vec<NodeInfo>,
    /// IPv6 nodes near what was asked for.
    pub nodes6: Vec<NodeInfo>,
    /// Peers that announced what was asked for.
    pub values: Vec<SocketAddr>,
    /// Has to be shown to store something near what was asked for.
    pub token: Option<Vec<u8>>,
    /// The item that was asked for. Nothing about it is checked yet, and a mutable one has no salt
    /// here: whoever asked knows it.
    pub item: Option<Item>,
    /// The version of the item, also if that itself is not sent.
    pub seq: Option<i64>,
}

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct KrpcError {
    /// The kind: one of the constants, or another.
    pub code: i64,
    /// A text for people.
    pub text: String,
}

impl TransactionId {
    /// None if it has no bytes, or too many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=TRANSACTION_BYTES_MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TransactionId({})", hex::encode(&self.0))
    }
}

impl Response {
    /// The shortest answer: who gives it.
    #[must_use]
    pub fn new(id: Id) -> Self {
        Self { id, ..Self::default() }
    }
}

impl KrpcError {
    /// Something else.
    pub const GENERIC: i64 = 201;
    /// The node cannot.
    pub const SERVER: i64 = 202;
    /// The packet, an argument or the token is wrong.
    pub const PROTOCOL: i64 = 203;
    /// The node does not know this kind of query.
    pub const METHOD_UNKNOWN: i64 = 204;
    /// The value is too long.
    pub const TOO_BIG: i64 = 205;
    /// The signature is wrong.
    pub const BAD_SIGNATURE: i64 = 206;
    /// The salt is too long.
    pub const SALT_TOO_BIG: i64 = 207;
    /// Another version is there than was said to be.
    pub const CAS_MISMATCH: i64 = 301;
    /// The version that is there is not older.
    pub const SEQ_TOO_OLD: i64 = 302;

    /// An error of this kind.
    #[must_use]
    pub fn new(code: i64, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl Message {
    /// The packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode::message(self)
    }

    /// Reads a packet. Unknown keys are passed over; what is wrong in an optional part of a response is left out.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong, and what is to be answered to a query.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode::message(bytes)
    }
}

#[cfg(test)]
mod tests;
