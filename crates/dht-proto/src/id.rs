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
