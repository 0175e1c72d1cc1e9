//! What other nodes say our address is (BEP42), and when to believe them.
use std::net::IpAddr;
use std::time::Duration;

use crate::Time;
use crate::place::{Network, is_local};

const VOTES_MAX: usize = 24;
/// So many must agree, each from another subnet.
const VOTES_NEEDED: usize = 4;
/// What is believed changes no more often: with each change the node moves to other neighbours.
const CHANGE_PAUSE: Duration = Duration::from_secs(600);

/// Votes on the own address in one family.
#[derive(Debug, Default)]
pub(crate) struct External {
    votes: Vec<(Network, IpAddr)>,
    address: Option<IpAddr>,
    changed: Option<Time>,
}

impl External {
    /// A node says how it sees us. True if the believed address changes by that. A subnet has one
    /// vote, its last one; local nodes have none, they see us from inside. Nor has anybody one on what is no address
    /// in the world, or one of a family in which he has not seen us.
    pub(crate) fn vote(&mut self, voter: IpAddr, seen: IpAddr, now: Time) -> bool {
        let Some(subnet) = Network::of(voter).filter(|_| is_global(seen) && voter.is_ipv4() == seen.is_ipv4()) else {
            return false;
        };
        self.votes.retain(|(voted, _)| *voted != subnet);
        if self.votes.len() >= VOTES_MAX {
            self.votes.remove(0);
        }
        self.votes.push((subnet, seen));
        let agree = self.votes.iter().filter(|(_, address)| *address == seen).count();
        let is_believed = agree >= VOTES_NEEDED && 2 * agree > self.votes.len();
        let is_early = self.changed.is_some_and(|changed| now.since(changed) < CHANGE_PAUSE);
        let changes = is_believed && !is_early && self.address != Some(seen);
        if changes {
            (self.address, self.changed) = (Some(seen), Some(now));
        }
        changes
    }

    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

/// Whether a host in the world can have this address, written as what it is.
fn is_global(ip: IpAddr) -> bool {
    let is_broadcast = ip == IpAddr::from([255; 4]);
    ip == ip.to_canonical() && !is_local(ip) && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    /// Voters of four networks say at this time that they see us there: whether that changed what is believed.
    fn seen_by_four(external: &mut External, voters: [&str; 4], seen: &str, now: Time) -> bool {
        voters.map(|voter| external.vote(ip(voter), ip(seen), now)).contains(&true)
    }

    const V4: [&str; 4] = ["9.0.0.1", "9.0.1.1", "9.0.2.1", "9.0.3.1"];
    const V6: [&str; 4] = ["2001:1:1::1", "2001:1:2::1", "2001:1:3::1", "2001:1:4::1"];

    #[test]
    fn four_subnets_and_a_majority_are_believed_once() {
        for (voters, fifth, seen) in [(V4, "9.0.4.1", "8.8.8.8"), (V6, "2001:1:5::1", "2001:8::8")] {
            let mut external = External::default();
            let changes = voters.map(|voter| external.vote(ip(voter), ip(seen), at(0)));
            assert_eq!(changes, [false, false, false, true]);
            assert!(!external.vote(ip(fifth), ip(seen), at(9_999)));
            assert_eq!(external.address(), Some(ip(seen)));
        }
    }

    #[test]
    fn one_subnet_has_one_vote_and_the_own_network_none() {
        let mut external = External::default();
        for host in 1..=20 {
            external.vote(ip(&format!("9.0.0.{host}")), ip("6.6.6.6"), at(0));
            external.vote(ip(&format!("10.0.{host}.1")), ip("6.6.6.6"), at(0));
        }
        assert_eq!(external.address(), None);
    }

    #[test]
    fn nobody_votes_on_the_address_of_the_other_family() {
        let mut external = External::default();
        assert!(!seen_by_four(&mut external, V4, "2001:8::8", at(0)));
        assert!(!seen_by_four(&mut external, V6, "8.8.8.8", at(0)));
        assert_eq!(external.address(), None);
    }

    #[test]
    fn what_cannot_be_an_address_in_the_world_is_not_believed() {
        let v4 = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"];
        let v6 = ["::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1"];
        let seen = v4.map(|seen| (V4, seen)).into_iter().chain(v6.map(|seen| (V6, seen)));
        for (voters, seen) in seen {
            let mut external = External::default();
            assert!(!seen_by_four(&mut external, voters, seen, at(0)), "{seen}");
            assert_eq!(external.address(), None);
        }
    }

    #[test]
    fn believed_address_changes_once_in_ten_minutes() {
        for (voters, homes) in [(V4, ["8.8.8.8", "7.7.7.7"]), (V6, ["2001:8::8", "2001:7::7"])] {
            let mut external = External::default();
            assert!(seen_by_four(&mut external, voters, homes[0], at(10)));
            assert!(!seen_by_four(&mut external, voters, homes[1], at(609)));
            assert_eq!(external.address(), Some(ip(homes[0])));
            assert!(seen_by_four(&mut external, voters, homes[1], at(610)));
            assert_eq!(external.address(), Some(ip(homes[1])));
        }
    }
}
