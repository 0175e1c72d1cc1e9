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
const QUERIES: Rate = Rate { a_second: 50, burst: 200 };
/// Queries one program of this machine may ask.
const QUERIES_ON_LOOPBACK: Rate = Rate { a_second: 500, burst: 1_000 };
/// Bytes that may go to all places together that have not proved their address.
const UNPROVED: Rate = Rate { a_second: 128 * 1024, burst: 1024 * 1024 };
/// Of so many bytes that came from such places, one more may go back to them.
const BYTES_FOR_ONE_BACK: u64 = 2;
/// Bytes that may go to one place that has not proved its address: whoever is lied about gets little more than the
/// liar spends.
const UNPROVED_EACH: Rate = Rate { a_second: 1024, burst: 8 * 1024 };
/// For each byte that came from such a place so many more may go back there.
const BYTES_BACK_FOR_ONE: u64 = 3;
/// With less left a place should prove its address.
const UNPROVED_SHORT: u64 = 4 * 1024;
/// Bytes that may go to one place beyond loopback that has proved its address: others may ask in its name.
const PROVED_EACH: Rate = Rate { a_second: 64 * 1024, burst: 256 * 1024 };
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
    /// Bytes to all that have not proved their addresses, to each of them, and to each that has.
    bytes_unproved: Time,
    bytes_unproved_each: Moments,
    bytes_proved_each: Moments,
    proofs: Moments,
}

impl Limits {
    pub(crate) const fn new(now: Time) -> Self {
        Self {
            queries: Moments::new(),
            bytes_unproved: now,
            bytes_unproved_each: Moments::new(),
            bytes_proved_each: Moments::new(),
            proofs: Moments::new(),
        }
    }

    /// Whether one more query from there may be answered; counts it if so.
    pub(crate) fn admits(&mut self, from: SocketAddr, now: Time) -> bool {
        let rate = if is_on_loopback(from) { QUERIES_ON_LOOPBACK } else { QUERIES };
        rate.charge(&mut self.queries, Place::of(from), 1, now)
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
        if self.is_proved(from, now) {
            return;
        }
        let bytes = units(bytes);
        self.bytes_unproved = UNPROVED.earlier(self.bytes_unproved, bytes / BYTES_FOR_ONE_BACK);
        let (place, each) = (Place::of(from), &mut self.bytes_unproved_each);
        // What is full already need not be remembered.
        if let Some(full_at) = each.of_or_forgotten(&place).filter(|full_at| now < *full_at) {
            each.set(place, UNPROVED_EACH.earlier(full_at, bytes.saturating_mul(BYTES_BACK_FOR_ONE)));
        }
    }

    /// Whether this place has not proved its address, and will soon have had what it may have until it does.
    pub(crate) fn is_short(&self, of: SocketAddr, now: Time) -> bool {
        let full_at = self.bytes_unproved_each.of_or_forgotten(&Place::of(of));
        !self.is_proved(of, now) && UNPROVED_EACH.take(full_at, UNPROVED_SHORT, now).is_none()
    }

    /// Whether a packet of this length may go there; counts it if so.
    pub(crate) fn may_send(&mut self, to: SocketAddr, bytes: usize, now: Time) -> bool {
        let (place, bytes) = (Place::of(to), units(bytes));
        if self.is_proved(to, now) {
            return is_on_loopback(to) || PROVED_EACH.charge(&mut self.bytes_proved_each, place, bytes, now);
        }
        let Some(all) = UNPROVED.take(Some(self.bytes_unproved), bytes, now) else {
            return false;
        };
        let Some(each) = UNPROVED_EACH.take(self.bytes_unproved_each.of_or_forgotten(&place), bytes, now) else {
            return false;
        };
        self.bytes_unproved = all;
        self.bytes_unproved_each.set(place, each);
        true
    }
}

impl Rate {
    /// Takes units out of a bucket that will be full at a moment (now, if it is not known): when it will be full then.
    fn take(&self, full_at: Option<Time>, units: u64, now: Time) -> Option<Time> {
        let full_at = full_at.unwrap_or(now).max(now) + self.time_for(units);
        (full_at.since(now) <= self.time_for(self.burst)).then_some(full_at)
    }

    /// Takes units out of the bucket of a place, if they are there.
    fn charge(&self, moments: &mut Moments, place: Place, units: u64, now: Time) -> bool {
        let full_at = self.take(moments.of(&place), units, now);
        full_at.map(|full_at| moments.set(place, full_at)).is_some()
    }

    /// When a bucket will be full that gets some more units.
    const fn earlier(&self, full_at: Time, units: u64) -> Time {
        Time(full_at.0.saturating_sub(self.earned_after(units)))
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

const fn is_on_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn units(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
