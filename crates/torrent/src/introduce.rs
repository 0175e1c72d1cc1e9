//! Telling a running torrent about new peers.
//!
//! The engine has no call for that, but it listens to what peers say about other peers (BEP 11). So
//! we connect to our own listener as if we were a peer, name the new ones, and hang up. A tracker of
//! our own on loopback would do as well, but its requests go through a proxy if the environment names one.
use std::{io, net::SocketAddr, time::Duration};

use seedbank_types::InfoHash;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// An introduction on this machine takes milliseconds; the engine may be hashing a file meanwhile.
const INTRODUCTION_MAX: Duration = Duration::from_secs(10);
/// Type of an extended message (BEP 10).
const EXTENDED: u8 = 20;
/// Id of the extended handshake (BEP 10).
const EXTENDED_HANDSHAKE: u8 = 0;
/// Id that the engine gives to `ut_pex`, fixed in its sources; a test would miss the peer if it changed.
const PEER_EXCHANGE: u8 = 1;

/// Makes the engine that listens on `listen` connect to `peers` for the torrent `info_hash`.
pub(crate) async fn introduce(listen: SocketAddr, info_hash: InfoHash, peers: &[SocketAddr]) -> io::Result<()> {
    let talk = async {
        let mut stream = TcpStream::connect(reachable(listen)).await?;
        stream.write_all(&introduction(info_hash, peer_id()?, peers)).await?;
        stream.shutdown().await?;
        // Reading to the end keeps the system from cutting off what is not read yet on the other side.
        tokio::io::copy(&mut stream.take(u64::MAX), &mut tokio::io::sink()).await?;
        Ok(())
    };
    timeout(INTRODUCTION_MAX, talk).await?
}

/// Somebody who listens on all addresses is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        address.set_ip(if listen.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// An id that is not the engine's own, which it would take for a connection to itself.
fn peer_id() -> io::Result<[u8; 20]> {
    let mut id = *b"-SB0001-............";
    getrandom::fill(&mut id[8..])?;
    Ok(id)
}

/// Handshake (BEP 3), extended handshake without extensions (BEP 10), peers (BEP 11).
fn introduction(info_hash: InfoHash, peer_id: [u8; 20], peers: &[SocketAddr]) -> Vec<u8> {
    let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
    bytes.extend_from_slice(&info_hash.0);
    bytes.extend_from_slice(&peer_id);
    bytes.extend_from_slice(&extended(EXTENDED_HANDSHAKE, b"d1:mdee"));
    bytes.extend_from_slice(&extended(PEER_EXCHANGE, &exchange(peers)));
    bytes
}

fn extended(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 2).expect("peers are bounded by PEERS_PER_FETCH_MAX");
    [&length.to_be_bytes()[..], &[EXTENDED, id], payload].concat()
}

/// Peers in the compact form: address and port, four bytes or sixteen, and two.
fn exchange(peers: &[SocketAddr]) -> Vec<u8> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for peer in peers {
        match peer {
            SocketAddr::V4(peer) => {
                v4.extend_from_slice(&[&peer.ip().octets()[..], &peer.port().to_be_bytes()].concat())
            }
            SocketAddr::V6(peer) => {
                v6.extend_from_slice(&[&peer.ip().octets()[..], &peer.port().to_be_bytes()].concat())
            }
        }
    }
    let head = |name: &str, count: usize| format!("{}:{name}{count}:", name.len()).into_bytes();
    [b"d".to_vec(), head("added", v4.len()), v4, head("added6", v6.len()), v6, b"e".to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_introduction_has_exactly_these_bytes() {
        let peers = ["127.1.0.3:258".parse().expect("IPv4"), "[::1]:7".parse().expect("IPv6")];
        let bytes = introduction(InfoHash([0xaa; 20]), [0xbb; 20], &peers);
        let mut expected = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
        expected.extend_from_slice(&[0xaa; 20]);
        expected.extend_from_slice(&[0xbb; 20]);
        expected.extend_from_slice(b"\0\0\0\x09\x14\0d1:mdee");
        expected.extend_from_slice(b"\0\0\0\x30\x14\x01d5:added6:\x7f\x01\x00\x03\x01\x026:added618:");
        expected.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x07e");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn all_addresses_are_reached_on_loopback() {
        for (listen, expected) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("127.1.0.3:1", "127.1.0.3:1")]
        {
            let listen = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), expected);
        }
    }
}
