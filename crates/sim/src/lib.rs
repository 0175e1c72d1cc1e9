//! A whole quorum on one thread in virtual time: servers, network, disks, liars and paying clients.
//!
//! The real quorum, ledger and snapshot code runs; only what lies outside their seam of inputs and
//! effects is simulated. The same seed gives the same history. It is a test tool: nothing of it
//! runs in production.
//!
//! Start at [`World`]; its invariants are in [`invariants`], one file each, and are held after every
//! event. [`run_seed`] makes a random world with random faults, and demands that it recovers; the
//! program `seedbank-sim` does so for many seeds.
//!
//! ```
//! use seedbank_sim::{Plan, World};
//!
//! let mut world = World::new(Plan { seed: 1, servers: 3, ..Plan::default() });
//! world.run_ms(3_000);
//! assert!(world.certified_epoch() >= 1);
//! ```
#![forbid(unsafe_code)]
mod client;
mod disk;
pub mod invariants;
mod liar;
mod memo;
mod model;
mod mutation;
mod network;
mod plan;
mod random;
mod seed;
mod server;
mod wire;
mod world;

pub use client::Client;
pub use disk::{Content, Disk};
pub use liar::{Habit, Liar};
pub use memo::{CAN_MEMOISE, memoise_signatures};
pub use model::{Model, Truth};
pub use mutation::Mutation;
pub use network::Network;
pub use plan::Plan;
pub use random::Random;
pub use seed::{Choice, Kind, Outcome, run_seed};
pub use server::Server;
pub use world::{Counts, World};
