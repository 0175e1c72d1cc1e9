use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::Strategy;

use super::*;

fn at_ms(milliseconds: u64) -> Time {
    Time(Duration::from_millis(milliseconds))
}

fn at(seconds: u64) -> Time {
    at_ms(seconds * 1_000)
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A stranger somewhere in the world.
fn stranger(number: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(0x0900_0000 + number), 6881).into()
}

fn admitted(limits: &mut Limits, from: SocketAddr, queries: u32, now: Time) -> usize {
    (0..queries).filter(|_| limits.admits(from, now)).count()
}

fn sent(limits: &mut Limits, to: SocketAddr, packets: u32, now: Time) -> usize {
    (0..packets).filter(|_| limits.may_send(to, 1_024, now)).count()
}

#[test]
fn one_address_asks_two_hundred_at_once_and_then_fifty_a_second() {
    let mut limits = Limits::new(at(0));
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at(0)), 200);
    assert_eq!(admitted(&mut limits, stranger(2), 5_000, at(0)), 200, "another one has its own");
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at(1)), 50);
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at_ms(1_100)), 5);
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at(100)), 200, "no more than this is saved up");
}

#[test]
fn program_of_this_machine_asks_a_thousand_at_once_and_then_five_hundred_a_second() {
    for neighbour in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:2"].map(address) {
        let mut limits = Limits::new(at(0));
        assert_eq!(admitted(&mut limits, neighbour, 5_000, at(0)), 1_000);
        assert_eq!(admitted(&mut limits, neighbour, 5_000, at(1)), 500);
    }
}

#[test]
fn another_port_is_another_asker_on_loopback_only() {
    let mut limits = Limits::new(at(0));
    assert_eq!(admitted(&mut limits, address("9.0.0.1:1"), 200, at(0)), 200);
    assert!(!limits.admits(address("9.0.0.1:2"), at(0)));
    assert_eq!(admitted(&mut limits, address("[2001:db8::1]:1"), 200, at(0)), 200);
    assert!(!limits.admits(address("[2001:db8::2]:1"), at(0)), "one /64 is one asker");
    assert_eq!(admitted(&mut limits, address("127.0.0.1:1"), 1_000, at(0)), 1_000);
    assert!(limits.admits(address("127.0.0.1:2"), at(0)));
}

#[test]
fn who_asks_too_much_is_not_forgotten_because_many_others_ask() {
    let mut limits = Limits::new(at(0));
    admitted(&mut limits, stranger(0), 200, at(0));
    for number in 1..20_000 {
        assert!(limits.admits(stranger(number), at(0)), "a new one is always heard");
    }
    assert!(!limits.admits(stranger(0), at(0)));
    assert_eq!(limits.queries.len(), PLACES_MAX);
}

#[test]
fn proof_lasts_ten_minutes_and_is_renewed() {
    let mut limits = Limits::new(at(0));
    assert!(!limits.is_proved(stranger(1), at(0)));
    limits.proved(stranger(1), at(0));
    assert!(limits.is_proved(stranger(1), at(599)));
    assert!(!limits.is_proved(stranger(1), at(600)));
    limits.proved(stranger(1), at(599));
    assert!(limits.is_proved(stranger(1), at(1_198)));
    assert!(!limits.is_proved(stranger(2), at(599)));
}

#[test]
fn of_many_proofs_the_oldest_are_forgotten() {
    let mut limits = Limits::new(at(0));
    for number in 0..=4_096 {
        limits.proved(stranger(number), at_ms(number.into()));
    }
    assert_eq!(limits.proofs.len(), PLACES_MAX);
    assert!(!limits.is_proved(stranger(0), at(5)));
    assert!(limits.is_proved(stranger(1), at(5)));
}

#[test]
fn proved_address_is_sent_a_quarter_of_a_mebibyte_at_once_and_then_64_kib_a_second() {
    let mut limits = Limits::new(at(0));
    limits.proved(stranger(1), at(0));
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(1)), 256);
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(2)), 64);
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(100)), 256, "no more than this is saved up");
    assert_eq!(sent(&mut limits, stranger(2), 8, at(1)), 8, "and the others lose nothing by it");
}

#[test]
fn proved_program_of_this_machine_is_sent_everything() {
    let mut limits = Limits::new(at(0));
    limits.proved(address("127.0.0.1:1"), at(0));
    assert_eq!(sent(&mut limits, address("127.0.0.1:1"), 100_000, at(1)), 100_000);
    assert_eq!(sent(&mut limits, address("127.0.0.1:2"), 100, at(1)), 8, "each proves itself");
}

#[test]
fn one_unproved_address_is_sent_8_kib_at_once_and_then_1_kib_a_second() {
    let mut limits = Limits::new(at(0));
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(0)), 8);
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(1)), 1);
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(100)), 8, "no more than this is saved up");
}

#[test]
fn three_times_what_an_unproved_address_sent_may_go_back_there_and_nowhere_else() {
    let mut limits = Limits::new(at(0));
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(0)), 8);
    assert_eq!(sent(&mut limits, stranger(2), 10_000, at(0)), 8);
    limits.received(stranger(1), 1_024, at(0));
    assert_eq!(sent(&mut limits, stranger(2), 10_000, at(0)), 0);
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(0)), 3);
}

#[test]
fn unproved_address_is_short_when_less_than_half_of_its_allowance_is_left() {
    let mut limits = Limits::new(at(0));
    assert!(!limits.is_short(stranger(1), at(0)));
    assert_eq!(sent(&mut limits, stranger(1), 4, at(0)), 4);
    assert!(!limits.is_short(stranger(1), at(0)));
    assert!(limits.may_send(stranger(1), 1, at(0)) && limits.is_short(stranger(1), at(0)));
    limits.received(stranger(1), 1, at(0));
    assert!(!limits.is_short(stranger(1), at(0)));
    assert_eq!(sent(&mut limits, stranger(1), 4, at(0)), 4);
    assert!(limits.is_short(stranger(1), at(3)) && !limits.is_short(stranger(1), at(4)));
    limits.proved(stranger(1), at(0));
    assert!(!limits.is_short(stranger(1), at(0)), "nothing is left to prove");
}

/// Bytes sent to one victim in ten minutes, in whose name so many queries a second come; what it answers proves
/// anew where it is.
fn sent_to_victim(queries_a_second: u64, is_proved: bool) -> (u64, u64) {
    let (mut limits, victim) = (Limits::new(at(0)), stranger(1));
    let (mut received, mut sent) = (0, 0);
    for query in 0..600 * queries_a_second {
        let now = at_ms(query * 1_000 / queries_a_second);
        if is_proved {
            limits.proved(victim, now);
        }
        received += 93;
        limits.received(victim, 93, now);
        if limits.admits(victim, now) && limits.may_send(victim, 1_437, now) {
            sent += 1_437;
        }
    }
    (received, sent)
}

#[test]
fn slow_drip_of_false_queries_is_no_weapon() {
    let (received, sent) = sent_to_victim(20, false);
    assert!(sent <= 3 * received + (8 + 600) * 1_024, "{sent} bytes sent for {received} received");
    assert!(sent > 3 * received, "but what may be sent is sent");
    let (received, sent) = sent_to_victim(500, false);
    assert!(sent <= 3 * received + (8 + 600) * 1_024, "{sent} bytes sent for {received} received");
}

#[test]
fn whoever_is_known_to_be_there_is_not_drowned_in_answers() {
    let (_, sent) = sent_to_victim(20, true);
    assert_eq!(sent, 600 * 20 * 1_437, "a node that asks much and is there gets its answers");
    let (_, sent) = sent_to_victim(500, true);
    assert!(sent <= (256 + 600 * 64) * 1_024, "{sent} bytes sent");
}

#[test]
fn debts_are_not_forgotten_because_many_others_have_some() {
    let mut limits = Limits::new(at(0));
    assert_eq!(sent(&mut limits, stranger(0), 10_000, at(0)), 8);
    for number in 1..4_200 {
        // Somebody pays for all, so that each of them gets into debt.
        limits.received(stranger(20_000), 20_000, at_ms(number.into()));
        sent(&mut limits, stranger(number), 8, at_ms(number.into()));
    }
    let more = (0..10_000).filter(|_| limits.may_send(stranger(0), 64, at_ms(4_200))).count();
    assert!(more * 64 <= 4_200 * 1_024 / 1_000, "{more} packets more");
    assert!(limits.bytes_unproved_each.len() <= PLACES_MAX);
}

#[test]
fn all_unproved_addresses_share_a_mebibyte_at_once_and_then_128_kib_a_second() {
    let mut limits = Limits::new(at(0));
    let each =
        |limits: &mut Limits, now| (0..5_000).map(|number| sent(limits, stranger(number), 1, now)).sum::<usize>();
    assert_eq!(each(&mut limits, at(0)), 1_024);
    assert_eq!(each(&mut limits, at(1)), 128);
    assert_eq!(each(&mut limits, at(1_000)), 1_024);
    assert!(limits.bytes_unproved_each.len() <= PLACES_MAX);
}

#[test]
fn half_of_what_unproved_addresses_sent_may_go_back() {
    let mut limits = Limits::new(at(0));
    let each = |limits: &mut Limits| (2..5_000).map(|number| sent(limits, stranger(number), 1, at(0))).sum::<usize>();
    limits.received(stranger(1), 1024 * 1024, at(0));
    assert_eq!(each(&mut limits), 1_024, "nothing is saved up beyond the burst");
    limits.received(stranger(1), 100 * 1024, at(0));
    assert_eq!(each(&mut limits), 50);
    limits.proved(stranger(1), at(0));
    limits.received(stranger(1), 100 * 1024, at(0));
    assert_eq!(each(&mut limits), 0, "what a proved address sends pays for nobody else");
}

#[test]
fn minute_of_spoofed_flood_sends_less_than_it_receives() {
    let mut limits = Limits::new(at(0));
    let (mut received, mut sent) = (0, 0);
    for number in 0..60 * 3_000 {
        let (from, now) = (stranger(number), at_ms(u64::from(number) / 3));
        received += 100;
        limits.received(from, 100, now);
        if limits.admits(from, now) && limits.may_send(from, 500, now) {
            sent += 500;
        }
    }
    assert!(sent < received, "{sent} bytes sent for {received} received");
}

#[test]
fn calm_net_does_not_notice_the_limit() {
    let mut limits = Limits::new(at(0));
    for second in 0..3_600 {
        for number in 0..200 {
            limits.received(stranger(number), 100, at(second));
            assert!(limits.admits(stranger(number), at(second)));
            assert!(limits.may_send(stranger(number), 600, at(second)));
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Pause(u64),
    Proof(u32),
    Packet { from: u32, bytes: usize },
    Answer { to: u32, bytes: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let who = || prop_oneof![0..4_u32, any::<u32>().prop_map(|number| number % 0x0100_0000)];
    prop_oneof![
        1 => (0..2_000_u64).prop_map(Event::Pause),
        1 => who().prop_map(Event::Proof),
        8 => (who(), 0..2_048_usize).prop_map(|(from, bytes)| Event::Packet { from, bytes }),
        8 => (who(), 0..300_000_usize).prop_map(|(to, bytes)| Event::Answer { to, bytes }),
        16 => (who(), 0..3_000_usize).prop_map(|(to, bytes)| Event::Answer { to, bytes }),
    ]
}

/// What the world saw of a limited node.
#[derive(Default)]
struct Seen {
    received: BTreeMap<SocketAddr, u64>,
    sent: BTreeMap<SocketAddr, u64>,
    sent_proved: BTreeMap<SocketAddr, u64>,
}

impl Seen {
    fn note(&mut self, limits: &mut Limits, event: &Event, now: Time) {
        match *event {
            Event::Pause(_) => {}
            Event::Proof(number) => limits.proved(stranger(number), now),
            Event::Packet { from, bytes } => {
                if !limits.is_proved(stranger(from), now) {
                    *self.received.entry(stranger(from)).or_default() += units(bytes);
                }
                limits.received(stranger(from), bytes, now);
            }
            Event::Answer { to, bytes } => {
                let is_proved = limits.is_proved(stranger(to), now);
                let sent = if is_proved { &mut self.sent_proved } else { &mut self.sent };
                if limits.may_send(stranger(to), bytes, now) {
                    *sent.entry(stranger(to)).or_default() += units(bytes);
                }
            }
        }
    }

    fn check(&self, now: Time) {
        let ms = u64::try_from(now.since(at(0)).as_millis()).expect("some minutes");
        for (to, sent) in &self.sent {
            let received = self.received.get(to).copied().unwrap_or(0);
            assert!(*sent <= 3 * received + 8 * 1_024 + 1_024 * ms / 1_000 + 1, "{sent} bytes for {received}");
        }
        assert!(self.sent_proved.values().all(|sent| *sent <= (256 * 1_024) + 64 * 1_024 * ms / 1_000 + 1));
        let (sent, received) = (self.sent.values().sum::<u64>(), self.received.values().sum::<u64>());
        assert!(sent <= received / 2 + 128 * 1_024 * ms / 1_000 + 1_024 * 1_024 + 1);
    }
}

proptest! {
    #[test]
    fn no_address_and_not_all_together_are_sent_more_than_they_may(
        events in prop::collection::vec(event(), 0..400)
    ) {
        let (mut limits, mut now, mut seen) = (Limits::new(at(0)), at(0), Seen::default());
        for event in events {
            if let Event::Pause(milliseconds) = event {
                now = now + Duration::from_millis(milliseconds);
            }
            seen.note(&mut limits, &event, now);
            seen.check(now);
        }
        let tables = [&limits.queries, &limits.proofs, &limits.bytes_unproved_each, &limits.bytes_proved_each];
        assert!(tables.iter().all(|table| table.len() <= PLACES_MAX));
    }
}
