//! A peer that does not keep to the protocol is refused, counted and shut out, and breaks nothing.

use std::io;
use std::net::SocketAddr;

use crate::common::{COMMUNITY, Node, key, until};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{Behaviour, Codec, Config, Event, Message, OutboundFailure, ProtocolSupport};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use seedbank_mesh::{PeerRef, Request, RequestError, RequestRefusal, Response};

/// Writes what it is given as it is, and reads all there is.
#[derive(Clone, Default)]
struct Raw;

async fn read_all<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        Ok(length.to_vec())
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read_all(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }
}

struct Stranger {
    swarm: Swarm<Behaviour<Raw>>,
    server: PeerId,
    address: SocketAddr,
}

impl Stranger {
    fn new(server: &Node) -> Self {
        Self::with_key(server, Keypair::generate_ed25519())
    }

    fn with_key(server: &Node, keypair: Keypair) -> Self {
        let protocol = StreamProtocol::try_from_owned(format!("/seedbank/1/{}", &COMMUNITY.to_string()[..16]));
        let protocol = protocol.expect("it begins with a slash");
        let swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("noise needs a key only")
            .with_behaviour(|_key| Behaviour::<Raw>::new([(protocol, ProtocolSupport::Full)], Config::default()))
            .expect("it cannot fail")
            .with_swarm_config(|config| config.with_idle_connection_timeout(crate::common::PATIENCE))
            .build();
        let peer = server.mesh.peer().to_string().parse().expect("a peer id");
        Self { swarm, server: peer, address: server.mesh.listen_address() }
    }

    fn dial(&mut self) {
        let address = Multiaddr::from(self.address.ip()).with(Protocol::Tcp(self.address.port()));
        self.swarm.dial(address).expect("dials");
    }

    async fn connect(&mut self) {
        self.dial();
        while !self.swarm.is_connected(&self.server) {
            self.swarm.select_next_some().await;
        }
    }

    /// Sends raw bytes as a request; what comes back, or `None` if nothing does.
    async fn send(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.swarm.behaviour_mut().send_request(&self.server, bytes.to_vec());
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message { message: Message::Response { response, .. }, .. }) => {
                    return Some(response).filter(|bytes| !bytes.is_empty());
                }
                SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => {
                    assert!(!matches!(error, OutboundFailure::UnsupportedProtocols), "{error}");
                    return None;
                }
                _ => {}
            }
        }
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes()[..], bytes].concat()
}

#[tokio::test]
async fn a_malformed_request_is_refused_and_the_third_shuts_the_peer_out() {
    let server = Node::server(0, "127.0.0.1:0").await;
    let mut stranger = Stranger::new(&server);
    stranger.connect().await;
    let malformed = Response::Refused(RequestRefusal::Malformed).encode().expect("three bytes");
    for _ in 0..2 {
        assert_eq!(stranger.send(&framed(b"what?")).await, Some(framed(&malformed)));
    }
    stranger.send(&framed(&[])).await;
    while stranger.swarm.is_connected(&stranger.server) {
        stranger.swarm.select_next_some().await;
    }
    until("the server has closed too", async || server.mesh.peers().is_empty()).await;
    // It is shut out: a new connection is closed at once.
    stranger.dial();
    loop {
        match stranger.swarm.select_next_some().await {
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => break,
            _ => {}
        }
    }
    assert!(server.mesh.peers().is_empty());
}

#[tokio::test]
async fn frames_beyond_the_maximum_shut_the_peer_out_and_others_are_served() {
    let mut server = Node::server(0, "127.0.0.1:0").await;
    let mut stranger = Stranger::new(&server);
    stranger.connect().await;
    let malformed = Response::Refused(RequestRefusal::Malformed).encode().expect("three bytes");
    for _ in 0..2 {
        assert_eq!(stranger.send(&u32::MAX.to_be_bytes()).await, Some(framed(&malformed)));
    }
    stranger.send(&u32::MAX.to_be_bytes()).await;
    until("the stranger is shut out", async || server.mesh.peers().is_empty()).await;

    let client = Node::client().await;
    client.connect_to(&server).await;
    let mesh = client.mesh.clone();
    let asks = tokio::spawn(async move { mesh.request(PeerRef::of_server(&key(0)), Request::Genesis).await });
    server.request().await.2.send(Response::Genesis(vec![1])).await.expect("runs");
    assert_eq!(asks.await.expect("no panic"), Ok(Response::Genesis(vec![1])));
}

/// A server that still takes an older connection for alive says its subscriptions there, not here.
#[tokio::test]
async fn a_server_that_gossip_does_not_reach_is_not_reported_and_is_disconnected() {
    let server = Node::server(0, "127.0.0.1:0").await;
    let secret = crate::common::secret(1).to_bytes();
    let mut deaf = Stranger::with_key(&server, Keypair::ed25519_from_bytes(secret).expect("32 bytes"));
    deaf.connect().await;
    let disconnected = async {
        while deaf.swarm.is_connected(&deaf.server) {
            deaf.swarm.select_next_some().await;
            assert!(server.mesh.peers().is_empty());
        }
    };
    tokio::time::timeout(crate::common::PATIENCE, disconnected).await.expect("disconnected in time");
}

#[tokio::test]
async fn a_request_cut_short_is_no_strike() {
    let server = Node::server(0, "127.0.0.1:0").await;
    let mut stranger = Stranger::new(&server);
    stranger.connect().await;
    for _ in 0..5 {
        assert_eq!(stranger.send(&[0, 0, 0, 9, 1]).await, None);
    }
    assert!(stranger.swarm.is_connected(&stranger.server));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_error_and_the_third_shuts_the_peer_out() {
    let node = Node::client().await;
    let mut stranger = Stranger::new(&node);
    stranger.connect().await;
    let peer: PeerRef = stranger.swarm.local_peer_id().to_string().parse().expect("a peer id");
    let lies = async move {
        loop {
            if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { channel, .. }, .. }) =
                stranger.swarm.select_next_some().await
            {
                let nonsense = framed(b"nonsense");
                stranger.swarm.behaviour_mut().send_response(channel, nonsense).expect("still connected");
            }
        }
    };
    tokio::spawn(lies);
    until("the liar is connected", async || !node.mesh.peers().is_empty()).await;
    for _ in 0..3 {
        let answer = node.mesh.request(peer, Request::Genesis).await;
        assert!(matches!(answer, Err(RequestError::Malformed(_))), "{answer:?}");
    }
    until("the liar is shut out", async || node.mesh.peers().is_empty()).await;
}
