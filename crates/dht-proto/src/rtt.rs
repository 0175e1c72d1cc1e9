//! How long answers take, so that slow nodes can be told from usual ones (as TCP does, RFC 6298).
use std::time::Duration;

/// Below this an answer is never called slow: a busy machine takes that long to get round to it.
const SLOW_MIN: Duration = Duration::from_millis(100);
const SLOW_AT_FIRST: Duration = Duration::from_millis(500);

/// Round-trip times of all nodes together.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    mean: Option<Duration>,
    deviation: Duration,
}

impl RoundTrips {
    /// An answer took this long.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let Some(mean) = self.mean else {
            (self.mean, self.deviation) = (Some(rtt), rtt / 2);
            return;
        };
        self.deviation = self.deviation * 3 / 4 + mean.abs_diff(rtt) / 4;
        self.mean = Some(mean * 7 / 8 + rtt / 8);
    }

    /// After this time an answer is slow.
    pub(crate) fn slow_after(&self) -> Duration {
        self.mean.map_or(SLOW_AT_FIRST, |mean| (mean + 4 * self.deviation).max(SLOW_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_follows_what_is_usual() {
        let mut trips = RoundTrips::default();
        assert_eq!(trips.slow_after(), SLOW_AT_FIRST);
        for _ in 0..50 {
            trips.sample(Duration::from_millis(80));
        }
        assert_eq!(trips.slow_after(), SLOW_MIN);
        for number in 0..200 {
            trips.sample(Duration::from_millis(200 + 100 * (number % 2)));
        }
        assert!(trips.slow_after() > Duration::from_millis(300) && trips.slow_after() < Duration::from_secs(1));
    }
}
