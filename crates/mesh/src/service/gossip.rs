//! Messages to everybody.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use libp2p::gossipsub::{self, Message, MessageAcceptance, MessageId, PublishError};
use seedbank_types::ServerKey;

use super::{EVENTS_NOT_FOR_GOSSIP, Service};
use crate::message::{FORWARDED, SAID_TO_ALL, frame, unframe};
use crate::{GossipId, MeshEvent, PeerRef, Topic, Verdict};

/// How long a message is kept for servers that are connected but not subscribed yet.
pub const UNHEARD_AGE_MAX: Duration = Duration::from_secs(5);
/// How many of those at most; the oldest is dropped first.
const UNHEARD_MAX: usize = 64;

/// A message that a connected server has not heard.
#[derive(Debug)]
pub(super) struct Unheard {
    topic: Topic,
    data: Vec<u8>,
    said: Instant,
}

/// A number that no run of this program before has come to, more or less.
pub(super) fn first_repeat() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_millis() % u128::from(u32::MAX)).unwrap_or_default()
}

impl Service {
    pub(super) fn publish(&mut self, topic: Topic, data: Vec<u8>, is_forwarded: bool) {
        let repeat = match topic {
            _ if topic.is_servers_only() => self.next_repeat(),
            Topic::Payments if !is_forwarded && self.is_heard_by_all() => SAID_TO_ALL,
            _ => FORWARDED,
        };
        self.say(topic, repeat, &data);
        if topic.is_servers_only() && self.is_a_server_deaf() {
            if self.unheard.len() == UNHEARD_MAX {
                self.unheard.pop_front();
            }
            self.unheard.push_back(Unheard { topic, data, said: Instant::now() });
        }
    }

    /// What servers say among themselves has a number of its own each time, so that it can be said
    /// again; equal payments and evidence are the same message, whoever says it and how often.
    fn say(&mut self, topic: Topic, repeat: u32, data: &[u8]) {
        let on_wire = topic.on_wire(&self.community).hash();
        match self.swarm.behaviour_mut().gossip.publish(on_wire, frame(repeat, data)) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => tracing::trace!(%topic, "nobody hears a message"),
            Err(error) => tracing::warn!(%topic, %error, "a message was not published"),
        }
    }

    fn next_repeat(&mut self) -> u32 {
        self.repeats = self.repeats.wrapping_add(1);
        self.repeats
    }

    /// Whether we are a server and all others hear us without anybody's help.
    fn is_heard_by_all(&self) -> bool {
        let own = self.swarm.local_peer_id();
        let hears = |peer: &PeerId| self.connections.get(peer).is_some_and(|connection| connection.is_subscribed);
        let mut servers = self.servers.iter().map(|server| PeerRef::of_server(server).0);
        self.server(own).is_some() && servers.all(|server| server == *own || hears(&server))
    }

    fn is_a_server_deaf(&self) -> bool {
        self.connections.iter().any(|(peer, connection)| !connection.is_subscribed && self.server(peer).is_some())
    }

    /// A server is subscribed now: what was published since it connected is said again, to all.
    pub(super) fn say_unheard_again(&mut self) {
        for unheard in std::mem::take(&mut self.unheard) {
            if unheard.said.elapsed() < UNHEARD_AGE_MAX {
                self.publish(unheard.topic, unheard.data, false);
            }
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.on_message(propagation_source, message_id, message);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                if self.topics.get(&topic) == Some(&Topic::Quorum) {
                    self.on_subscribed(peer_id);
                }
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => tracing::debug!(peer = %peer_id, "hears too slowly"),
            gossipsub::Event::Unsubscribed { .. } | gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }

    fn on_message(&mut self, from: PeerId, id: MessageId, message: Message) {
        let source = message.source.and_then(|author| self.server(&author));
        let read = self.read(&message, source);
        let is_said_to_all = matches!(&read, Some((Topic::Payments, SAID_TO_ALL, _)))
            && source.is_some()
            && message.source == Some(from);
        let id = GossipId { message: id, from, is_said_to_all };
        match read {
            None => {
                // A server that forwards what we refuse knows another set than we do: no strike.
                let verdict = if self.server(&from).is_some() { Verdict::Ignore } else { Verdict::Reject };
                tracing::debug!(peer = %from, topic = %message.topic, "a message is refused unread");
                self.judge(&id, verdict);
            }
            Some((topic, _, data)) => {
                let event = MeshEvent::Gossip { topic, data, source, from: self.info(&from), verdict: id.clone() };
                if !self.tell(event, EVENTS_NOT_FOR_GOSSIP) {
                    self.judge(&id, Verdict::Ignore);
                    self.count_dropped();
                }
            }
        }
    }

    /// What is in a message, if its author may speak on its topic and it is no longer than allowed.
    fn read(&self, message: &Message, source: Option<ServerKey>) -> Option<(Topic, u32, Vec<u8>)> {
        let topic = *self.topics.get(&message.topic)?;
        let (repeat, data) = unframe(&message.data).filter(|(_, data)| data.len() <= topic.bytes_max())?;
        (source.is_some() || !topic.is_servers_only()).then_some((topic, repeat, data))
    }

    fn count_dropped(&mut self) {
        self.gossip_dropped += 1;
        if self.gossip_dropped.is_power_of_two() {
            tracing::warn!(dropped = self.gossip_dropped, "the owner of the mesh does not keep up: gossip was dropped");
        }
    }

    pub(super) fn judge(&mut self, id: &GossipId, verdict: Verdict) {
        let acceptance = match verdict {
            // All servers have it, from its author.
            Verdict::Accept if id.is_said_to_all => MessageAcceptance::Ignore,
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        if !gossip.report_message_validation_result(&id.message, &id.from, acceptance) {
            tracing::debug!(?verdict, "a verdict came too late");
        }
    }
}
