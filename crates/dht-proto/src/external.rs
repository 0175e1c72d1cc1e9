//! What other nodes say our address is (BEP42), and when to believe them.
use std::net::IpAddr;

use crate::place::Network;

const VOTES_MAX: usize = 24;
/// So many must agree, each from another subnet.
const VOTES_NEEDED: usize = 4;

/// Votes on the own address in one family.
#[derive(Debug, Default)]
pub(crate) struct External {
    votes: Vec<(Network, IpAddr)>,
    address: Option<IpAddr>,
}

impl External {
    /// A node says how it sees us. True if the believed address changes by that. A subnet has one
    /// vote, its last one; local nodes have none, they see us from inside.
    pub(crate) fn vote(&mut self, voter: IpAddr, seen: IpAddr) -> bool {
        let Some(subnet) = Network::of(voter) else { return false };
        self.votes.retain(|(voted, _)| *voted != subnet);
        if self.votes.len() >= VOTES_MAX {
            self.votes.remove(0);
        }
        self.votes.push((subnet, seen));
        let agree = self.votes.iter().filter(|(_, address)| *address == seen).count();
        let believed = agree >= VOTES_NEEDED && 2 * agree > self.votes.len();
        believed && self.address.replace(seen) != Some(seen)
    }

    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn four_subnets_and_a_majority_are_believed_once() {
        let mut external = External::default();
        let voters = ["9.0.0.1", "9.0.1.1", "9.0.2.1", "9.0.3.1", "9.0.4.1"];
        let changes = voters.map(|voter| external.vote(ip(voter), ip("8.8.8.8")));
        assert_eq!(changes, [false, false, false, true, false]);
        assert_eq!(external.address(), Some(ip("8.8.8.8")));
    }

    #[test]
    fn one_subnet_has_one_vote_and_the_own_network_none() {
        let mut external = External::default();
        for host in 1..=20 {
            external.vote(ip(&format!("9.0.0.{host}")), ip("6.6.6.6"));
            external.vote(ip(&format!("10.0.{host}.1")), ip("6.6.6.6"));
        }
        assert_eq!(external.address(), None);
    }
}
