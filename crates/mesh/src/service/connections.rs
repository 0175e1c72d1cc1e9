//! Who is connected, who is a server, whom to dial.
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use libp2p::core::ConnectedPoint;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{PeerId, identify, ping};
use seedbank_types::ServerKey;

use super::Service;
use crate::handle::PeerInfo;
use crate::peer::{multiaddr, parts};
use crate::{MeshEvent, PeerRef};

/// A connected server whose subscriptions have not come after this time is disconnected. It still
/// holds an older connection for alive, and the library says its subscriptions on the first one only.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(3);
/// Added to a server's gossip score: its messages are judged one by one, but it is never shut out,
/// or a dispute would cost the quorum its liveness.
const SERVER_SCORE: f64 = 1e9;
/// Addresses taken from what a server says of itself.
const SAID_ADDRESSES_MAX: usize = 4;

/// A peer with at least one connection.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    /// Where it can be dialed, so that it is not dialed twice.
    reachable: BTreeSet<SocketAddr>,
    since: Instant,
    /// Whether its subscription to the quorum's topic has come.
    pub(super) is_subscribed: bool,
    is_announced: bool,
}

/// A dial under way.
#[derive(Debug)]
pub(super) struct Dialing {
    addresses: Vec<SocketAddr>,
    server: Option<ServerKey>,
}

impl Service {
    /// The key of a peer that is a server in force.
    pub(super) fn server(&self, peer: &PeerId) -> Option<ServerKey> {
        PeerRef(*peer).key().filter(|key| self.servers.contains(key))
    }

    /// Who a connected peer is.
    pub(super) fn info(&self, peer: &PeerId) -> PeerInfo {
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let address = self.connections.get(peer).map_or(unknown, |connection| connection.address);
        PeerInfo { peer: PeerRef(*peer), server: self.server(peer), address }
    }

    pub(super) fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        self.dialing.remove(&connection);
        let Some((address, _)) = parts(endpoint.get_remote_address()) else { return };
        let known = self.connections.entry(peer).or_insert_with(|| Connection {
            address,
            reachable: BTreeSet::new(),
            since: Instant::now(),
            is_subscribed: false,
            is_announced: false,
        });
        if endpoint.is_dialer() {
            known.reachable.insert(address);
        }
        match self.server(&peer) {
            Some(server) => self.on_server_connected(peer, server),
            None => self.announce(peer),
        }
    }

    fn on_server_connected(&mut self, peer: PeerId, server: ServerKey) {
        let Some(connection) = self.connections.get(&peer) else { return };
        for address in &connection.reachable {
            self.links.seen(server, *address);
        }
        self.links.connected(&server);
        self.swarm.behaviour_mut().gossip.set_application_score(&peer, SERVER_SCORE);
    }

    /// Reports a peer once: a server when it is subscribed, anybody else at once.
    fn announce(&mut self, peer: PeerId) {
        let server = self.server(&peer);
        let Some(connection) = self.connections.get_mut(&peer) else { return };
        if connection.is_announced || (server.is_some() && !connection.is_subscribed) {
            return;
        }
        connection.is_announced = true;
        let address = connection.address;
        tracing::debug!(%peer, ?server, %address, "connected");
        self.tell_of_connection(MeshEvent::PeerConnected { peer: PeerRef(peer), server, address });
        self.show_peers();
    }

    /// A peer is subscribed to the quorum's topic: from now on gossip reaches it.
    pub(super) fn on_subscribed(&mut self, peer: PeerId) {
        let Some(connection) = self.connections.get_mut(&peer) else { return };
        connection.is_subscribed = true;
        self.announce(peer);
        if self.server(&peer).is_some() {
            self.say_unheard_again();
        }
    }

    pub(super) fn on_disconnected(&mut self, peer: PeerId) {
        let server = self.server(&peer);
        if let Some(server) = server {
            self.links.lost(&server, Instant::now());
        }
        if self.connections.remove(&peer).is_some_and(|connection| connection.is_announced) {
            tracing::debug!(%peer, ?server, "disconnected");
            self.tell_of_connection(MeshEvent::PeerDisconnected { peer: PeerRef(peer), server });
            self.show_peers();
        }
    }

    fn tell_of_connection(&self, event: MeshEvent) {
        if !self.tell(event, 0) {
            tracing::warn!(
                "the owner of the mesh does not keep up: a connection event was dropped; the peer list is right"
            );
        }
    }

    fn show_peers(&self) {
        let peers = self.connections.iter().filter(|(_, connection)| connection.is_announced);
        let peers = peers.map(|(peer, connection)| PeerInfo {
            peer: PeerRef(*peer),
            server: self.server(peer).filter(|_| connection.is_subscribed),
            address: connection.address,
        });
        self.outlets.peers.send_replace(peers.collect());
    }

    pub(super) fn set_servers(&mut self, servers: Vec<ServerKey>) {
        let before = std::mem::replace(&mut self.servers, servers.into_iter().collect());
        for former in before.difference(&self.servers) {
            let peer = PeerRef::of_server(former).0;
            let behaviour = self.swarm.behaviour_mut();
            behaviour.gossip.remove_explicit_peer(&peer);
            behaviour.gossip.set_application_score(&peer, 0.0);
            behaviour.limits.remove_peer_id(&peer);
        }
        self.mark_servers();
        self.links.retain(|server| self.servers.contains(server));
        for new in self.servers.difference(&before).copied().collect::<Vec<_>>() {
            self.on_server_appointed(new);
        }
        self.show_peers();
    }

    /// Servers are explicit peers of each other; clients take part in the ordinary mesh, because an
    /// explicit peer must be one on both sides.
    fn mark_servers(&mut self) {
        let own = *self.swarm.local_peer_id();
        let is_server = self.server(&own).is_some();
        for server in &self.servers {
            let peer = PeerRef::of_server(server).0;
            let behaviour = self.swarm.behaviour_mut();
            behaviour.limits.bypass_peer_id(&peer);
            if is_server && peer != own {
                behaviour.gossip.add_explicit_peer(&peer);
            } else {
                behaviour.gossip.remove_explicit_peer(&peer);
            }
        }
    }

    /// A peer that is connected already becomes a server: it is reported again, as one.
    fn on_server_appointed(&mut self, server: ServerKey) {
        let peer = PeerRef::of_server(&server).0;
        let Some(connection) = self.connections.get_mut(&peer) else { return };
        connection.since = Instant::now();
        connection.is_announced &= !connection.is_subscribed;
        self.on_server_connected(peer, server);
        self.announce(peer);
    }

    pub(super) fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else { return };
        // Only a server is believed: anybody else could keep us from dialing an address by claiming it.
        let Some(server) = self.server(&peer_id) else { return };
        let said = info.listen_addrs.iter().filter_map(parts).map(|(address, _)| address);
        let own = self.listen;
        let said = said.filter(|address| !address.ip().is_unspecified() && address.port() != 0);
        let said = said.filter(|address| !leaves_loopback(own, *address));
        for address in said.take(SAID_ADDRESSES_MAX) {
            self.links.seen(server, address);
            if let Some(connection) = self.connections.get_mut(&peer_id) {
                connection.reachable.insert(address);
            }
        }
    }

    /// A peer that answers no ping is gone, whatever its socket says.
    pub(super) fn on_ping(&mut self, event: &ping::Event) {
        if let Err(failure @ (ping::Failure::Timeout | ping::Failure::Other { .. })) = &event.result {
            tracing::debug!(peer = %event.peer, %failure, "no answer to a ping");
            self.swarm.close_connection(event.connection);
        }
    }

    /// Dials an address, unless it is our own, or somebody there is connected or being dialed, or it
    /// would leave loopback.
    pub(super) fn dial(&mut self, address: SocketAddr, peer: Option<PeerId>) {
        if leaves_loopback(self.listen, address) {
            self.dials_refused += 1;
            tracing::debug!(%address, refused = self.dials_refused, "not dialed: this mesh stays on loopback");
            return;
        }
        let server = peer.and_then(|peer| self.server(&peer));
        if let Some(server) = server {
            self.links.seen(server, address);
        }
        let is_connected = peer.is_some_and(|peer| self.connections.contains_key(&peer))
            || self.connections.values().any(|connection| connection.reachable.contains(&address));
        let is_dialing = self.dialing.values().any(|dialing| dialing.addresses.contains(&address));
        let is_own = address == self.listen || peer.as_ref() == Some(self.swarm.local_peer_id());
        if is_own || is_connected || is_dialing {
            return;
        }
        // A new port, always: from the listening port a peer could reach itself, or collide with
        // a connection that lingers from before a restart.
        let options = match peer {
            None => DialOpts::unknown_peer_id().address(multiaddr(address)).allocate_new_port().build(),
            Some(peer) => known_peer(peer, &[address]),
        };
        self.start_dial(options, Dialing { addresses: vec![address], server });
    }

    fn start_dial(&mut self, options: DialOpts, dialing: Dialing) {
        let connection = options.connection_id();
        let result = self.swarm.dial(options);
        self.dialing.insert(connection, dialing);
        if let Err(error) = result {
            self.on_dial_failed(connection, &error);
        }
    }

    pub(super) fn on_dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        // Dials that are not ours: gossip tries servers of whom no address is known.
        let Some(dialing) = self.dialing.remove(&connection) else { return };
        tracing::debug!(addresses = ?dialing.addresses, %error, "nobody reached");
        if let Some(server) = dialing.server
            && !self.connections.contains_key(&PeerRef::of_server(&server).0)
        {
            self.links.lost(&server, Instant::now());
        }
    }

    pub(super) fn redial(&mut self, now: Instant) {
        for (server, addresses) in self.links.take_due(now) {
            let peer = PeerRef::of_server(&server).0;
            if !self.connections.contains_key(&peer) {
                let options = known_peer(peer, &addresses);
                self.start_dial(options, Dialing { addresses, server: Some(server) });
            }
        }
    }

    /// See [`SUBSCRIBED_WITHIN`].
    pub(super) fn drop_deaf_servers(&mut self, now: Instant) {
        let is_deaf = |connection: &Connection| !connection.is_subscribed && now > connection.since + SUBSCRIBED_WITHIN;
        let deaf =
            self.connections.iter().filter(|(peer, connection)| is_deaf(connection) && self.server(peer).is_some());
        for peer in deaf.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            tracing::debug!(%peer, "a server is connected but says no subscriptions; connecting anew");
            if self.swarm.disconnect_peer_id(peer).is_err() {
                tracing::debug!(%peer, "was gone already");
            }
        }
    }
}

/// Whether whoever listens on loopback would reach beyond it.
fn leaves_loopback(listen: SocketAddr, address: SocketAddr) -> bool {
    listen.ip().is_loopback() && !address.ip().to_canonical().is_loopback()
}

fn known_peer(peer: PeerId, addresses: &[SocketAddr]) -> DialOpts {
    DialOpts::peer_id(peer)
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .allocate_new_port()
        .addresses(addresses.iter().copied().map(multiaddr).collect())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_on_loopback_dials_loopback_only() {
        let at = |text: &str| text.parse().expect("an address");
        for (listen, address, leaves) in [
            ("127.0.0.1:1", "127.9.9.9:2", false),
            ("127.0.0.1:1", "[::1]:2", false),
            ("127.0.0.1:1", "192.0.2.1:2", true),
            ("[::1]:1", "[2001:db8::1]:2", true),
            ("127.0.0.1:1", "[::ffff:192.0.2.1]:2", true),
            ("192.0.2.9:1", "192.0.2.1:2", false),
            ("192.0.2.9:1", "127.0.0.1:2", false),
        ] {
            assert_eq!(leaves_loopback(at(listen), at(address)), leaves, "{listen} {address}");
        }
    }
}
