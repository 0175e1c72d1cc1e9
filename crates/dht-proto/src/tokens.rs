//! Tokens (BEP5): who gives one back has received it at the address it asked from.
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{Id, Time};

/// Bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 8;
/// A secret makes tokens for this long, and is accepted for as long again.
const SECRET_LASTS: Duration = Duration::from_secs(300);

/// The secrets from which tokens are made. Nothing is kept for a token that was given out.
pub(crate) struct Tokens {
    secret: [u8; 32],
    previous: Option<[u8; 32]>,
    since: Time,
}

impl Tokens {
    pub(crate) const fn new(secret: [u8; 32], now: Time) -> Self {
        Self { secret, previous: None, since: now }
    }

    /// A token for this address to store something under this target.
    pub(crate) fn issue(&self, ip: IpAddr, target: &Id) -> [u8; TOKEN_BYTES] {
        token(&self.secret, ip, target)
    }

    /// Whether this token was issued to this address for this target not long ago.
    pub(crate) fn verifies(&self, given: &[u8], ip: IpAddr, target: &Id) -> bool {
        given == token(&self.secret, ip, target)
            || self.previous.is_some_and(|secret| given == token(&secret, ip, target))
    }

    /// Whether it is time for another secret.
    pub(crate) fn due(&self, now: Time) -> bool {
        now.since(self.since) >= SECRET_LASTS
    }

    /// Makes tokens from this secret from now on.
    pub(crate) const fn rotate(&mut self, secret: [u8; 32], now: Time) {
        self.previous = Some(self.secret);
        self.secret = secret;
        self.since = now;
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("since", &self.since).finish_non_exhaustive()
    }
}

fn token(secret: &[u8; 32], ip: IpAddr, target: &Id) -> [u8; TOKEN_BYTES] {
    let hash = Sha256::new().chain_update(secret);
    let hash = match ip.to_canonical() {
        IpAddr::V4(ip) => hash.chain_update(ip.octets()),
        IpAddr::V6(ip) => hash.chain_update(ip.octets()),
    };
    let hash = hash.chain_update(target.0).finalize();
    let mut token = [0; TOKEN_BYTES];
    token.copy_from_slice(&hash[..TOKEN_BYTES]);
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Id = Id([7; 20]);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    #[test]
    fn token_holds_for_its_address_and_its_target_only() {
        let tokens = Tokens::new([1; 32], at(0));
        let token = tokens.issue(ip("192.0.2.1"), &TARGET);
        assert!(tokens.verifies(&token, ip("192.0.2.1"), &TARGET));
        assert!(tokens.verifies(&token, ip("::ffff:192.0.2.1"), &TARGET), "one address in two spellings");
        assert!(!tokens.verifies(&token, ip("192.0.2.2"), &TARGET));
        assert!(!tokens.verifies(&token, ip("192.0.2.1"), &Id([8; 20])));
        assert!(!tokens.verifies(&token[..7], ip("192.0.2.1"), &TARGET));
        assert!(!tokens.verifies(b"", ip("192.0.2.1"), &TARGET));
    }

    #[test]
    fn token_outlives_one_rotation_but_not_two() {
        let mut tokens = Tokens::new([1; 32], at(0));
        let token = tokens.issue(ip("2001:db8::1"), &TARGET);
        tokens.rotate([2; 32], at(300));
        assert_ne!(tokens.issue(ip("2001:db8::1"), &TARGET), token);
        assert!(tokens.verifies(&token, ip("2001:db8::1"), &TARGET));
        tokens.rotate([3; 32], at(600));
        assert!(!tokens.verifies(&token, ip("2001:db8::1"), &TARGET));
    }

    #[test]
    fn secret_is_due_every_five_minutes() {
        let mut tokens = Tokens::new([1; 32], at(10));
        assert!(!tokens.due(at(309)));
        assert!(tokens.due(at(310)));
        tokens.rotate([2; 32], at(400));
        assert!(!tokens.due(at(699)));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", Tokens::new([231; 32], at(0))).contains("231"));
    }
}
