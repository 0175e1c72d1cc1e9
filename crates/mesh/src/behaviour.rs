//! The libp2p protocols of the mesh, configured.
use std::collections::HashMap;
use std::time::Duration;

use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{
    self, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds,
    TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter, score_parameter_decay,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, allow_block_list, connection_limits, identify, noise, ping, tcp, yamux,
};
use seedbank_types::{CommunityId, Hash};

use crate::frame_codec::FrameCodec;
use crate::message::GOSSIP_FRAME_BYTES;
use crate::{MeshError, MeshLimits, MeshSettings, Topic};

/// Idle connections stay: votes must not wait for a handshake.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);
/// A dead connection is noticed after at most the sum of both.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Two peers that dial each other at once have two connections.
const CONNECTIONS_PER_PEER_MAX: u32 = 4;
const CONNECTIONS_PENDING_MAX: u32 = 128;
/// Requests under way on one connection, in both directions together.
pub(crate) const REQUEST_STREAMS_MAX: usize = 128;
const SUBSCRIPTIONS_PER_MESSAGE_MAX: usize = 16;
/// Messages that wait for one peer; then it is slow, and further ones are dropped.
const GOSSIP_QUEUE_MAX: usize = 512;
const GOSSIP_HEARTBEAT: Duration = Duration::from_secs(1);
/// Heartbeats a message is kept for, and with it the time for a verdict.
const GOSSIP_HISTORY: usize = 5;
const GOSSIP_SEEN_FOR: Duration = Duration::from_secs(60);
/// Room for author, signature, topic and lengths around the longest message.
const GOSSIP_OVERHEAD_BYTES: usize = 4 << 10;
/// Three rejected messages within about a minute reach the threshold below which a peer is not heard.
const REJECTED_WEIGHT: f64 = -10.0;
const REJECTED_DECAY: Duration = Duration::from_secs(300);
const SLOW_PEER_THRESHOLD: f64 = 100.0;

pub(crate) type Gossip =
    gossipsub::Behaviour<gossipsub::IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// All protocols. The gates come first, because what is denied by a later one has already left
/// traces in those before it.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) requests: request_response::Behaviour<FrameCodec>,
    pub(crate) gossip: Gossip,
}

/// The protocol of requests, one for each community: others are not understood.
pub(crate) fn request_protocol(community: &CommunityId) -> StreamProtocol {
    let short = community.to_string().chars().take(16).collect::<String>();
    StreamProtocol::try_from_owned(format!("/seedbank/1/{short}")).expect("it begins with a slash")
}

pub(crate) fn swarm(settings: &MeshSettings) -> Result<Swarm<Behaviour>, MeshError> {
    let keypair = settings.secret.keypair();
    let behaviour = behaviour(&keypair, settings)?;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(configuration)?
        .with_behaviour(|_key| behaviour)
        .map_err(configuration)?
        .with_swarm_config(|config| {
            // One protocol is offered a stream, so nobody has to wait until it is agreed on: a request
            // costs one way there and one back.
            config.with_idle_connection_timeout(IDLE_TIMEOUT).with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .build();
    Ok(swarm)
}

fn configuration(error: impl std::fmt::Display) -> MeshError {
    MeshError::Configuration(error.to_string())
}

fn behaviour(keypair: &Keypair, settings: &MeshSettings) -> Result<Behaviour, MeshError> {
    let limits = settings.limits;
    let identify = identify::Config::new("/seedbank/1".to_owned(), keypair.public())
        .with_agent_version(concat!("seedbank/", env!("CARGO_PKG_VERSION")).to_owned())
        // Who is dialed and where is decided by the service alone.
        .with_cache_size(0);
    let requests = request_response::Config::default()
        .with_request_timeout(limits.request_timeout)
        .with_max_concurrent_streams(REQUEST_STREAMS_MAX);
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(connection_limits(limits)),
        blocked: allow_block_list::Behaviour::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
        requests: request_response::Behaviour::with_codec(
            FrameCodec,
            [(request_protocol(&settings.community), ProtocolSupport::Full)],
            requests,
        ),
        gossip: gossip(keypair, settings)?,
    })
}

fn connection_limits(limits: MeshLimits) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
        .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
        .with_max_established(Some(limits.connections))
}

fn gossip(keypair: &Keypair, settings: &MeshSettings) -> Result<Gossip, MeshError> {
    let community = &settings.community;
    let allowed = Topic::ALL.iter().map(|topic| topic.on_wire(community).hash()).collect();
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter(allowed),
        max_subscribed_topics: Topic::ALL.len(),
        max_subscriptions_per_request: SUBSCRIPTIONS_PER_MESSAGE_MAX,
    };
    let author = MessageAuthenticity::Signed(keypair.clone());
    let mut gossip = Gossip::new_with_subscription_filter(author, gossip_config()?, filter).map_err(configuration)?;
    gossip.with_peer_score(score(community), PeerScoreThresholds::default()).map_err(configuration)?;
    for topic in &settings.topics {
        gossip.subscribe(&topic.on_wire(community)).map_err(configuration)?;
    }
    Ok(gossip)
}

fn gossip_config() -> Result<gossipsub::Config, MeshError> {
    gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(|message| {
            MessageId::from(Hash::of(&[message.topic.as_str().as_bytes(), &message.data]).0.to_vec())
        })
        // Echoes of what our key said before a restart are no fault of those who forward them.
        .allow_self_origin(true)
        .max_transmit_size(Topic::BYTES_MAX + GOSSIP_FRAME_BYTES + GOSSIP_OVERHEAD_BYTES)
        .flood_publish(true)
        .heartbeat_initial_delay(Duration::from_millis(100))
        .heartbeat_interval(GOSSIP_HEARTBEAT)
        .history_length(GOSSIP_HISTORY)
        .duplicate_cache_time(GOSSIP_SEEN_FOR)
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .build()
        .map_err(configuration)
}

/// Counts what was rejected and nothing else that honest peers may do: many peers behind one
/// address, silence and lateness cost nothing.
fn score(community: &CommunityId) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: REJECTED_WEIGHT,
        invalid_message_deliveries_decay: score_parameter_decay(REJECTED_DECAY),
        ..TopicScoreParams::default()
    };
    let topics: HashMap<_, _> =
        Topic::ALL.into_iter().map(|name| (name.on_wire(community).hash(), topic.clone())).collect();
    PeerScoreParams {
        topics,
        ip_colocation_factor_weight: 0.0,
        slow_peer_threshold: SLOW_PEER_THRESHOLD,
        ..PeerScoreParams::default()
    }
}
