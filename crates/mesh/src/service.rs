//! The one task that owns the swarm.
mod conduct;
mod connections;
mod gossip;
mod links;
mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::core::transport::TransportError;
use libp2p::gossipsub::TopicHash;
use libp2p::request_response::OutboundRequestId;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, Swarm};
use seedbank_types::{CommunityId, ServerKey};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::conduct::Conduct;
use self::connections::{Connection, Dialing};
pub use self::gossip::UNHEARD_AGE_MAX;
use self::gossip::Unheard;
use self::links::ServerLinks;
use self::requests::Awaited;
use crate::behaviour::{self, Behaviour, BehaviourEvent};
use crate::handle::{Command, PeerInfo};
use crate::peer::{multiaddr, parts};
use crate::{MeshError, MeshEvent, MeshHandle, MeshSettings, PeerRef, Topic};

/// Orders of the owner that wait for the service.
const COMMANDS_MAX: usize = 1024;
/// Events that wait for the owner.
const EVENTS_MAX: usize = 1024;
/// Places in the event queue that gossip leaves to requests and connections.
const EVENTS_NOT_FOR_GOSSIP: usize = 256;
/// Places in the event queue that requests leave to connections.
const EVENTS_NOT_FOR_REQUESTS: usize = 64;
/// How often redialing and other matters of time are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a stop waits for connections to close in order.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// Listens and starts the task of the mesh. It ends when `stop` is cancelled, or when the receiver
/// is dropped; then the receiver ends and the handle says [`Stopped`](crate::Stopped).
///
/// # Errors
/// If the address cannot be listened on.
pub async fn spawn(
    settings: MeshSettings,
    stop: CancellationToken,
) -> Result<(MeshHandle, mpsc::Receiver<MeshEvent>), MeshError> {
    let mut swarm = behaviour::swarm(&settings)?;
    let listen = listen(&mut swarm, settings.listen).await?;
    let (commands, commands_received) = mpsc::channel(COMMANDS_MAX);
    let (events, events_received) = mpsc::channel(EVENTS_MAX);
    let (peers, peers_watched) = watch::channel(Vec::new());
    let handle = MeshHandle {
        peer: PeerRef(*swarm.local_peer_id()),
        listen,
        request_timeout: settings.limits.request_timeout,
        commands: commands.clone(),
        peers: peers_watched,
    };
    let outlets = Outlets { commands, events, peers };
    let mut service = Service::new(swarm, listen, &settings, outlets, commands_received);
    service.set_servers(settings.servers);
    tokio::spawn(service.run(stop));
    Ok((handle, events_received))
}

/// Listens and waits for the real address.
async fn listen(swarm: &mut Swarm<Behaviour>, address: SocketAddr) -> Result<SocketAddr, MeshError> {
    let failed = |source| MeshError::Listen { address, source };
    if address.port() != 0 {
        // The library shares ports with other processes of the same user; two peers on one port
        // would each get half of the connections. This notices it.
        std::net::TcpListener::bind(address).map_err(failed)?;
    }
    swarm.listen_on(multiaddr(address)).map_err(|error| match error {
        TransportError::Other(source) => failed(source),
        other @ TransportError::MultiaddrNotSupported(_) => failed(io::Error::other(other.to_string())),
    })?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                if let Some((listening, _)) = parts(&address) {
                    return Ok(listening);
                }
            }
            SwarmEvent::ListenerClosed { reason: Err(source), .. }
            | SwarmEvent::ListenerError { error: source, .. } => return Err(failed(source)),
            _ => {}
        }
    }
}

/// Where the service speaks to.
struct Outlets {
    /// For replies, which the owner sends by way of the service.
    commands: mpsc::Sender<Command>,
    events: mpsc::Sender<MeshEvent>,
    peers: watch::Sender<Vec<PeerInfo>>,
}

struct Service {
    swarm: Swarm<Behaviour>,
    listen: SocketAddr,
    community: CommunityId,
    topics: BTreeMap<TopicHash, Topic>,
    servers: BTreeSet<ServerKey>,
    commands: mpsc::Receiver<Command>,
    outlets: Outlets,
    connections: BTreeMap<PeerId, Connection>,
    dialing: BTreeMap<ConnectionId, Dialing>,
    links: ServerLinks,
    conduct: Conduct,
    answers: BTreeMap<OutboundRequestId, Awaited>,
    unheard: VecDeque<Unheard>,
    repeats: u32,
    gossip_dropped: u64,
    dials_refused: u64,
}

impl Service {
    fn new(
        swarm: Swarm<Behaviour>,
        listen: SocketAddr,
        settings: &MeshSettings,
        outlets: Outlets,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let community = settings.community;
        Self {
            swarm,
            listen,
            community,
            topics: Topic::ALL.into_iter().map(|topic| (topic.on_wire(&community).hash(), topic)).collect(),
            servers: BTreeSet::new(),
            commands,
            outlets,
            connections: BTreeMap::new(),
            dialing: BTreeMap::new(),
            links: ServerLinks::default(),
            conduct: Conduct::new(settings.limits.requests_per_second),
            answers: BTreeMap::new(),
            unheard: VecDeque::new(),
            repeats: gossip::first_repeat(),
            gossip_dropped: 0,
            dials_refused: 0,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.outlets.events.closed() => break,
                Some(command) = self.commands.recv() => self.on_command(command),
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                _ = tick.tick() => self.on_tick(Instant::now()),
            }
        }
        self.close().await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { topic, data, is_forwarded } => self.publish(topic, data, is_forwarded),
            Command::Judge { id, verdict } => self.judge(&id, verdict),
            Command::Dial { address, peer } => self.dial(address, peer),
            Command::Request { peer, bytes, answer } => self.request(peer, bytes, answer),
            Command::Respond { channel, bytes } => self.respond(channel, bytes),
            Command::SetServers(servers) => self.set_servers(servers),
            Command::Strike(peer) => self.strike(peer),
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => self.on_disconnected(peer_id),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_failed(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "an incoming connection failed");
            }
            SwarmEvent::ListenerClosed { reason, .. } => {
                tracing::error!(?reason, "the mesh listens no more");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Requests(event) => self.on_request_event(event),
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Ping(event) => self.on_ping(&event),
        }
    }

    fn on_tick(&mut self, now: Instant) {
        self.redial(now);
        self.drop_deaf_servers(now);
        for peer in self.conduct.take_let_in(now) {
            self.swarm.behaviour_mut().blocked.unblock_peer(peer);
        }
    }

    /// Tells the owner, unless fewer than `reserve` places would be left; false if it was not told.
    fn tell(&self, event: MeshEvent, reserve: usize) -> bool {
        self.outlets.events.capacity() > reserve && self.outlets.events.try_send(event).is_ok()
    }

    /// Closes the connections in order, so that peers notice at once.
    async fn close(mut self) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            if self.swarm.disconnect_peer_id(peer).is_err() {
                tracing::debug!(%peer, "was gone already");
            }
        }
        let all_closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(CLOSE_WITHIN, all_closed).await.is_err() {
            tracing::debug!("some connections of the mesh did not close in order");
        }
    }
}
