//! A thousand real nodes in a virtual network: how fast records are found, and how surely, while nodes die, come and
//! go, packets get lost, and strangers crowd around a key. `examples/churn.rs` runs the same at full length.
#[path = "simulation/figures.rs"]
mod figures;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/record.rs"]
mod record;
#[path = "simulation/study.rs"]
mod study;
#[path = "simulation/sybil.rs"]
mod sybil;

use std::time::Duration;

use net::{Link, Net};
use study::{Plan, Siege, churn, eclipse, latency};

const PLAN: Plan = Plan {
    seed: 1,
    nodes: 1_000,
    link: Link {
        latency: Duration::from_millis(40),
        jitter: Duration::from_millis(20),
        detour: Duration::ZERO,
        loss_per_million: 0,
    },
    settle: Duration::from_secs(5 * 60),
    tries: 600,
};

#[test]
fn a_record_is_found_fast_though_a_tenth_of_the_nodes_is_dead() {
    let (world, rows) = latency(PLAN, 10);
    for tally in [&world.fresh, &world.old] {
        assert_eq!(tally.missed, 0, "{}", rows.table());
        assert!(tally.first.percentile(50) <= Duration::from_millis(300), "{}", rows.table());
        assert!(tally.first.percentile(99) <= Duration::from_secs(2), "{}", rows.table());
    }
}

#[test]
fn records_of_three_servers_outlive_churn_and_loss() {
    let link = Link { loss_per_million: 20_000, ..PLAN.link };
    let plan = Plan { seed: 2, nodes: 200, link, tries: 1_000, ..PLAN };
    let (world, rows) = churn(plan, 2);
    assert_eq!(world.fresh.missed + world.old.missed, 0, "{}", rows.table());
    let outdated = world.fresh.outdated + world.old.outdated;
    assert_eq!(outdated, 0, "{}", rows.table());
}

#[test]
fn a_besieged_key_is_made_up_for_by_the_others() {
    for (siege, gives_old) in [(Siege::FewSubnets, false), (Siege::ManySubnets, true)] {
        let plan = Plan { seed: 3, nodes: 200, tries: 100, ..PLAN };
        let (world, rows) = eclipse(plan, siege, gives_old);
        let missed = world.fresh.missed + world.old.missed;
        let outdated = world.fresh.outdated + world.old.outdated;
        assert_eq!((missed, outdated), (0, 0), "{siege:?}\n{}", rows.table());
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut net = Net::new(seed, Link::default());
        net.populate(30, Duration::from_secs(600));
        (net.sent.packets, net.sent.bytes)
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}
