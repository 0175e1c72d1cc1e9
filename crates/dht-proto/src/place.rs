//! Who counts as one. Ports cost nothing, and with IPv6 neither do addresses: what is shared out is shared out by place.
use std::net::{IpAddr, SocketAddr};

/// What one stranger is taken to have: an IPv4 address, or 64 bits of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    V4(u32),
    V6([u16; 4]),
}

/// Neighbours, who may well be one and the same: a /24 of IPv4, a /48 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Network {
    V4([u8; 3]),
    V6([u16; 3]),
}

/// A host, but on loopback a single socket: there everybody shares the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    host: Host,
    /// Zero beyond loopback.
    port: u16,
}

impl Host {
    pub(crate) const fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl Network {
    /// None for [local](is_local) addresses: there everything is one network, and nothing is told apart by it.
    pub(crate) const fn of(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            ip if is_local(ip) => None,
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Some(Self::V4([a, b, c]))
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                Some(Self::V6([a, b, c]))
            }
        }
    }
}

impl Place {
    pub(crate) const fn of(address: SocketAddr) -> Self {
        let port = if address.ip().to_canonical().is_loopback() { address.port() } else { 0 };
        Self { host: Host::of(address.ip()), port }
    }
}

/// Addresses of this machine and of private networks, which BEP42 exempts: they cost nothing, and whoever uses them
/// is among friends.
pub(crate) const fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Place {
        Place::of(address.parse().expect("an address"))
    }

    #[test]
    fn ports_make_no_places_beyond_loopback() {
        assert_eq!(place("192.0.2.1:1"), place("192.0.2.1:2"));
        assert_ne!(place("192.0.2.1:1"), place("192.0.2.2:1"));
        assert_ne!(place("127.0.0.1:1"), place("127.0.0.1:2"));
        assert_ne!(place("127.0.0.1:1"), place("127.0.0.2:1"));
        assert_ne!(place("[::1]:1"), place("[::1]:2"));
    }

    #[test]
    fn sixty_four_bits_of_ipv6_are_one_place() {
        assert_eq!(place("[2001:db8:1:2::1]:1"), place("[2001:db8:1:2:ffff::9]:2"));
        assert_ne!(place("[2001:db8:1:2::1]:1"), place("[2001:db8:1:3::1]:1"));
        assert_eq!(place("[::ffff:192.0.2.1]:7"), place("192.0.2.1:8"));
    }

    #[test]
    fn neighbours_share_a_network_unless_they_are_local() {
        let network = |ip: &str| Network::of(ip.parse().expect("an address"));
        assert_eq!(network("192.0.2.1"), network("192.0.2.255"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        for local in
            ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"]
        {
            assert_eq!(network(local), None, "{local}");
        }
    }
}
