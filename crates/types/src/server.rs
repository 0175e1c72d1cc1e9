//! Servers: Ed25519 keys, sets with powers, and the one function that knows the threshold.
use std::collections::BTreeMap;
use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::bytes::byte_string;
use crate::codec::{DecodeError, Reader, Writer, count_u8};
use crate::genesis::MAX_SERVERS;
use crate::{Grade, Hash};

byte_string!(
    /// Public key of a server (Ed25519, because BEP44 demands it).
    ServerKey, 32, "a server key"
);
byte_string!(
    /// Ed25519 signature of a server.
    Signature, 64, "a signature"
);

impl ServerKey {
    /// Whether `signature` over `message` is by this key, by the strict rules (no small-order
    /// keys, no second form of a signature).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        #[cfg(feature = "memoise")]
        return crate::memo::checked(&[&self.0, message, &signature.0], || self.check(message, signature));
        #[cfg(not(feature = "memoise"))]
        self.check(message, signature)
    }

    fn check(&self, message: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok())
    }

    /// Whether the bytes are a usable key at all.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }

    /// The first eight hex digits: for logs and people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

/// Secret key of a server. Wiped from memory when dropped.
#[derive(Clone)]
pub struct ServerSecret(SigningKey);

impl ServerSecret {
    /// The key of 32 secret bytes; all values are valid.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The secret bytes, for libraries that need the key itself.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> ServerKey {
        ServerKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a message; deterministic.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let signature = Signature(self.0.sign(message).to_bytes());
        #[cfg(feature = "memoise")]
        crate::memo::signed(&[&self.public().0, message, &signature.0]);
        signature
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerSecret(of {})", self.public().short())
    }
}

/// Which share of the power must agree.
///
/// With quorum power q of n the servers are safe while lying power < 2q - n (two quorums share
/// more than the liars) and live while faulty power <= n - q (the rest is a quorum).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// More than half: stands the crash of a minority; nobody may lie.
    Majority,
    /// More than two thirds: f of 3f + 1 may do anything.
    TwoThirds,
}

impl Rule {
    /// Whether `power` of `total` is a quorum. The only place that knows the thresholds; in u128,
    /// because three times a u64 does not fit a u64.
    #[must_use]
    pub const fn is_quorum(self, power: u64, total: u64) -> bool {
        match self {
            Self::Majority => 2 * power as u128 > total as u128,
            Self::TwoThirds => 3 * power as u128 > 2 * total as u128,
        }
    }

    /// The best grade that `power` of `total` reaches, if any.
    #[must_use]
    pub const fn grade(power: u64, total: u64) -> Option<Grade> {
        if Self::TwoThirds.is_quorum(power, total) {
            Some(Grade::Byzantine)
        } else if Self::Majority.is_quorum(power, total) {
            Some(Grade::Crash)
        } else {
            None
        }
    }

    /// The stricter of two rules.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        self.max(other)
    }

    /// The byte in a genesis.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Majority => 1,
            Self::TwoThirds => 2,
        }
    }

    /// The rule of a byte in a genesis.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Majority),
            2 => Some(Self::TwoThirds),
            _ => None,
        }
    }

    /// What the rule guarantees, for people.
    #[must_use]
    pub const fn guarantee(self) -> &'static str {
        match self {
            Self::Majority => "majority: a minority of the servers may crash; none may lie",
            Self::TwoThirds => "two-thirds: less than a third of the servers may crash or lie",
        }
    }
}

/// `majority` or `two-thirds`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Majority => "majority",
            Self::TwoThirds => "two-thirds",
        })
    }
}

impl std::str::FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "majority" => Ok(Self::Majority),
            "two-thirds" => Ok(Self::TwoThirds),
            other => Err(format!("quorum is {other:?}; it must be `majority` or `two-thirds`")),
        }
    }
}

/// Why keys and powers do not make a set of servers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerSetError {
    /// No server.
    #[error("a community needs at least one server")]
    Empty,
    /// More than the format allows.
    #[error("{0} servers are too many: at most {MAX_SERVERS}")]
    TooMany(usize),
    /// One key twice.
    #[error("server {0} is listed twice")]
    Duplicate(ServerKey),
    /// No power.
    #[error("server {0} has power 0")]
    NoPower(ServerKey),
    /// Not a usable Ed25519 key.
    #[error("{0} is not a usable Ed25519 public key")]
    BadKey(ServerKey),
    /// The sum does not fit.
    #[error("the powers together are too much: at most {POWER_TOTAL_MAX} works")]
    PowerOverflow,
}

/// Most power that a set may have together: three times as much still fits 64 bits, in which the
/// servers' agreement counts.
pub const POWER_TOTAL_MAX: u64 = u64::MAX / 3;

/// The servers of a community with their powers. A server's number is its place by key, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSet {
    members: Vec<(ServerKey, u64)>,
    total: u64,
}

impl ServerSet {
    /// Checks and sorts the members.
    pub fn new(members: impl IntoIterator<Item = (ServerKey, u64)>) -> Result<Self, ServerSetError> {
        let mut sorted = BTreeMap::new();
        let mut total = 0_u64;
        for (key, power) in members {
            if !key.is_valid() {
                return Err(ServerSetError::BadKey(key));
            }
            if power == 0 {
                return Err(ServerSetError::NoPower(key));
            }
            if sorted.insert(key, power).is_some() {
                return Err(ServerSetError::Duplicate(key));
            }
            let sum = total.checked_add(power).filter(|sum| *sum <= POWER_TOTAL_MAX);
            total = sum.ok_or(ServerSetError::PowerOverflow)?;
        }
        match sorted.len() {
            0 => Err(ServerSetError::Empty),
            n if n > MAX_SERVERS => Err(ServerSetError::TooMany(n)),
            _ => Ok(Self { members: sorted.into_iter().collect(), total }),
        }
    }

    /// Keys and powers by number.
    #[must_use]
    pub fn members(&self) -> &[(ServerKey, u64)] {
        &self.members
    }

    /// The keys by number.
    pub fn keys(&self) -> impl Iterator<Item = ServerKey> + '_ {
        self.members.iter().map(|(key, _)| *key)
    }

    /// How many servers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// All power together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The number of a server.
    #[must_use]
    pub fn number(&self, key: &ServerKey) -> Option<u8> {
        self.members.binary_search_by_key(key, |(member, _)| *member).ok().map(count_u8)
    }

    /// The server with a number.
    #[must_use]
    pub fn member(&self, number: u8) -> Option<(ServerKey, u64)> {
        self.members.get(usize::from(number)).copied()
    }

    /// H(`"seedbank/servers/1"` ‖ n u8 ‖ n x (key 32 ‖ power u64)).
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[b"seedbank/servers/1", &self.encode()])
    }

    /// `n u8 ‖ n x (key 32 ‖ power u64)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let start = Writer::with_capacity(1 + 40 * self.members.len()).u8(count_u8(self.members.len()));
        self.members.iter().fold(start, |writer, (key, power)| writer.bytes(&key.0).u64(*power)).finish()
    }

    /// Reads a set out of a longer format; keys must ascend.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.u8("number of servers")?;
        let mut members: Vec<(ServerKey, u64)> = Vec::with_capacity(MAX_SERVERS);
        for _ in 0..count {
            let key = ServerKey(reader.array("server key")?);
            if members.last().is_some_and(|(before, _)| *before >= key) {
                return Err(reader.error("server key", "keys do not ascend"));
            }
            members.push((key, reader.u64("server power")?));
        }
        Self::new(members).map_err(|error| reader.error("servers", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majority_is_more_than_half() {
        assert!(!Rule::Majority.is_quorum(1, 2));
        assert!(Rule::Majority.is_quorum(2, 3));
        assert!(!Rule::Majority.is_quorum(2, 4));
        assert!(Rule::Majority.is_quorum(u64::MAX, u64::MAX));
    }

    #[test]
    fn two_thirds_is_more_than_two_thirds() {
        assert!(!Rule::TwoThirds.is_quorum(2, 3));
        assert!(Rule::TwoThirds.is_quorum(3, 4));
        assert!(!Rule::TwoThirds.is_quorum(u64::MAX / 3 * 2, u64::MAX));
    }

    #[test]
    fn powers_that_the_agreement_cannot_count_are_an_error() {
        let keys = [1, 2].map(|n| ServerSecret::from_bytes(&[n; 32]).public());
        let set = |power| ServerSet::new([(keys[0], power), (keys[1], 1)]);
        assert!(set(POWER_TOTAL_MAX - 1).is_ok());
        assert_eq!(set(POWER_TOTAL_MAX), Err(ServerSetError::PowerOverflow));
        assert_eq!(set(u64::MAX), Err(ServerSetError::PowerOverflow));
    }

    #[test]
    fn a_server_listed_twice_is_an_error() {
        let key = ServerSecret::from_bytes(&[1; 32]).public();
        assert_eq!(ServerSet::new([(key, 1), (key, 2)]), Err(ServerSetError::Duplicate(key)));
        assert_eq!(ServerSet::new([(key, 0)]), Err(ServerSetError::NoPower(key)));
        assert_eq!(ServerSet::new([]), Err(ServerSetError::Empty));
    }
}
