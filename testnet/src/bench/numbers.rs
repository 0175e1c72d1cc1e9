//! The result of a measurement, as a table and as JSON.
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::BenchSettings;
use super::signing::Signed;
use super::usage::Usage;
use super::watching::Tally;

/// All figures of one measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Numbers {
    /// Payments that became final a second, from the first one handed in to the last one final.
    pub final_per_s: f64,
    /// Half of the payments were final after so long.
    pub p50_ms: f64,
    /// Nine in ten.
    pub p90_ms: f64,
    /// Ninety-nine in a hundred.
    pub p99_ms: f64,
    /// All.
    pub max_ms: f64,
    /// Processor time of all servers and the load generator together.
    pub cpu_us_per_payment: f64,
    /// Of one server, on average.
    pub server_cpu_us_per_payment: f64,
    /// Of the load generator.
    pub generator_cpu_us_per_payment: f64,
    /// What one check of a payment's key and signature costs here.
    pub check_us: f64,
    /// What one server has written to disk, on average.
    pub disk_bytes_per_payment: f64,
    /// All that went over the loopback interface.
    pub wire_bytes_per_payment: f64,
    /// The most anonymous memory that any server held.
    pub rss_anon_mb: f64,
    /// How many servers.
    pub servers: u8,
    /// How many payments.
    pub payments: u32,
    /// Payments a second that were asked for; `None`: as many as possible.
    pub rate: Option<u32>,
    /// Accounts of the community.
    pub accounts: u32,
    /// Payments in a batch, on average.
    pub payments_per_batch: f64,
    /// Payments handed in again, because a server was busy.
    pub resubmitted: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Numbers {
    pub(super) fn new(
        settings: &BenchSettings,
        signed: &Signed,
        tally: &Tally,
        used: &Usage,
        rss_anon: u64,
        resubmitted: u64,
        start: Instant,
    ) -> Self {
        let mut latencies: Vec<Duration> = tally.latencies.iter().flatten().copied().collect();
        latencies.sort_unstable();
        let seconds = tally.last.map_or(0.0, |last| last.duration_since(start).as_secs_f64());
        let (count, servers) = (f64::from(settings.payments), f64::from(settings.testnet.servers));
        let each_us = |time: Duration| round(time.as_secs_f64() * 1e6 / count);
        Self {
            final_per_s: round(count / seconds),
            p50_ms: quantile_ms(&latencies, 50),
            p90_ms: quantile_ms(&latencies, 90),
            p99_ms: quantile_ms(&latencies, 99),
            max_ms: quantile_ms(&latencies, 100),
            cpu_us_per_payment: each_us(used.servers_cpu + used.generator_cpu),
            server_cpu_us_per_payment: each_us(used.servers_cpu.div_f64(servers)),
            generator_cpu_us_per_payment: each_us(used.generator_cpu),
            check_us: round(signed.check.as_secs_f64() * 1e6),
            disk_bytes_per_payment: round(used.disk_bytes as f64 / servers / count),
            wire_bytes_per_payment: round(used.wire_bytes as f64 / count),
            rss_anon_mb: round(rss_anon as f64 / 1e6),
            servers: settings.testnet.servers,
            payments: settings.payments,
            rate: settings.rate,
            accounts: settings.testnet.accounts,
            payments_per_batch: round(count / tally.batch_count.max(1) as f64),
            resubmitted,
            seconds: round(seconds),
        }
    }
}

/// One digit behind the point is more than a measurement is worth.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn quantile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    round(sorted.get(rank).map_or(0.0, |latency| latency.as_secs_f64() * 1e3))
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.rate.map_or("as fast as they are taken".to_owned(), |rate| format!("{rate} a second"));
        writeln!(f, "{} payments, {rate}, {} servers, {} accounts", self.payments, self.servers, self.accounts)?;
        writeln!(f, "final              {:>10.1} /s in {:.1} s", self.final_per_s, self.seconds)?;
        writeln!(f, "latency            {:>10.1} ms p50", self.p50_ms)?;
        writeln!(f, "                   {:>10.1} ms p90", self.p90_ms)?;
        writeln!(f, "                   {:>10.1} ms p99", self.p99_ms)?;
        writeln!(f, "                   {:>10.1} ms at most", self.max_ms)?;
        writeln!(f, "processor          {:>10.1} us a payment, all together", self.cpu_us_per_payment)?;
        writeln!(f, "                   {:>10.1} us of each server", self.server_cpu_us_per_payment)?;
        writeln!(f, "                   {:>10.1} us of the load generator", self.generator_cpu_us_per_payment)?;
        writeln!(f, "                   {:>10.1} us is one check of a signature", self.check_us)?;
        writeln!(f, "disk of a server   {:>10.1} bytes a payment", self.disk_bytes_per_payment)?;
        writeln!(f, "loopback           {:>10.1} bytes a payment", self.wire_bytes_per_payment)?;
        writeln!(f, "memory of a server {:>10.1} MB", self.rss_anon_mb)?;
        writeln!(f, "in a batch         {:>10.1} payments", self.payments_per_batch)?;
        write!(f, "handed in again    {:>10} payments", self.resubmitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let latencies: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| quantile_ms(&latencies, percent);
        assert_eq!((at(50), at(99), at(100)), (100.0, 198.0, 200.0));
        assert_eq!((quantile_ms(&latencies[..1], 99), quantile_ms(&[], 99)), (1.0, 0.0));
    }
}
