//! When to try again what has failed, and when to repeat what has worked.
use std::time::Duration;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// A net that is just coming up may have stored at its first node only, so the first repetition
/// comes soon.
const FIRST_REPEAT: Duration = Duration::from_secs(60);

/// The pauses between attempts: doubling after failures, `every` after successes.
#[derive(Debug)]
pub(crate) struct Timetable {
    every: Duration,
    retry: Duration,
    repeated: bool,
}

impl Timetable {
    pub(crate) const fn new(every: Duration) -> Self {
        Self { every, retry: FIRST_RETRY, repeated: false }
    }

    /// The pause after an attempt.
    pub(crate) fn pause(&mut self, success: bool) -> Duration {
        if !success {
            let pause = self.retry;
            self.retry = (2 * pause).min(LONGEST_RETRY);
            return pause;
        }
        self.retry = FIRST_RETRY;
        if std::mem::replace(&mut self.repeated, true) { self.every } else { FIRST_REPEAT.min(self.every) }
    }
}

/// Up to a tenth more or less, so that what began together does not come together for ever.
pub(crate) fn spread(pause: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause.mul_f64(0.9 + 0.2 * f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn failures_are_retried_soon_and_then_less_often() {
        let mut timetable = Timetable::new(HOUR);
        let pauses: Vec<u128> = (0..8).map(|_| timetable.pause(false).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn a_success_is_repeated_after_a_minute_and_then_regularly() {
        let mut timetable = Timetable::new(HOUR);
        assert_eq!(timetable.pause(true), FIRST_REPEAT);
        assert_eq!(timetable.pause(true), HOUR);
        assert_eq!(timetable.pause(false), FIRST_RETRY);
    }
}
