//! How fast a server applies batches that it missed: an empty one that joins when all payments are final.
use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::time::{Duration, Instant, sleep};

use super::{Bench, BenchSettings, OTHER_ACCOUNTS, PATIENCE, PEER_PAYMENTS};
use crate::testnet::{Testnet, TestnetSettings};

/// How often it is looked how far the server is.
const LOOK: Duration = Duration::from_millis(10);

/// The figures of one measurement.
#[derive(Debug, Clone, Serialize)]
pub struct CatchUpNumbers {
    /// Payments a second, from the moment the server listens to the last batch applied.
    pub payments_per_s: f64,
    /// Batches a second.
    pub batches_per_s: f64,
    /// How many payments.
    pub payments: u32,
    /// In how many batches.
    pub batches: u64,
    /// Servers that had them.
    pub servers: u8,
    /// How long it took.
    pub seconds: f64,
}

impl fmt::Display for CatchUpNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "payments caught up a second  {:.0}", self.payments_per_s)?;
        writeln!(f, "batches caught up a second   {:.0}", self.batches_per_s)?;
        write!(f, "{} payments in {} batches in {:.2} s", self.payments, self.batches, self.seconds)
    }
}

/// Founds a community, makes payments final, and lets an empty server catch up with all batches.
pub async fn catch_up(settings: &BenchSettings, say: &mut dyn FnMut(&str)) -> Result<CatchUpNumbers> {
    let people = settings.testnet.accounts;
    ensure!(people >= 2 && settings.payments > 0, "a payment needs two accounts");
    let testnet = TestnetSettings {
        accounts: people + OTHER_ACCOUNTS,
        peer_payments: Some(PEER_PAYMENTS),
        ..settings.testnet.clone()
    };
    let mut testnet = Testnet::start(&testnet).await?;
    let mut bench = Bench::open(settings, &mut testnet, people, say).await?;
    bench.measure(say).await?;
    drop(bench);
    let batches = testnet.servers()[0].api().status().await?.height;
    say(&format!("an empty server joins, {batches} batches behind"));
    let number = testnet.join().await?;
    let start = Instant::now();
    let mut progress = (0, Instant::now());
    loop {
        let height = testnet.servers()[number].api().status().await?.height;
        if height >= batches {
            break;
        }
        if height > progress.0 {
            progress = (height, Instant::now());
        }
        ensure!(progress.1.elapsed() < PATIENCE, "the server stays at height {height} of {batches}");
        testnet.servers_mut()[number].check_alive()?;
        sleep(LOOK).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    testnet.stop().await?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let batches_per_s = batches as f64 / seconds;
    Ok(CatchUpNumbers {
        payments_per_s: f64::from(settings.payments) / seconds,
        batches_per_s,
        payments: settings.payments,
        batches,
        servers: settings.testnet.servers,
        seconds,
    })
}
