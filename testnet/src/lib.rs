//! A whole Seedbank community on this machine: a local DHT, servers, seeders and light clients, each the
//! real program in a process of its own on loopback addresses.
//!
//! It serves the demo ([`story`]), the measurements ([`mod@bench`]), the end-to-end tests and everybody who wants to try things out.
//! It is *not* part of a community in use, and no other crate but the tests depends on it.
//!
//! Start at [`Testnet`].
//!
//! Invariants: nothing reaches beyond loopback; ports come from the system; however the testnet
//! ends, its processes end with it; everything lies below one directory, logs in `<name>/log`.
//!
//! ```no_run
//! use std::time::Duration;
//! use seedbank_testnet::{Testnet, TestnetSettings};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> anyhow::Result<()> {
//! let mut testnet = Testnet::start(&TestnetSettings::default()).await?;
//! testnet.ready(Duration::from_secs(60)).await?;
//! let newest = testnet.servers()[0].api().checkpoint().await?;
//! println!("epoch {} is certified", newest.expect("the testnet is ready").epoch);
//! testnet.stop().await?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod accounts;
mod api;
pub mod bank;
pub mod bench;
mod binaries;
mod chance;
mod client;
pub mod dht_net;
pub mod failover;
pub mod faults;
mod founding;
pub mod guard;
mod home;
mod narrator;
mod net;
mod payments;
mod process;
mod server;
pub mod story;
mod testnet;
mod witness;

pub use accounts::{Accounts, FIRST_BALANCE, PASSPHRASE};
pub use api::{Account, Api, Certified, ErrorAnswer, PaymentAnswer, SUBMIT_PAYMENTS_MAX, Status, error_code};
pub use binaries::{BINARIES_VARIABLE, Binaries};
pub use chance::Chance;
pub use client::{LightClient, Outcome, Seeder, snapshots_below};
pub use founding::{DECIMALS, MINIMUM_FEE};
pub use narrator::Narrator;
pub use net::{Net, Part};
pub use payments::{MadePayment, Payments, all_final, balance, is_final, submit};
pub use process::Process;
pub use server::{Server, ServerAddresses};
pub use testnet::{Description, Testnet, TestnetSettings, in_time};
pub use witness::Witness;
