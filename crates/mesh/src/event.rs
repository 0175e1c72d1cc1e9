//! What the mesh tells its owner, and how the owner answers.
use std::net::SocketAddr;

use libp2p::PeerId;
use libp2p::gossipsub::MessageId;
use libp2p::request_response::ResponseChannel;
use seedbank_types::ServerKey;
use tokio::sync::mpsc;

use crate::handle::{Command, PeerInfo, Stopped};
use crate::message::{Request, RequestRefusal, Response};
use crate::{PeerRef, Topic};

/// The verdict on a gossip message. It must come within about four seconds, or the message is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Good: forward it, unless its author has said it to all servers.
    Accept,
    /// Neither good nor anybody's fault, such as a late vote: drop it.
    Ignore,
    /// Nobody honest forwards this: drop it and count it against whoever sent it to us.
    Reject,
}

/// Which message a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GossipId {
    pub(crate) message: MessageId,
    pub(crate) from: PeerId,
    /// All servers hear it from whom we heard it.
    pub(crate) is_said_to_all: bool,
}

/// What happened on the mesh.
#[derive(Debug)]
pub enum MeshEvent {
    /// A message arrived and waits for [`MeshHandle::judge`](crate::MeshHandle::judge).
    Gossip {
        /// What it is about.
        topic: Topic,
        /// The message as it was published.
        data: Vec<u8>,
        /// Its author, if that is a server (perhaps ourselves: a message of our own key that we did
        /// not publish lately). Always present on topics for servers only.
        source: Option<ServerKey>,
        /// Who passed it on.
        from: PeerInfo,
        /// What to judge.
        verdict: GossipId,
    },
    /// A peer asks something.
    Request {
        /// Who.
        from: PeerInfo,
        /// What.
        request: Request,
        /// Where the answer goes.
        reply: Reply,
    },
    /// A peer connected. For a server it means: gossip reaches it from now on.
    PeerConnected {
        /// Who.
        peer: PeerRef,
        /// Its key, if it is a server.
        server: Option<ServerKey>,
        /// Where its connection comes from or goes to.
        address: SocketAddr,
    },
    /// The last connection to a peer that was reported as connected is gone.
    PeerDisconnected {
        /// Who.
        peer: PeerRef,
        /// Its key, if it is a server.
        server: Option<ServerKey>,
    },
}

/// Takes the answer to one request. Dropped without an answer, it refuses as busy.
#[derive(Debug)]
pub struct Reply {
    channel: Option<ResponseChannel<Vec<u8>>>,
    commands: mpsc::Sender<Command>,
}

impl Reply {
    pub(crate) const fn new(channel: ResponseChannel<Vec<u8>>, commands: mpsc::Sender<Command>) -> Self {
        Self { channel: Some(channel), commands }
    }

    /// Sends the answer. One that exceeds its maximum becomes the refusal [`RequestRefusal::TooLarge`].
    ///
    /// # Errors
    /// If the mesh has stopped.
    pub async fn send(mut self, response: Response) -> Result<(), Stopped> {
        let bytes = response.encode().unwrap_or_else(|too_large| {
            tracing::error!(%too_large, "an answer to a mesh request is too large");
            refusal(RequestRefusal::TooLarge)
        });
        let Some(channel) = self.channel.take() else { return Ok(()) };
        self.commands.send(Command::Respond { channel, bytes }).await.map_err(|_closed| Stopped)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Some(channel) = self.channel.take() else { return };
        let command = Command::Respond { channel, bytes: refusal(RequestRefusal::Busy) };
        if self.commands.try_send(command).is_err() {
            tracing::debug!("a request got no answer: the mesh has stopped or is overloaded");
        }
    }
}

/// The bytes of a refusal.
pub(crate) fn refusal(reason: RequestRefusal) -> Vec<u8> {
    Response::Refused(reason).encode().expect("a refusal has at most seven bytes")
}
