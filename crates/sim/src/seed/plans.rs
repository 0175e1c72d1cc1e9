//! The community that a seed makes.
use std::collections::BTreeMap;

use seedbank_types::Rule;

use super::Kind;
use crate::liar::Habit;
use crate::{Plan, Random};

pub(super) fn of_seed(seed: u64, kind: Kind) -> Plan {
    let mut random = Random::new(seed.wrapping_mul(0x5eed_5eed).wrapping_add(1));
    let (servers, rule) = random.pick(kind.shapes());
    let delays = [(1, 15), (1, 40), (5, 80), (20, 150)];
    let mut plan = Plan {
        seed,
        servers,
        rule,
        epoch_ms: random.pick(&[700, 1_000, 1_500, 2_500]),
        delay_ms: random.pick(&delays),
        late_percent: random.pick(&[0, 0, 1, 5]),
        loss_percent: random.pick(&[0, 1, 3, 8, 20]),
        duplicate_percent: random.pick(&[0, 0, 5, 30]),
        payments_per_second: random.between(2, 6),
        double_spend_percent: random.pick(&[0, 10]),
        crashes_per_million: random.pick(&[0, 100, 400, 1_500]),
        ..Plan::default()
    };
    if kind != Kind::TwoThirdsLiars && random.chance(20) {
        plan.powers = (0..servers).map(|_| random.between(1, 3)).collect();
    }
    plan.clocks_off_ms = (0..servers).map(|_| random.between(0, 2_000)).map(centred).collect();
    plan.liars = liars(&plan, kind, &mut random);
    plan
}

fn centred(off_ms: u64) -> i64 {
    i64::try_from(off_ms).expect("small") - 1_000
}

/// Liars with as little power as the rule stands; with a majority, where it stands none, one at times.
fn liars(plan: &Plan, kind: Kind, random: &mut Random) -> BTreeMap<usize, Vec<Habit>> {
    let mut lying = plan.clone();
    let wanted = match (kind, plan.rule) {
        (Kind::TwoThirdsLiars, _) => usize::from((plan.servers - 1) / 3),
        (Kind::MajorityLiar, _) => 1,
        (Kind::MajorityHonest, _) => 0,
        (Kind::Any, Rule::Majority) => usize::from(random.chance(25)),
        (Kind::Any, Rule::TwoThirds) => random.pick(&[0, 1, 1, 2]),
    };
    for _ in 0..wanted {
        let mut more = lying.clone();
        let mut habits = habits(random);
        if plan.rule == Rule::Majority {
            // Where nobody may lie, servers believe what others say of heights and rounds: these would
            // silence or delay them for longer than this waits.
            habits.retain(|habit| !matches!(habit, Habit::FalseStatus | Habit::Flood));
            habits.push(random.pick(&[Habit::Twin, Habit::TwoProposals, Habit::TwoCheckpoints]));
        }
        let mut liar = random.index(usize::from(plan.servers));
        while kind == Kind::TwoThirdsLiars && more.liars.contains_key(&liar) {
            liar = random.index(usize::from(plan.servers));
        }
        more.liars.insert(liar, habits);
        let power: u64 = more.liars.keys().map(|server| more.power(*server)).sum();
        let is_stood = !more.may_fork() || plan.rule == Rule::Majority;
        if is_stood && power <= plan.spare() {
            lying = more;
        }
    }
    lying.liars
}

fn habits(random: &mut Random) -> Vec<Habit> {
    let count = random.between(1, 3);
    let mut habits: Vec<Habit> = (0..count).map(|_| random.pick(&Habit::ALL)).collect();
    habits.sort_unstable();
    habits.dedup();
    habits
}
