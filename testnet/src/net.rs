//! The addresses that the processes of a testnet get.
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

/// A block of loopback addresses, like `127.1.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    base: u32,
    size: u32,
}

/// Who uses which part of the net: each kind of process has 256 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `127.1.0.x`
    Servers = 0,
    /// `127.1.1.x`
    Dht = 1,
    /// `127.1.2.x`
    Seeders = 2,
    /// `127.1.3.x`
    Clients = 3,
}

/// The longest prefix that leaves room for all [`Part`]s.
const PREFIX_MAX: u32 = 22;

impl Net {
    /// Address `number` (from 1) of a part.
    #[must_use]
    pub fn address(&self, part: Part, number: u8) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 256 * part as u32 + u32::from(number))
    }

    /// The addresses of a network that exists only inside namespaces of its own.
    pub(crate) fn of_a_room() -> Self {
        Self { base: u32::from(Ipv4Addr::new(10, 77, 0, 0)), size: 1 << 16 }
    }

    /// Which address of which part this is.
    pub(crate) fn part(&self, address: Ipv4Addr) -> Option<(Part, u8)> {
        let offset = u32::from(address).checked_sub(self.base).filter(|offset| *offset < self.size)?;
        let part = [Part::Servers, Part::Dht, Part::Seeders, Part::Clients].get(usize::try_from(offset / 256).ok()?)?;
        Some((*part, u8::try_from(offset % 256).ok()?))
    }

    /// Whether an address belongs to the net.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address).checked_sub(self.base).is_some_and(|offset| offset < self.size)
    }
}

impl Default for Net {
    fn default() -> Self {
        Self { base: u32::from(Ipv4Addr::new(127, 1, 0, 0)), size: 1 << 16 }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), 32 - self.size.trailing_zeros())
    }
}

impl FromStr for Net {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (base, prefix) = text.split_once('/').context("write it like 127.1.0.0/16")?;
        let base: Ipv4Addr = base.parse().with_context(|| format!("{base:?} is not an IPv4 address"))?;
        let prefix: u32 = prefix.parse().with_context(|| format!("{prefix:?} is not a number of bits"))?;
        ensure!((8..=PREFIX_MAX).contains(&prefix), "the prefix must be between 8 and {PREFIX_MAX} bits, not {prefix}");
        ensure!(base.is_loopback(), "{base} is not a loopback address: a testnet stays on this machine");
        let size = 1 << (32 - prefix);
        ensure!(u32::from(base) % size == 0, "{base} is not the first address of a /{prefix} net");
        Ok(Self { base: u32::from(base), size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_own_addresses() {
        let net: Net = "127.9.0.0/16".parse().expect("a net");
        assert_eq!(net.address(Part::Servers, 1), Ipv4Addr::new(127, 9, 0, 1));
        assert_eq!(net.address(Part::Dht, 16), Ipv4Addr::new(127, 9, 1, 16));
        assert_eq!(net.address(Part::Clients, 255), Ipv4Addr::new(127, 9, 3, 255));
    }

    #[test]
    fn an_address_tells_its_part() {
        let net = Net::of_a_room();
        assert_eq!(net.to_string(), "10.77.0.0/16");
        assert_eq!(net.part(net.address(Part::Clients, 7)), Some((Part::Clients, 7)));
        assert_eq!(net.part(Ipv4Addr::new(10, 77, 4, 1)), None);
        assert_eq!(net.part(Ipv4Addr::new(10, 78, 0, 1)), None);
    }

    #[test]
    fn the_default_is_the_documented_net() {
        assert_eq!(Net::default(), "127.1.0.0/16".parse().expect("a net"));
        assert!(Net::default().contains(Ipv4Addr::new(127, 1, 255, 255)));
        assert!(!Net::default().contains(Ipv4Addr::new(127, 2, 0, 0)));
    }

    #[test]
    fn nets_beyond_loopback_and_nets_too_small_are_refused() {
        for text in ["10.0.0.0/16", "127.1.0.0/23", "127.1.0.0", "127.1.0.1/16", "127.1.0.0/x", "127.0.0.0/0"] {
            assert!(text.parse::<Net>().is_err(), "{text}");
        }
    }
}
