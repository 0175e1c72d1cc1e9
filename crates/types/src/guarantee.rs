//! What a set of servers stands under a rule.
use std::fmt;

use crate::{Rule, ServerSet};

/// The guarantee in force: how many servers may fail, and in which way.
///
/// It counts the strongest servers first, so it holds whichever ones fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarantee {
    /// Whose agreement is enough.
    pub rule: Rule,
    /// How many servers there are.
    pub servers: usize,
    /// Their power together.
    pub power: u64,
    /// The least power that is a quorum.
    pub power_needed: u64,
    /// So many may crash, and the others go on.
    pub may_crash: usize,
    /// So many may do anything, and the others agree on one truth and go on.
    pub may_lie: usize,
    /// Whether all have the same power: then heads count.
    pub is_even: bool,
}

impl Guarantee {
    /// What these servers stand under this rule.
    ///
    /// With quorum power q of n, a set is live while the power that fails is at most n - q, and safe
    /// while the power that lies is below 2q - n. Under two thirds the first is the smaller; under a
    /// majority two quorums may share one server alone, so nobody may lie.
    #[must_use]
    pub fn of(servers: &ServerSet, rule: Rule) -> Self {
        let may_crash = may_crash(servers, rule);
        let mut powers = servers.members().iter().map(|(_, power)| *power);
        let first = powers.next();
        Self {
            rule,
            servers: servers.count(),
            power: servers.total(),
            power_needed: least_quorum(servers.total(), rule),
            may_crash,
            may_lie: if rule == Rule::TwoThirds { may_crash } else { 0 },
            is_even: powers.all(|power| Some(power) == first),
        }
    }
}

/// So many of the strongest servers may be gone, and the rest is still a quorum.
fn may_crash(servers: &ServerSet, rule: Rule) -> usize {
    let mut powers: Vec<u64> = servers.members().iter().map(|(_, power)| *power).collect();
    powers.sort_unstable_by(|a, b| b.cmp(a));
    let mut left = servers.total();
    let stands = powers.into_iter().take_while(|power| {
        left -= power;
        rule.is_quorum(left, servers.total())
    });
    stands.count()
}

/// Between power that is none and all of it, found by halving.
fn least_quorum(total: u64, rule: Rule) -> u64 {
    let (mut none, mut enough) = (0, total);
    while enough - none > 1 {
        let middle = none + (enough - none) / 2;
        if rule.is_quorum(middle, total) {
            enough = middle;
        } else {
            none = middle;
        }
    }
    enough
}

/// For people: `majority: 2 of 5 may crash; none may lie`.
impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, servers, may_crash, may_lie, .. } = self;
        match may_lie {
            0 => write!(f, "{rule}: {may_crash} of {servers} may crash; none may lie")?,
            _ => write!(f, "{rule}: {may_crash} of {servers} may crash or lie")?,
        }
        if self.is_even {
            return Ok(());
        }
        write!(f, " (power {} of {} must agree)", self.power_needed, self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerSecret;

    fn servers(powers: &[u64]) -> ServerSet {
        let key = |number: u8| ServerSecret::from_bytes(&[number; 32]).public();
        ServerSet::new((1..).map(key).zip(powers.iter().copied())).expect("a set")
    }

    #[test]
    fn a_quorum_stands_without_so_many_of_the_strongest() {
        for (powers, majority, two_thirds) in [
            (&[1][..], 0, 0),
            (&[1; 2], 0, 0),
            (&[1; 3], 1, 0),
            (&[1; 4], 1, 1),
            (&[1; 5], 2, 1),
            (&[1; 7], 3, 2),
            (&[5, 1, 1], 0, 0),
            (&[2, 2, 1, 1, 1], 1, 1),
        ] {
            let servers = servers(powers);
            let of = |rule| Guarantee::of(&servers, rule);
            let (crash, lie) = (of(Rule::Majority), of(Rule::TwoThirds));
            assert_eq!((crash.may_crash, crash.may_lie), (majority, 0), "{powers:?}");
            assert_eq!((lie.may_crash, lie.may_lie), (two_thirds, two_thirds), "{powers:?}");
            for guarantee in [crash, lie] {
                assert!(guarantee.rule.is_quorum(guarantee.power_needed, guarantee.power));
                assert!(!guarantee.rule.is_quorum(guarantee.power_needed - 1, guarantee.power));
            }
        }
    }

    #[test]
    fn people_read_what_may_fail() {
        let of = |powers: &[u64], rule| Guarantee::of(&servers(powers), rule).to_string();
        assert_eq!(of(&[1; 5], Rule::Majority), "majority: 2 of 5 may crash; none may lie");
        assert_eq!(of(&[1; 7], Rule::TwoThirds), "two-thirds: 2 of 7 may crash or lie");
        let weighted = "majority: 0 of 3 may crash; none may lie (power 4 of 7 must agree)";
        assert_eq!(of(&[5, 1, 1], Rule::Majority), weighted);
    }
}
