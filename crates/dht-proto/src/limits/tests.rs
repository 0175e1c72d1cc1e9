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
fn one_address_asks_a_thousand_at_once_and_then_five_hundred_a_second() {
    let mut limits = Limits::new(at(0));
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at(0)), 1_000);
    assert_eq!(admitted(&mut limits, stranger(2), 5_000, at(0)), 1_000, "another one has its own");
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at(1)), 500);
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at_ms(1_010)), 5);
    assert_eq!(admitted(&mut limits, stranger(1), 5_000, at(100)), 1_000, "no more than this is saved up");
}

#[test]
fn another_port_is_another_asker_on_loopback_only() {
    let mut limits = Limits::new(at(0));
    assert_eq!(admitted(&mut limits, address("9.0.0.1:1"), 1_000, at(0)), 1_000);
    assert!(!limits.admits(address("9.0.0.1:2"), at(0)));
    assert_eq!(admitted(&mut limits, address("[2001:db8::1]:1"), 1_000, at(0)), 1_000);
    assert!(!limits.admits(address("[2001:db8::2]:1"), at(0)), "one /64 is one asker");
    assert_eq!(admitted(&mut limits, address("127.0.0.1:1"), 1_000, at(0)), 1_000);
    assert!(limits.admits(address("127.0.0.1:2"), at(0)));
}

#[test]
fn who_asks_too_much_is_not_forgotten_because_many_others_ask() {
    let mut limits = Limits::new(at(0));
    admitted(&mut limits, stranger(0), 1_000, at(0));
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
fn proved_address_is_sent_everything() {
    let mut limits = Limits::new(at(0));
    limits.proved(stranger(1), at(0));
    assert_eq!(sent(&mut limits, stranger(1), 100_000, at(1)), 100_000);
    assert_eq!(sent(&mut limits, stranger(2), 512, at(1)), 512, "and the others lose nothing by it");
}

#[test]
fn one_unproved_address_is_sent_half_a_mebibyte_at_once_and_then_32_kib_a_second() {
    let mut limits = Limits::new(at(0));
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(0)), 512);
    assert_eq!(sent(&mut limits, stranger(1), 10_000, at(1)), 32);
}

#[test]
fn all_unproved_addresses_share_a_mebibyte_at_once_and_then_128_kib_a_second() {
    let mut limits = Limits::new(at(0));
    let each =
        |limits: &mut Limits, now| (0..5_000).map(|number| sent(limits, stranger(number), 1, now)).sum::<usize>();
    assert_eq!(each(&mut limits, at(0)), 1_024);
    assert_eq!(each(&mut limits, at(1)), 128);
    assert_eq!(each(&mut limits, at(1_000)), 1_024);
    assert!(limits.bytes_each.len() <= PLACES_MAX);
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
        16 => (who(), 0..300_000_usize).prop_map(|(to, bytes)| Event::Answer { to, bytes }),
    ]
}

proptest! {
    #[test]
    fn unproved_addresses_never_get_more_than_half_of_what_they_sent_and_the_allowance(
        events in prop::collection::vec(event(), 0..400)
    ) {
        let mut limits = Limits::new(at(0));
        let (mut now, mut received, mut sent) = (at(0), 0, 0);
        for event in events {
            match event {
                Event::Pause(milliseconds) => now = now + Duration::from_millis(milliseconds),
                Event::Proof(number) => limits.proved(stranger(number), now),
                Event::Packet { from, bytes } => {
                    let is_proved = limits.is_proved(stranger(from), now);
                    received += if is_proved { 0 } else { bytes };
                    limits.received(stranger(from), bytes, now);
                }
                Event::Answer { to, bytes } => {
                    let is_proved = limits.is_proved(stranger(to), now);
                    let may = limits.may_send(stranger(to), bytes, now);
                    assert!(may || !is_proved, "a proved address is always answered");
                    sent += if may && !is_proved { bytes } else { 0 };
                }
            }
            let elapsed_ms = usize::try_from(now.since(at(0)).as_millis()).expect("some minutes");
            assert!(sent <= received / 2 + 128 * 1024 * elapsed_ms / 1_000 + 1024 * 1024 + 1);
        }
        assert!(limits.proofs.len() <= PLACES_MAX && limits.bytes_each.len() <= PLACES_MAX);
    }
}
