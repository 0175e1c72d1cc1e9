//! What strangers may cost us: answers, and packets that somebody else receives because they lied about their address.
use std::net::SocketAddr;
use std::time::Duration;

use crate::Time;
use crate::place::Place;

mod moments;

use moments::Moments;

/// Places remembered for each purpose; under a flood from more of them the one that owes least is forgotten.
pub(crate) const PLACES_MAX: usize = 4_096;
/// Queries one place may ask.
const QUERIES: Rate = Rate { a_second: 500, burst: 1_000 };
/// Bytes that may go to all places together that have not proved their address.
const UNPROVED: Rate = Rate { a_second: 128 * 1024, burst: 1024 * 1024 };
/// Bytes that may go to one place that has not proved its address.
const UNPROVED_EACH: Rate = Rate { a_second: 32 * 1024, burst: 512 * 1024 };
/// Of so many bytes that came from such places, one more may go back to them.
const BYTES_FOR_ONE_BACK: u64 = 2;
/// How long a place is believed to be where it said.
const PROOF_LASTS: Duration = Duration::from_secs(600);

/// So many units a second, and so many at once after a pause.
#[derive(Debug)]
struct Rate {
    a_second: u64,
    burst: u64,
}

/// Counts what strangers cost. A bucket of tokens is kept as the moment at which it will be full again: the
/// fuller of two is the one with the earlier moment, and one whose moment has passed need not be remembered.
#[derive(Debug)]
pub(crate) struct Limits {
    queries: Moments,
    unproved: Moments,
    known: Moments,
    bytes: Time,
    proofs: Moments,
}

impl Limits {
    pub(crate) const fn new(now: Time) -> Self {
        Self { queries: Moments::new(), unproved: Moments::new(), known: Moments::new(), bytes: now, proofs: Moments::new() }
    }

    /// Whether one more query from there may be answered; counts it if so.
    pub(crate) fn admits(&mut self, from: SocketAddr, now: Time) -> bool {
        let place = Place::of(from);
        let full_at = QUERIES.take(self.queries.of(&place), 1, now);
        full_at.map(|full_at| self.queries.set(place, full_at)).is_some()
    }

    /// Notes that this place holds something that only reached its true address.
    pub(crate) fn proved(&mut self, from: SocketAddr, now: Time) {
        self.proofs.set(Place::of(from), now + PROOF_LASTS);
    }

    /// Whether this place is known to be where it says.
    pub(crate) fn is_proved(&self, from: SocketAddr, now: Time) -> bool {
        self.proofs.of(&Place::of(from)).is_some_and(|until| now < until)
    }

    /// Counts bytes that came in: some may go back.
    pub(crate) fn received(&mut self, from: SocketAddr, bytes: usize, now: Time) {
        if !self.is_proved(from, now) {
            let back = units(bytes) / BYTES_FOR_ONE_BACK;
            self.bytes = Time(self.bytes.0.saturating_sub(UNPROVED.earned_after(back)));
        }
    }

    /// Whether this place, which has not proved its address, will soon have had what it may have.
    pub(crate) fn is_short(&self, of: SocketAddr, now: Time) -> bool {
        let spent = self.unproved.of(&Place::of(of)).map_or(Duration::ZERO, |full_at| full_at.since(now));
        !self.is_proved(of, now) && 2 * spent > UNPROVED_EACH.time_for(UNPROVED_EACH.burst)
    }

    /// Whether a packet of this length may go there; counts it if so.
    pub(crate) fn may_send(&mut self, to: SocketAddr, bytes: usize, now: Time) -> bool {
        if self.is_proved(to, now) {
            return true;
        }
        let Some(all) = UNPROVED.take(Some(self.bytes), units(bytes), now) else {
            return false;
        };
        let place = Place::of(to);
        let Some(each) = UNPROVED_EACH.take(self.unproved.of(&place), units(bytes), now) else {
            return false;
        };
        self.bytes = all;
        self.unproved.set(place, each);
        true
    }
}

impl Rate {
    /// Takes units out of a bucket that will be full at a moment (now, if it is not known): when it will be full then.
    fn take(&self, full_at: Option<Time>, units: u64, now: Time) -> Option<Time> {
        let full_at = full_at.unwrap_or(now).max(now) + self.time_for(units);
        (full_at.since(now) <= self.time_for(self.burst)).then_some(full_at)
    }

    /// Rounded up: what is spent is never counted too low.
    const fn time_for(&self, units: u64) -> Duration {
        Duration::from_nanos(units.saturating_mul(1_000_000_000).div_ceil(self.a_second))
    }

    /// Rounded down: what is earned is never counted too high.
    const fn earned_after(&self, units: u64) -> Duration {
        Duration::from_nanos(units.saturating_mul(1_000_000_000) / self.a_second)
    }
}

fn units(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
