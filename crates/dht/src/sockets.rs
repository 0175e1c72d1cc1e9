//! The UDP sockets of a node, at most one a family.
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::DhtError;

/// Room for the packets that come while the node is busy; the system may give less.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// One byte more than a packet may have, so that a longer one is seen to be longer.
pub(crate) const PACKET_BUFFER_BYTES: usize = 2049;

/// The families, as indices.
pub(crate) const FAMILIES: [usize; 2] = [0, 1];

#[derive(Debug)]
pub(crate) struct Sockets {
    /// For IPv4 and IPv6.
    sockets: [Option<UdpSocket>; 2],
    local_addresses: Vec<SocketAddr>,
    /// Packets that the system did not take.
    unsent: u64,
}

impl Sockets {
    /// Opens a socket on each of these addresses, of which no two are of one family. Only the first has to be had:
    /// many systems have no IPv6.
    pub(crate) async fn open(addresses: &[SocketAddr]) -> Result<Self, DhtError> {
        let mut all = Self { sockets: [None, None], local_addresses: vec![], unsent: 0 };
        for address in addresses.iter().copied() {
            match all.add(address).await {
                Err(error) if !all.local_addresses.is_empty() => {
                    tracing::info!(%address, %error, "the DHT node does without this address");
                }
                result => result.map_err(|source| DhtError::Bind { address, source })?,
            }
        }
        Ok(all)
    }

    async fn add(&mut self, address: SocketAddr) -> io::Result<()> {
        let socket = open(address)?;
        // Until the system has said once that there is room, the runtime refuses to send.
        socket.writable().await?;
        self.local_addresses.push(socket.local_addr()?);
        self.sockets[family(address.ip())] = Some(socket);
        Ok(())
    }

    /// In the order in which they were opened.
    pub(crate) fn local_addresses(&self) -> &[SocketAddr] {
        &self.local_addresses
    }

    pub(crate) const fn unsent(&self) -> u64 {
        self.unsent
    }

    pub(crate) fn has(&self, family: usize) -> bool {
        self.sockets[family].is_some()
    }

    /// Waits for a packet.
    pub(crate) async fn readable(&self) {
        let [v4, v6] = &self.sockets;
        tokio::select! {
            () = readable(v4.as_ref()) => {}
            () = readable(v6.as_ref()) => {}
        }
    }

    /// A packet that is there already. Errors of a UDP socket tell of packets sent earlier, whose
    /// fate is none of ours.
    pub(crate) fn receive(&self, family: usize, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.sockets[family].as_ref()?.try_recv_from(buffer).ok()
    }

    /// Sends if that is possible at once: a packet that waited would only be late.
    pub(crate) fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<(), NoWay> {
        let sent = self.sockets[family(to.ip())].as_ref().map(|socket| socket.try_send_to(bytes, to));
        let Some(Err(error)) = sent else { return Ok(()) };
        self.unsent += 1;
        tracing::trace!(%to, %error, "packet not sent");
        if leads_nowhere(error.kind()) { Err(NoWay) } else { Ok(()) }
    }
}

/// This system knows no way to an address.
#[derive(Debug)]
pub(crate) struct NoWay;

const fn leads_nowhere(error: io::ErrorKind) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable, PermissionDenied};
    matches!(error, AddrNotAvailable | HostUnreachable | InvalidInput | NetworkUnreachable | PermissionDenied)
}

/// The index of an address's family.
pub(crate) const fn family(ip: IpAddr) -> usize {
    if ip.is_ipv4() { 0 } else { 1 }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES) {
        tracing::debug!(%error, "the receive buffer stays as it is");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) => drop(socket.readable().await),
        None => std::future::pending().await,
    }
}
