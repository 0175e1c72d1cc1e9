//! How peers behave: their request rate, and strikes for what no honest peer sends. Pure: `now`
//! comes from outside.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// Strikes after which a peer is shut out.
const STRIKES_MAX: u32 = 3;
/// For how long; then its strikes are forgotten.
const SHUT_OUT_FOR: Duration = Duration::from_secs(60);
/// Peers of whom anything is remembered; beyond, the one that was heard of longest ago is forgotten.
const PEERS_MAX: usize = 4096;
/// Peers shut out at one time; fewer than are remembered, because those are not forgotten.
const SHUT_OUT_MAX: usize = 1024;

#[derive(Debug)]
struct Record {
    /// Thousandths of a request that may still be asked.
    credit: u64,
    credited: Instant,
    strikes: u32,
    shut_out: Option<Instant>,
}

/// What is remembered of peers, connected or not.
#[derive(Debug)]
pub(super) struct Conduct {
    requests_per_second: u64,
    records: BTreeMap<PeerId, Record>,
}

impl Conduct {
    pub(super) fn new(requests_per_second: u32) -> Self {
        Self { requests_per_second: u64::from(requests_per_second), records: BTreeMap::new() }
    }

    /// Counts a request; false if the peer asks too often. Twice the rate may come in a burst.
    pub(super) fn may_ask(&mut self, peer: PeerId, now: Instant) -> bool {
        let (rate, burst) = (self.requests_per_second, self.burst());
        let record = self.record(peer, now);
        let elapsed_ms = u64::try_from((now - record.credited).as_millis()).unwrap_or(u64::MAX);
        record.credit = record.credit.saturating_add(elapsed_ms.saturating_mul(rate)).min(burst);
        record.credited = now;
        match record.credit.checked_sub(1000) {
            Some(left) => {
                record.credit = left;
                true
            }
            None => false,
        }
    }

    /// Counts something that no honest peer sends; true if the peer is to be shut out now.
    pub(super) fn strike(&mut self, peer: PeerId, now: Instant) -> bool {
        let has_room = self.records.values().filter(|record| record.shut_out.is_some()).count() < SHUT_OUT_MAX;
        let record = self.record(peer, now);
        record.strikes = record.strikes.saturating_add(1);
        let now_out = has_room && record.strikes >= STRIKES_MAX && record.shut_out.is_none();
        if now_out {
            record.shut_out = Some(now);
        }
        now_out
    }

    /// The peers whose time outside is over.
    pub(super) fn take_let_in(&mut self, now: Instant) -> Vec<PeerId> {
        let over = |record: &Record| record.shut_out.is_some_and(|since| now >= since + SHUT_OUT_FOR);
        let let_in: Vec<_> = self.records.iter().filter(|(_, record)| over(record)).map(|(peer, _)| *peer).collect();
        for peer in &let_in {
            self.records.remove(peer);
        }
        let_in
    }

    fn burst(&self) -> u64 {
        self.requests_per_second * 2 * 1000
    }

    fn record(&mut self, peer: PeerId, now: Instant) -> &mut Record {
        if self.records.len() >= PEERS_MAX && !self.records.contains_key(&peer) {
            self.forget_one();
        }
        let credit = self.burst();
        self.records.entry(peer).or_insert(Record { credit, credited: now, strikes: 0, shut_out: None })
    }

    /// Peers that are shut out are kept, or they would never be let in again.
    fn forget_one(&mut self) {
        let candidates = self.records.iter().filter(|(_, record)| record.shut_out.is_none());
        if let Some(oldest) = candidates.min_by_key(|(_, record)| record.credited).map(|(peer, _)| *peer) {
            self.records.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_beyond_rate_and_burst_are_refused() {
        let (mut conduct, peer, now) = (Conduct::new(10), PeerId::random(), Instant::now());
        assert_eq!((0..100).filter(|_| conduct.may_ask(peer, now)).count(), 20);
        let later = now + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| conduct.may_ask(peer, later)).count(), 5);
        assert!(conduct.may_ask(PeerId::random(), now), "peers are counted apart");
    }

    #[test]
    fn three_strikes_shut_a_peer_out_for_a_minute() {
        let (mut conduct, peer, now) = (Conduct::new(10), PeerId::random(), Instant::now());
        assert_eq!([(); 4].map(|()| conduct.strike(peer, now)), [false, false, true, false]);
        assert!(conduct.take_let_in(now + Duration::from_secs(59)).is_empty());
        assert_eq!(conduct.take_let_in(now + SHUT_OUT_FOR), [peer]);
        assert!(!conduct.strike(peer, now + SHUT_OUT_FOR), "strikes are forgotten");
    }

    #[test]
    fn memory_of_peers_is_bounded() {
        let (mut conduct, now) = (Conduct::new(10), Instant::now());
        for _ in 0..PEERS_MAX + 10 {
            conduct.may_ask(PeerId::random(), now);
        }
        assert_eq!(conduct.records.len(), PEERS_MAX);
    }
}
