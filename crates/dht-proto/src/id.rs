//! The 160-bit space in which nodes, torrents and items live (BEP5), and node ids that follow from an address (BEP42).
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crc::{CRC_32_ISCSI, Crc, Table};
use seedbank_types::InfoHash;

use crate::place::is_local;

/// Bytes of an id.
pub const ID_BYTES: usize = 20;
/// Bits of an id.
pub const ID_BITS: u32 = 160;

/// CRC-32C, called ISCSI by the catalogue of checksums.
const CRC32C: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);
/// The bits of an address that count (BEP42): the nearer to one owner, the fewer of them.
const V4_MASK: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
const V6_MASK: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];
/// How many leading bits of an id follow from the address.
const BOUND_BITS: u32 = 21;

/// A point of the 160-bit space: a node, an infohash or the target of an item.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub [u8; ID_BYTES]);

/// How far two points are from each other: their exclusive or, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance(pub [u8; ID_BYTES]);

/// A node of the DHT: who, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeInfo {
    /// Its id, as it says itself.
    pub id: Id,
    /// Where it is.
    pub address: SocketAddr,
}

impl Id {
    /// The id of 40 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        text.parse::<InfoHash>().ok().map(Self::from)
    }

    /// How far it is from here to there; the same both ways.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        Distance(std::array::from_fn(|at| self.0[at] ^ other.0[at]))
    }

    /// How many leading bits are equal: [`ID_BITS`] if all are.
    #[must_use]
    pub fn shared_prefix(&self, other: &Self) -> u32 {
        self.distance(other).leading_zeros()
    }

    /// This id, which should be random, moved to where exactly `bits` leading bits are shared with `of`.
    /// A look-up for it refreshes that part of a routing table.
    #[must_use]
    pub fn with_prefix_of(self, of: &Self, bits: u32) -> Self {
        if bits >= ID_BITS {
            return *of;
        }
        let mut differing = *of;
        let (byte, bit) = ((bits / 8) as usize, 0x80 >> (bits % 8));
        differing.0[byte] ^= bit;
        Self(std::array::from_fn(|at| {
            let kept = prefix_mask(bits + 1, at);
            differing.0[at] & kept | self.0[at] & !kept
        }))
    }

    /// Whether a node at this address may call itself so (BEP42). Addresses of private networks,
    /// link-local ones and loopback are exempt.
    #[must_use]
    pub fn follows_from(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_local(ip) || self.shared_prefix(&Self::following_from(ip, self.0)) >= BOUND_BITS
    }

    /// The id of a node at this address (BEP42); what does not follow from the address is random.
    #[must_use]
    pub fn following_from(ip: IpAddr, random: [u8; ID_BYTES]) -> Self {
        let sum = match ip.to_canonical() {
            IpAddr::V4(ip) => address_sum(&ip.octets(), V4_MASK, random[ID_BYTES - 1]),
            IpAddr::V6(ip) => address_sum(&ip.octets(), V6_MASK, random[ID_BYTES - 1]),
        }
        .to_be_bytes();
        let kept = |at| prefix_mask(BOUND_BITS, at);
        Self(std::array::from_fn(|at| sum.get(at).map_or(0, |byte| byte & kept(at)) | random[at] & !kept(at)))
    }
}

impl Distance {
    fn leading_zeros(&self) -> u32 {
        match (0..).zip(self.0).find(|(_, byte)| *byte != 0) {
            Some((at, byte)) => 8 * at + byte.leading_zeros(),
            None => ID_BITS,
        }
    }
}

/// The bits of byte `at` that are among the first `bits` of an id.
fn prefix_mask(bits: u32, at: usize) -> u8 {
    match (bits as usize).saturating_sub(8 * at) {
        0 => 0,
        left @ 1..8 => !(0xff >> left),
        _ => 0xff,
    }
}

fn address_sum<const LENGTH: usize>(octets: &[u8], mask: [u8; LENGTH], random: u8) -> u32 {
    let mut masked: [u8; LENGTH] = std::array::from_fn(|at| octets[at] & mask[at]);
    masked[0] |= (random & 7) << 5;
    CRC32C.checksum(&masked)
}

impl From<InfoHash> for Id {
    fn from(info_hash: InfoHash) -> Self {
        Self(info_hash.0)
    }
}

impl From<Id> for InfoHash {
    fn from(id: Id) -> Self {
        Self(id.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::{ID_BITS, Id, IpAddr};

    /// Address, random byte and an id of that node, from BEP42.
    const BEP42: [(&str, u8, &str); 5] = [
        ("124.31.75.21", 1, "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
        ("21.75.31.124", 86, "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
        ("65.23.51.170", 22, "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
        ("84.124.73.14", 65, "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
        ("43.213.53.83", 90, "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn id(text: &str) -> Id {
        Id::from_hex(text).expect("an id")
    }

    #[test]
    fn ids_of_bep42_follow_from_their_addresses() {
        for (address, random, node) in BEP42 {
            let node = id(node);
            assert_eq!(node.0[19], random);
            assert!(node.follows_from(ip(address)), "{address}");
            assert!(node.follows_from(ip(&format!("::ffff:{address}"))), "{address}");
            assert_eq!(Id::following_from(ip(address), node.0), node, "{address}");
        }
    }

    #[test]
    fn ids_do_not_follow_from_other_addresses() {
        let (_, _, node) = BEP42[0];
        assert!(!id(node).follows_from(ip("8.8.8.8")));
        assert!(!id(node).follows_from(ip("2001:db8::1")));
        let mut other = id(node);
        other.0[2] ^= 0x08;
        assert!(!other.follows_from(ip(BEP42[0].0)), "the 21st bit counts");
        other.0[2] ^= 0x08 | 0x04;
        assert!(other.follows_from(ip(BEP42[0].0)), "the 22nd does not");
    }

    #[test]
    fn ipv6_ids_follow_from_the_first_64_bits() {
        let node = Id::following_from(ip("2001:4860:4860::8888"), [0xa5; 20]);
        assert!(node.follows_from(ip("2001:4860:4860::8844")));
        assert!(!node.follows_from(ip("2a00:1450:4001::8844")));
        assert_eq!(node.0[3..], [0xa5; 17]);
    }

    #[test]
    fn local_addresses_are_exempt() {
        for address in
            ["127.0.0.1", "10.1.2.3", "172.16.9.9", "192.168.0.7", "169.254.1.1", "::1", "fe80::1", "fd00::1"]
        {
            assert!(Id([0x77; 20]).follows_from(ip(address)), "{address}");
        }
    }

    #[test]
    fn the_distance_is_the_exclusive_or() {
        let (a, b) = (Id([0x0f; 20]), Id([0xff; 20]));
        assert_eq!(a.distance(&b).0, [0xf0; 20]);
        assert_eq!(a.distance(&b), b.distance(&a));
        assert!(a.distance(&a) < a.distance(&b));
    }

    #[test]
    fn shared_bits_are_counted_from_the_front() {
        let own = Id([0; 20]);
        assert_eq!(own.shared_prefix(&own), ID_BITS);
        for bits in 0..ID_BITS {
            let mut other = own;
            other.0[(bits / 8) as usize] = 0x80 >> (bits % 8);
            assert_eq!(own.shared_prefix(&other), bits);
        }
    }

    #[test]
    fn exactly_so_many_bits_are_shared_and_the_rest_is_random() {
        let (of, random) = (Id([0b1010_0110; 20]), Id([0b0101_1100; 20]));
        for bits in 0..ID_BITS {
            let moved = random.with_prefix_of(&of, bits);
            assert_eq!(moved.shared_prefix(&of), bits);
            let after = (bits / 8 + 1) as usize;
            assert_eq!(moved.0[after..], random.0[after..]);
        }
        assert_eq!(random.with_prefix_of(&of, ID_BITS), of);
    }

    #[test]
    fn ids_are_forty_hex_digits() {
        assert_eq!(id(BEP42[0].2).to_string(), BEP42[0].2);
        assert_eq!(Id::from_hex("5fbfbf"), None);
        assert_eq!(Id::from_hex(&"zz".repeat(20)), None);
    }
}
