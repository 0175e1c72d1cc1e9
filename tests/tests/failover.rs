//! The server that proposes is killed under load: others take over.
use std::time::Duration;

use anyhow::{Result, ensure};
use seedbank_testnet::{Payments, TestnetSettings, failover};

/// Acceptance.
const FINAL_AGAIN: Duration = Duration::from_secs(2);
const KILLS: usize = 3;

#[tokio::test]
async fn payments_are_final_again_two_seconds_after_the_proposer_was_killed() -> Result<()> {
    for servers in [3, 5] {
        let settings = TestnetSettings { servers, seeders: 0, ..TestnetSettings::default() };
        let mut testnet = seedbank_tests::ready(&settings).await?;
        let mut payments = Payments::new(testnet.community())?;
        for _ in 0..KILLS {
            let took = failover::kill_proposer(&mut testnet, &mut payments).await?;
            eprintln!("{servers} servers: final again after {took:?}");
            ensure!(took <= FINAL_AGAIN, "with {servers} servers payments were final again only after {took:?}");
        }
        testnet.stop().await?;
    }
    Ok(())
}
