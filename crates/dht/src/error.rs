//! What can go wrong in the DHT.
use std::net::SocketAddr;

use seedbank_types::{RECORD_BYTES_MAX, ServerKey};

/// Why a node did not start, or why a record was not put.
#[derive(Debug, thiserror::Error)]
pub enum DhtError {
    /// A node has one socket a family.
    #[error("the DHT node cannot listen on both {bind} and {also}: one must be IPv4 and the other IPv6")]
    OneFamily {
        /// The first address of the settings.
        bind: SocketAddr,
        /// The second one.
        also: SocketAddr,
    },
    /// Ids and secrets of a node must not be guessed.
    #[error("the system gives no randomness for the DHT node: {0}")]
    NoRandomness(String),
    /// The socket could not be opened.
    #[error("cannot open the DHT's UDP socket on {address}: {source}; choose another address or port")]
    Bind {
        /// The address of the settings.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// None of the bootstrap hosts has an address.
    #[error(
        "none of the DHT bootstrap hosts could be resolved ({0}): check the network and the trust file's bootstrap lines"
    )]
    Unresolved(String),
    /// A node on loopback was told to ask somebody beyond it.
    #[error(
        "the DHT node is bound to loopback ({bind}) and may not ask {host}: bind it to a public address or change the bootstrap"
    )]
    LeavesLoopback {
        /// Where the node is bound.
        bind: SocketAddr,
        /// Whom it should have asked.
        host: String,
    },
    /// The value does not fit a BEP44 item that all implementations accept.
    #[error("a record of {0} bytes is too long for the DHT: at most {RECORD_BYTES_MAX}")]
    ValueTooLong(usize),
    /// BEP44 sequence numbers are signed.
    #[error("the record's sequence number {0} is too large for the DHT: at most 2^63 - 1")]
    SeqTooLarge(u64),
    /// A record that its own key did not sign.
    #[error("the signature of the record of server {0} is wrong: it is not put")]
    BadSignature(ServerKey),
    /// Somebody who holds the key has put something else since.
    #[error("record {seq} is not put: the DHT already holds record {seen} of the same server; go on from that number")]
    NewerRecord {
        /// The number that was to be put.
        seq: u64,
        /// The number that was found.
        seen: u64,
    },
    /// Nobody to store at.
    #[error("no DHT node answered: check the network and the bootstrap")]
    NoNodes,
    /// Nodes answered the look-up, but none confirmed to have stored.
    #[error("no DHT node confirmed to have stored it in time: try again")]
    TimedOut,
    /// Nobody is there, or does not want to talk.
    #[error("{0} did not answer: check the address, and whether a DHT node listens there")]
    NoAnswer(SocketAddr),
    /// Nodes said no.
    #[error("the DHT nodes refused to store it: {0}")]
    Refused(String),
    /// The node was stopped, or died.
    #[error("the DHT node has stopped")]
    Stopped,
}
