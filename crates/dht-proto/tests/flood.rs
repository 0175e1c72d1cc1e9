//! A node under 20,000 hostile packets a second, in virtual time: it keeps its bounds, sends no more to
//! addresses that proved nothing than came from them, and honest look-ups go on.
#[path = "flood/allocated.rs"]
mod allocated;
#[path = "flood/hostile.rs"]
mod hostile;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/record.rs"]
mod record;
#[path = "simulation/sybil.rs"]
mod sybil;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hostile::Hostile;
use net::{Count, HostId, Link, Net};
use record::{Record, Try};

const SECONDS: u32 = 20;
const PACKETS_A_MILLISECOND: u32 = 20;
const GROWTH_MAX: usize = 30 << 20;

static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_flood_neither_fills_nor_silences_nor_abuses_a_node() {
    let found = flooded(SECONDS, |hostile| hostile);
    assert_eq!(found, [SECONDS, SECONDS], "honest look-ups are answered");
}

/// Strangers share what may be sent to strangers, so that some of them wait; but not all, and nobody else does.
#[test]
fn a_flood_of_the_shortest_questions_leaves_room_for_newcomers() {
    let [by_node, by_newcomers] = flooded(SECONDS, Hostile::smallest_only);
    assert_eq!(by_node, SECONDS, "the node's own look-ups go on");
    assert!(by_newcomers * 5 >= SECONDS, "{by_newcomers} of {SECONDS} newcomers got through");
}

/// Floods a node for some seconds: how many of its own look-ups found what they sought, and how many
/// of those of newcomers who know nobody else, one of each a second.
fn flooded(seconds: u32, mix: impl Fn(Hostile) -> Hostile) -> [u32; 2] {
    // What is held is counted for the whole process: one flood at a time.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut net = Net::new(1, Link::default());
    net.populate(40, Duration::from_secs(60));
    let node = net.join(true);
    net.run_for(Duration::from_secs(120));
    let records = put_records(&mut net);
    let known = records.iter().map(|record| record.target).collect();
    let hostile = mix(Hostile::new(1, known, 2_000));
    let mut attack = Attack { hostile, node, spoofed: Count::default(), strays: Count::default() };
    let before = allocated::held();
    let mut tries = vec![];
    for second in 0..seconds {
        tries.extend(ask(&mut net, &records, node, second));
        (0..1_000).for_each(|_| attack.millisecond(&mut net));
        let growth = allocated::held().saturating_sub(before);
        assert!(growth < GROWTH_MAX, "{growth} bytes more after {second} seconds");
    }
    net.run_for(Duration::from_secs(10));
    let Attack { spoofed, strays, .. } = attack;
    assert!(strays.bytes <= spoofed.bytes, "{strays:?} for {spoofed:?}");
    let health = net.node(node).expect("it serves").health(net.now);
    assert!(health.items <= 8_000 && health.peers <= 20_000 && health.tasks < 200, "{health:?}");
    found(&mut net, tries, node)
}

struct Attack {
    hostile: Hostile,
    node: HostId,
    /// What came from addresses that are not the attacker's, and what was sent there.
    spoofed: Count,
    strays: Count,
}

impl Attack {
    fn millisecond(&mut self, net: &mut Net) {
        for _ in 0..PACKETS_A_MILLISECOND {
            let (from, bytes) = self.hostile.packet();
            if !Hostile::owns(&from) {
                self.spoofed.add(&bytes);
            }
            net.inject(from, self.node, &bytes);
        }
        net.run_for(Duration::from_millis(1));
        for (to, bytes) in net.strays() {
            if Hostile::owns(&to) {
                self.hostile.hear(to, &bytes);
            } else {
                self.strays.add(&bytes);
            }
        }
    }
}

fn put_records(net: &mut Net) -> Vec<Record> {
    let server = net.join(true);
    net.run_for(Duration::from_secs(60));
    let mut records: Vec<_> = (0..10).map(|_| Record::new(net, server, net.now)).collect();
    records.iter_mut().for_each(|record| record.go_on(net));
    net.run_for(Duration::from_secs(10));
    net.told().iter().for_each(|told| records.iter_mut().for_each(|record| record.hear(told)));
    assert!(records.iter().all(|record| record.seq == 1), "the records are stored");
    records
}

/// One question by the node itself, and one by a client that knows nobody else.
fn ask(net: &mut Net, records: &[Record], node: HostId, second: u32) -> [Try; 2] {
    let address = net.address(node);
    let client = net.join_at(false, vec![address]);
    let which = [usize::try_from(second).expect("few seconds") % records.len()];
    [node, client].map(|asker| Try::begin(net, asker, true, records, &which))
}

fn found(net: &mut Net, mut tries: Vec<Try>, node: HostId) -> [u32; 2] {
    for told in net.told() {
        if let Some(attempt) = tries.iter_mut().find(|attempt| attempt.asked.contains_key(&told.task)) {
            attempt.hear(told);
        }
    }
    let has_found = |attempt: &&Try| attempt.asked.values().all(|asked| asked.seq == Some(1));
    let (by_node, by_newcomers): (Vec<_>, Vec<_>) =
        tries.iter().filter(has_found).partition(|attempt| attempt.client == node);
    [by_node, by_newcomers].map(|found| u32::try_from(found.len()).expect("few tries"))
}
