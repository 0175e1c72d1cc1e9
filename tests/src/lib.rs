//! What the end-to-end tests share; the tests themselves are in `tests/tests`.
//!
//! They run the real programs, which must be built first: `sh tests/run.sh` does both.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> anyhow::Result<()> {
//! use seedbank_testnet::TestnetSettings;
//!
//! let testnet = seedbank_tests::ready(&TestnetSettings { servers: 1, ..Default::default() }).await?;
//! testnet.stop().await?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use anyhow::{Context, Result};
use seedbank_testnet::{Testnet, TestnetSettings};

/// So long a testnet may take until an epoch is certified and its seeders have the file.
pub const READY_LIMIT: Duration = Duration::from_secs(120);

/// Replays a random test: the seed that a failure printed.
pub const SEED_VARIABLE: &str = "SEEDBANK_SEED";

/// A testnet that is ready.
pub async fn ready(settings: &TestnetSettings) -> Result<Testnet> {
    let mut testnet = Testnet::start(settings).await?;
    let place = testnet.home().display().to_string();
    testnet.ready(READY_LIMIT).await.with_context(|| format!("the logs are in {place}"))?;
    Ok(testnet)
}

/// A short epoch for tests.
#[must_use]
pub fn quick() -> TestnetSettings {
    TestnetSettings { epoch: "2s".to_owned(), ..TestnetSettings::default() }
}

/// Chance for a test, the same for the same seed.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    chance: seedbank_testnet::Chance,
}

impl Chance {
    /// With the seed of the environment, else another one at every run.
    pub fn new() -> Result<Self> {
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(text) => text.parse().with_context(|| format!("{SEED_VARIABLE} is {text:?}, not a number"))?,
            Err(_not_set) => RandomState::new().hash_one("seed"),
        };
        Ok(Self { seed, chance: seedbank_testnet::Chance::of(seed) })
    }

    /// The seed, to be printed by a failure.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.chance.below(end)
    }

    /// A time below `end`.
    pub fn pause(&mut self, end: Duration) -> Duration {
        self.chance.pause(end)
    }
}
