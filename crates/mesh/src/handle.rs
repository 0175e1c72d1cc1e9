//! The handle on the running mesh: orders in, answers out.
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::request_response::ResponseChannel;
use seedbank_types::{DecodeError, ServerKey};
use tokio::sync::{mpsc, oneshot, watch};

use crate::event::{GossipId, Verdict};
use crate::message::{Request, Response, TooLarge};
use crate::peer::{multiaddr, parse_multiaddr};
use crate::{BadPeer, PeerRef, Topic};

/// How much longer than the service itself a caller waits for an answer.
const REQUEST_GRACE: Duration = Duration::from_secs(2);

/// The mesh has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mesh has stopped; nothing was sent")]
pub struct Stopped;

/// Why a message was not published. That nobody hears it is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic has no room for it.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The mesh has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why an address is not dialed. That nobody answers there is no error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Not an address.
    #[error(transparent)]
    Address(#[from] BadPeer),
    /// The mesh has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a request has no answer. A refusal is an answer: [`Response::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No connection to that peer.
    #[error("not connected to {0}; dial it first or ask another")]
    NotConnected(PeerRef),
    /// No answer in time.
    #[error("no answer in time; ask again or another peer")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke before the answer came: {0}; ask again or another peer")]
    Lost(String),
    /// The peer does not speak our protocol.
    #[error("the peer is no member of this community's mesh; ask another")]
    Unsupported,
    /// The request has no room in the format.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The answer was not one; this counts against the peer.
    #[error("the answer cannot be read: {0}; ask another peer")]
    Malformed(#[from] DecodeError),
    /// Too many requests of ours wait for answers.
    #[error("too many requests of our own wait for answers; ask again later")]
    Busy,
    /// The mesh has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerRef,
    /// Its key, if it is a server.
    pub server: Option<ServerKey>,
    /// Where its connection comes from or goes to.
    pub address: SocketAddr,
}

pub(crate) type AnswerSender = oneshot::Sender<Result<Vec<u8>, RequestError>>;

/// What the handle asks of the service.
#[derive(Debug)]
pub(crate) enum Command {
    Publish { topic: Topic, data: Vec<u8>, is_forwarded: bool },
    Judge { id: GossipId, verdict: Verdict },
    Dial { address: SocketAddr, peer: Option<PeerId> },
    Request { peer: PeerId, bytes: Vec<u8>, answer: AnswerSender },
    Respond { channel: ResponseChannel<Vec<u8>>, bytes: Vec<u8> },
    SetServers(Vec<ServerKey>),
    Strike(PeerId),
}

/// Orders to the running mesh; cheap to clone. The mesh runs until its token is cancelled, not
/// until the last handle is gone.
#[derive(Debug, Clone)]
pub struct MeshHandle {
    pub(crate) peer: PeerRef,
    pub(crate) listen: SocketAddr,
    pub(crate) request_timeout: Duration,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) peers: watch::Receiver<Vec<PeerInfo>>,
}

impl MeshHandle {
    /// Who we are.
    #[must_use]
    pub const fn peer(&self) -> PeerRef {
        self.peer
    }

    /// Where we really listen.
    #[must_use]
    pub const fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Where we really listen and who we are: `/ip4/…/tcp/…/p2p/…`.
    #[must_use]
    pub fn multiaddr(&self) -> String {
        format!("{}/p2p/{}", multiaddr(self.listen), self.peer)
    }

    /// The connected peers, servers among them once gossip reaches them; ascending by peer.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.peers.borrow().clone()
    }

    /// The same as it changes.
    #[must_use]
    pub fn watch_peers(&self) -> watch::Receiver<Vec<PeerInfo>> {
        self.peers.clone()
    }

    /// The servers that gossip reaches, ourselves not counted; ascending by peer.
    #[must_use]
    pub fn servers_connected(&self) -> Vec<ServerKey> {
        self.peers.borrow().iter().filter_map(|peer| peer.server).collect()
    }

    /// Publishes a message. Nobody may hear it; see the crate's documentation for what is promised.
    /// Payments that a server says while it is linked with all others are not forwarded by them.
    ///
    /// # Errors
    /// If it exceeds [`Topic::bytes_max`], or the mesh has stopped.
    pub async fn publish(&self, topic: Topic, data: Vec<u8>) -> Result<(), PublishError> {
        self.publish_as(topic, data, false).await
    }

    /// The same, but forwarded in any case: a link may be dead and nobody has noticed it yet.
    ///
    /// # Errors
    /// If it exceeds [`Topic::bytes_max`], or the mesh has stopped.
    pub async fn publish_forwarded(&self, topic: Topic, data: Vec<u8>) -> Result<(), PublishError> {
        self.publish_as(topic, data, true).await
    }

    async fn publish_as(&self, topic: Topic, data: Vec<u8>, is_forwarded: bool) -> Result<(), PublishError> {
        let max = topic.bytes_max();
        if data.len() > max {
            return Err(TooLarge { what: "gossip message", size: data.len(), max }.into());
        }
        Ok(self.order(Command::Publish { topic, data, is_forwarded }).await?)
    }

    /// Says what shall become of a gossip message.
    ///
    /// # Errors
    /// If the mesh has stopped.
    pub async fn judge(&self, id: GossipId, verdict: Verdict) -> Result<(), Stopped> {
        self.order(Command::Judge { id, verdict }).await
    }

    /// Connects to whoever is at an address. Known addresses and our own are left alone.
    ///
    /// # Errors
    /// If the mesh has stopped.
    pub async fn dial(&self, address: SocketAddr) -> Result<(), Stopped> {
        self.order(Command::Dial { address, peer: None }).await
    }

    /// Connects to `/ip4/…/tcp/…`, with `/p2p/…` to that peer and nobody else.
    ///
    /// # Errors
    /// If that is no such address, or the mesh has stopped.
    pub async fn dial_multiaddr(&self, address: &str) -> Result<(), DialError> {
        let (address, peer) = parse_multiaddr(address)?;
        Ok(self.order(Command::Dial { address, peer }).await?)
    }

    /// Asks a connected peer.
    ///
    /// # Errors
    /// If there is no answer, or none that can be read.
    pub async fn request(&self, peer: PeerRef, request: Request) -> Result<Response, RequestError> {
        let bytes = request.encode()?;
        let (answer, answered) = oneshot::channel();
        self.order(Command::Request { peer: peer.0, bytes, answer }).await?;
        let bytes = match tokio::time::timeout(self.request_timeout + REQUEST_GRACE, answered).await {
            Err(_elapsed) => return Err(RequestError::Timeout),
            Ok(Err(_dropped)) => return Err(Stopped.into()),
            Ok(Ok(answer)) => answer?,
        };
        match Response::decode(&bytes) {
            Ok(response) => Ok(response),
            Err(error) => {
                self.order(Command::Strike(peer.0)).await?;
                Err(error.into())
            }
        }
    }

    /// Changes the servers in force.
    ///
    /// # Errors
    /// If the mesh has stopped.
    pub async fn set_servers(&self, servers: Vec<ServerKey>) -> Result<(), Stopped> {
        self.order(Command::SetServers(servers)).await
    }

    /// Counts something that no honest peer sends. At the third time the peer is shut out for a minute; servers
    /// never are.
    ///
    /// # Errors
    /// If the mesh has stopped.
    pub async fn strike(&self, peer: PeerRef) -> Result<(), Stopped> {
        self.order(Command::Strike(peer.0)).await
    }

    async fn order(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_closed| Stopped)
    }
}
