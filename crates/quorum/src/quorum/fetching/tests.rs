use seedbank_types::{CommunityId, Epoch, Hash, Header, ServerSecret, TimeMs};

use super::*;
use crate::{DecidedBatch, Decision};

fn key(byte: u8) -> ServerKey {
    ServerSecret::from_bytes(&[byte; 32]).public()
}

fn batch(height: u64, bytes: usize) -> CheckedBatch {
    let header = Header {
        community: CommunityId([1; 32]),
        height: Height(height),
        epoch: Epoch(1),
        time: TimeMs(height),
        proposer: ServerKey([2; 32]),
        previous: Hash::ZERO,
        previous_state: Hash::ZERO,
        payments_root: Hash::ZERO,
        body_digest: Hash::ZERO,
        body_length: 0,
        next_servers: Hash::ZERO,
        previous_checkpoint: Hash::ZERO,
    };
    let decision = Decision::decode(&[0; 5]).expect("round 0, no signatures");
    DecidedBatch { header, body: vec![0; bytes], decision }.into()
}

fn batches(heights: std::ops::Range<u64>) -> Vec<CheckedBatch> {
    heights.map(|height| batch(height, 10)).collect()
}

/// Asks for all that there is room for; the ranges.
fn ask_all(fetching: &mut Fetching, next: u64, top: u64, now_ms: u64) -> Vec<(u64, u16)> {
    let heights = BTreeMap::from([(key(1), Height(top)), (key(2), Height(top))]);
    let mut ranges = Vec::new();
    while let Some((first, count)) = fetching.next_range(Height(next), Height(top)) {
        let Some(from) = fetching.whom_to_ask(first, now_ms, &heights) else { break };
        fetching.asked(first, count, from, now_ms);
        ranges.push((first.0, count));
    }
    ranges
}

#[test]
fn several_ranges_are_asked_for_at_once_and_applied_in_order() {
    let mut fetching = Fetching::default();
    let ranges = ask_all(&mut fetching, 5, 1_000, 0);
    assert_eq!(ranges.len(), REQUESTS_MAX);
    assert_eq!(ranges[..2], [(5, 64), (69, 64)]);
    fetching.answered(batches(69..133), Height(1_000_000));
    assert!(fetching.take(Height(5)).is_none(), "the lower ones are missing");
    fetching.answered(batches(5..69), Height(1_000_000));
    for height in 5..133 {
        let taken = fetching.take(Height(height)).expect("it came");
        assert_eq!(taken.batch.header.height, Height(height));
    }
    assert!(fetching.take(Height(133)).is_none());
}

#[test]
fn what_an_answer_lacks_is_asked_for_again_first() {
    let mut fetching = Fetching::default();
    ask_all(&mut fetching, 1, 1_000, 0);
    fetching.answered(batches(1..11), Height(1_000_000));
    assert_eq!(ask_all(&mut fetching, 1, 1_000, 0)[0], (11, 54));
    // What was decided here meanwhile is not wanted any more.
    fetching.refused(key(1), Height(11), None, 0);
    let (first, count) = fetching.next_range(Height(21), Height(1_000)).expect("the rest of it");
    assert_eq!((first, count), (Height(21), 44));
}

#[test]
fn a_request_that_is_not_answered_in_time_goes_to_another_server() {
    let mut fetching = Fetching::default();
    ask_all(&mut fetching, 1, 3, 0);
    let before = fetching.under_way[&Height(1)];
    let overdue = fetching.wake_times_ms().min().expect("it is waited for");
    fetching.give_up_overdue(overdue);
    assert_eq!(ask_all(&mut fetching, 1, 3, overdue), [(1, 3)]);
    assert_ne!(fetching.under_way[&Height(1)].from, before.from);
}

#[test]
fn nothing_is_taken_in_that_was_not_asked_for_or_does_not_follow_on() {
    let mut fetching = Fetching::default();
    fetching.answered(batches(1..5), Height(1_000_000));
    assert!(!fetching.is_active());
    fetching.answered(batches(1..5), Height(1));
    assert_eq!(fetching.len(), 4, "what is missing is welcome");
    fetching.start_over();
    ask_all(&mut fetching, 1, 4, 0);
    fetching.answered(vec![batch(1, 10), batch(3, 10), batch(2, 10)], Height(1_000_000));
    assert_eq!(fetching.len(), 1);
    ask_all(&mut fetching, 2, 4, 0);
    fetching.answered(batches(2..100), Height(1_000_000));
    assert_eq!(fetching.len(), 4, "three were asked for");
}

#[test]
fn bytes_are_bounded_and_the_lowest_height_always_finds_room() {
    let mut fetching = Fetching::default();
    let half = INCOMING_BYTES_MAX / 2;
    for height in [2, 3] {
        fetching.asked(Height(height), 1, key(1), 0);
        fetching.answered(vec![batch(height, half)], Height(1_000_000));
    }
    fetching.asked(Height(1), 1, key(1), 0);
    fetching.answered(vec![batch(1, half)], Height(1_000_000));
    assert!(fetching.holds(Height(1)) && fetching.holds(Height(2)) && !fetching.holds(Height(3)));
    assert!(fetching.take(Height(1)).is_some() && fetching.take(Height(2)).is_some());
    assert_eq!(fetching.bytes, 0);
    assert_eq!(fetching.next_range(Height(3), Height(3)), Some((Height(3), 1)), "it is asked for again");
}

#[test]
fn a_height_is_nowhere_once_all_who_are_ahead_say_so() {
    let mut fetching = Fetching::default();
    let heights = BTreeMap::from([(key(1), Height(90)), (key(2), Height(80)), (key(3), Height(4))]);
    assert!(!fetching.is_nowhere(Height(5), &heights));
    fetching.refused(key(1), Height(5), Some(Height(60)), 0);
    assert_eq!(fetching.whom_to_ask(Height(5), 0, &heights), Some(key(2)));
    fetching.refused(key(2), Height(5), Some(Height(6)), 0);
    assert!(fetching.is_nowhere(Height(5), &heights) && !fetching.is_nowhere(Height(6), &heights));
    assert!(!fetching.is_nowhere(Height(91), &heights), "nobody has got there");
}
