//! What the mesh needs to know before it starts.
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::identity::Keypair;
use seedbank_types::{CommunityId, ServerKey, ServerSecret};

use crate::Topic;

/// The key that a peer proves to others.
#[derive(Clone)]
pub enum MeshSecret {
    /// A server's own key.
    Server(ServerSecret),
    /// A key of 32 random bytes, of no meaning beyond the connection.
    Ephemeral([u8; 32]),
}

impl MeshSecret {
    pub(crate) fn keypair(&self) -> Keypair {
        let bytes = match self {
            Self::Server(secret) => secret.to_bytes(),
            Self::Ephemeral(bytes) => *bytes,
        };
        Keypair::ed25519_from_bytes(bytes).expect("any 32 bytes are an Ed25519 secret")
    }
}

impl fmt::Debug for MeshSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(secret) => write!(f, "MeshSecret({secret:?})"),
            Self::Ephemeral(_) => f.write_str("MeshSecret(ephemeral, redacted)"),
        }
    }
}

/// How much peers may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeshLimits {
    /// Connections in both directions; servers are always let in.
    pub connections: u32,
    /// Requests a second and peer, twice as many in a burst; servers are not limited.
    pub requests_per_second: u32,
    /// How long an answer may take.
    pub request_timeout: Duration,
}

impl Default for MeshLimits {
    fn default() -> Self {
        Self { connections: 512, requests_per_second: 50, request_timeout: Duration::from_secs(10) }
    }
}

/// Settings of one peer of the mesh.
#[derive(Debug, Clone)]
pub struct MeshSettings {
    /// Who we are.
    pub secret: MeshSecret,
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whose mesh.
    pub community: CommunityId,
    /// The servers in force.
    pub servers: Vec<ServerKey>,
    /// What to hear: everything for a server, less for a client. Publishing needs no entry.
    pub topics: BTreeSet<Topic>,
    /// How much peers may take.
    pub limits: MeshLimits,
}

impl MeshSettings {
    /// Settings with the default limits and all topics.
    #[must_use]
    pub fn new(secret: MeshSecret, listen: SocketAddr, community: CommunityId, servers: Vec<ServerKey>) -> Self {
        let topics = Topic::ALL.into_iter().collect();
        Self { secret, listen, community, servers, topics, limits: MeshLimits::default() }
    }
}

/// Why the mesh cannot start.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The address cannot be listened on.
    #[error("cannot listen for the mesh on {address}: {source}; choose another address or stop what uses it")]
    Listen {
        /// As in the settings.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The library refused our configuration, which is a fault of this program.
    #[error("the mesh's own configuration is wrong: {0}; this is a fault of the program")]
    Configuration(String),
}
