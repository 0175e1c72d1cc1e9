//! Names of peers, and their addresses as libp2p writes them.
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use seedbank_types::ServerKey;

/// What precedes the 32 key bytes in the peer id of an Ed25519 key: identity multihash of 36
/// bytes; key type 1; 32 bytes of data.
const ED25519_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Who a peer is: its public key, proven when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerRef(pub(crate) PeerId);

/// A text that is no peer id or no address of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct BadPeer {
    text: String,
    expected: &'static str,
}

impl PeerRef {
    /// The peer that holds a server's key.
    #[must_use]
    pub fn of_server(key: &ServerKey) -> Self {
        let bytes = [&ED25519_PREFIX[..], &key.0].concat();
        Self(PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id"))
    }

    /// The Ed25519 key of the peer, if it has one; a server's, if that is one of the community's.
    #[must_use]
    pub fn key(&self) -> Option<ServerKey> {
        let bytes = self.0.to_bytes();
        bytes.strip_prefix(&ED25519_PREFIX)?.try_into().ok().map(ServerKey)
    }
}

impl fmt::Display for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PeerRef {
    type Err = BadPeer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_not_base58| BadPeer { text: text.to_owned(), expected: "a libp2p peer id" })
    }
}

/// `/ip4/…/tcp/…` or `/ip6/…/tcp/…`.
pub(crate) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// The address in front of a multiaddr of the mesh, and the peer behind it if it is named.
pub(crate) fn parts(address: &Multiaddr) -> Option<(SocketAddr, Option<PeerId>)> {
    let mut protocols = address.iter();
    let ip = match protocols.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let Protocol::Tcp(port) = protocols.next()? else { return None };
    let peer = match protocols.next() {
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(_) => return None,
        None => None,
    };
    protocols.next().is_none().then_some((SocketAddr::new(ip, port), peer))
}

pub(crate) fn parse_multiaddr(text: &str) -> Result<(SocketAddr, Option<PeerId>), BadPeer> {
    let bad = || BadPeer { text: text.to_owned(), expected: "a mesh address like /ip4/192.0.2.1/tcp/6882/p2p/12D3…" };
    let address: Multiaddr = text.parse().map_err(|_not_one| bad())?;
    parts(&address).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use seedbank_types::ServerSecret;

    use super::*;

    #[test]
    fn a_servers_peer_id_is_its_key() {
        let secret = ServerSecret::from_bytes(&[5; 32]);
        let keypair = Keypair::ed25519_from_bytes(secret.to_bytes()).expect("32 bytes");
        let peer = PeerRef::of_server(&secret.public());
        assert_eq!(peer, PeerRef(keypair.public().to_peer_id()));
        assert_eq!(peer.key(), Some(secret.public()));
        assert_eq!(peer.to_string().parse(), Ok(peer));
    }

    #[test]
    fn only_tcp_addresses_are_read() {
        let peer = PeerRef::of_server(&ServerKey([3; 32]));
        let address: SocketAddr = "[::1]:9".parse().expect("an address");
        assert_eq!(parse_multiaddr(&format!("{}/p2p/{peer}", multiaddr(address))), Ok((address, Some(peer.0))));
        assert_eq!(parse_multiaddr("/ip4/127.0.0.1/tcp/9"), Ok(("127.0.0.1:9".parse().expect("an address"), None)));
        for bad in ["", "127.0.0.1:9", "/ip4/127.0.0.1/udp/9", "/dns4/a/tcp/9", "/ip4/127.0.0.1/tcp/9/ws"] {
            assert!(parse_multiaddr(bad).is_err(), "{bad}");
        }
    }
}
