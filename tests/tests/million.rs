//! A server with a million accounts.
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use seedbank_testnet::{Payments, TestnetSettings, all_final, submit};

/// Acceptance.
const START_LIMIT: Duration = Duration::from_secs(5);
const RESIDENT_BYTES_MAX: u64 = 250 << 20;
const STEP_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(11);

#[tokio::test]
async fn a_server_with_a_million_accounts_starts_in_five_seconds_and_holds_250_mb() -> Result<()> {
    let settings = TestnetSettings { servers: 1, seeders: 0, accounts: 1_000_000, ..seedbank_tests::quick() };
    let mut testnet = seedbank_tests::ready(&settings).await?;
    let status = testnet.servers()[0].api().status().await?;
    assert_eq!(status.count, 1_000_000);

    testnet.servers_mut()[0].stop(STOP_LIMIT).await?;
    let start = Instant::now();
    testnet.servers_mut()[0].restart().await?;
    let took = start.elapsed();
    ensure!(took <= START_LIMIT, "it started in {took:?}");

    // It has to hold what it cuts files from, too: some payments, and the ends of two epochs.
    let before = testnet.servers()[0].api().checkpoint().await?.context("it was certified before")?;
    let made = Payments::new(testnet.community())?.make(testnet.accounts(), before.epoch + 1, 100)?;
    let deadline = tokio::time::Instant::now() + STEP_LIMIT;
    submit(testnet.servers()[0].api(), &made).await?;
    all_final(&testnet, &made, deadline).await?;
    testnet.certified(before.epoch + 2, deadline).await?;
    let resident = testnet.servers()[0].resident_bytes()?;
    eprintln!("started in {took:?}, {} MiB resident", resident >> 20);
    ensure!(resident <= RESIDENT_BYTES_MAX, "it holds {} MiB", resident >> 20);
    testnet.stop().await
}
