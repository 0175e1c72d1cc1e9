//! What is measured.
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]
use std::time::Duration;

/// Durations of many cases.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    pub(crate) fn add(&mut self, took: Duration) {
        let place = self.0.partition_point(|other| *other <= took);
        self.0.insert(place, took);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// So many of a hundred cases took no longer; nothing if there was no case.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn max(&self) -> Duration {
        self.percentile(100)
    }
}

/// Names and numbers, to be printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows(Vec<(String, f64)>);

impl Rows {
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), value));
    }

    pub(crate) fn spread(&mut self, name: &str, spread: &Spread) {
        for percent in [50, 90, 99, 100] {
            self.add(&format!("{name} p{percent} ms"), (spread.percentile(percent).as_secs_f64() * 1_000.0).round());
        }
    }

    /// A line a number.
    pub(crate) fn table(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name:<44} {value:>14}\n")).collect()
    }

    /// An object of numbers.
    pub(crate) fn json(&self) -> String {
        let fields: Vec<_> =
            self.0.iter().map(|(name, value)| format!("\"{}\":{value}", name.replace(' ', "_"))).collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// A part of a whole, rounded to hundredths.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    (part as f64 * 100.0 / whole.max(1) as f64).round() / 100.0
}
