//! Addresses and nodes as strings of fixed length: id, address and port, without anything between (BEP5, BEP32).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::NODES_MAX;
use crate::{ID_BYTES, Id, NodeInfo};

/// Bytes of an address with its port.
pub(super) const V4_BYTES: usize = 6;
pub(super) const V6_BYTES: usize = 18;

pub(super) fn push_address(to: &mut Vec<u8>, address: &SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => to.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => to.extend_from_slice(&ip.octets()),
    }
    to.extend_from_slice(&address.port().to_be_bytes());
}

pub(super) fn address(address: &SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(V6_BYTES);
    push_address(&mut bytes, address);
    bytes
}

/// Nodes of one family; those of the other one would not be understood there.
pub(super) fn nodes(nodes: &[NodeInfo], v6: bool) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    nodes.iter().filter(|node| node.address.is_ipv6() == v6).for_each(|node| push_node(&mut bytes, node));
    (!bytes.is_empty()).then_some(bytes)
}

pub(crate) fn push_node(to: &mut Vec<u8>, node: &NodeInfo) {
    to.extend_from_slice(&node.id.0);
    push_address(to, &node.address);
}

/// None if it has neither length, or is IPv4 in the clothes of IPv6, which reaches nobody.
pub(super) fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip: IpAddr = match ip.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        _ => return None,
    };
    (ip == ip.to_canonical()).then(|| SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// An address to which something can be sent.
pub(super) fn read_contact(bytes: &[u8]) -> Option<SocketAddr> {
    read_address(bytes).filter(|address| address.port() != 0)
}

/// Nodes with addresses of so many bytes; none at all if there is a rest.
pub(super) fn read_nodes(bytes: &[u8], address_bytes: usize) -> Vec<NodeInfo> {
    let chunks = bytes.chunks_exact(ID_BYTES + address_bytes);
    if chunks.remainder().is_empty() { chunks.filter_map(read_node).take(NODES_MAX).collect() } else { vec![] }
}

pub(crate) fn read_node(bytes: &[u8]) -> Option<NodeInfo> {
    let (id, address) = bytes.split_first_chunk::<ID_BYTES>()?;
    Some(NodeInfo { id: Id(*id), address: read_contact(address)? })
}
