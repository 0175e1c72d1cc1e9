//! What a community can stand, in words.
use seedbank_types::{Genesis, Rule, ServerSet};

/// The quorum's rule with the number of servers that may fail.
pub(crate) fn guarantee(genesis: &Genesis) -> String {
    let (may_fail, count) = (may_fail(&genesis.servers, genesis.quorum), genesis.servers.count());
    match genesis.quorum {
        Rule::Majority => format!("majority: {may_fail} of {count} may crash; none may lie"),
        Rule::TwoThirds => format!("two-thirds: {may_fail} of {count} may crash or lie"),
    }
}

/// So many of the strongest servers may be gone, and the rest is still a quorum.
fn may_fail(servers: &ServerSet, rule: Rule) -> usize {
    let mut powers: Vec<u64> = servers.members().iter().map(|(_, power)| *power).collect();
    powers.sort_unstable_by(|a, b| b.cmp(a));
    let mut left = servers.total();
    let stands = powers.into_iter().take_while(|power| {
        left -= power;
        rule.is_quorum(left, servers.total())
    });
    stands.count()
}

#[cfg(test)]
mod tests {
    use seedbank_types::ServerSecret;

    use super::*;

    fn servers(powers: &[u64]) -> ServerSet {
        let key = |number: u8| ServerSecret::from_bytes(&[number; 32]).public();
        ServerSet::new((1..).map(key).zip(powers.iter().copied())).expect("a set")
    }

    #[test]
    fn a_quorum_stands_without_so_many_of_the_strongest() {
        for (powers, majority, two_thirds) in [
            (&[1][..], 0, 0),
            (&[1, 1], 0, 0),
            (&[1, 1, 1], 1, 0),
            (&[1, 1, 1, 1], 1, 1),
            (&[1, 1, 1, 1, 1], 2, 1),
            (&[5, 1, 1], 0, 0),
        ] {
            let servers = servers(powers);
            assert_eq!(may_fail(&servers, Rule::Majority), majority, "{powers:?}");
            assert_eq!(may_fail(&servers, Rule::TwoThirds), two_thirds, "{powers:?}");
        }
    }
}
