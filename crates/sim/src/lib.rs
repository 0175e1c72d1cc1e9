//! A whole quorum on one thread in virtual time: servers, network, disks and paying clients.
//!
//! The real quorum, ledger and snapshot code runs; only what lies outside their seam of inputs and
//! effects is simulated. The same seed gives the same history. It is a test tool: nothing of it
//! runs in production.
//!
//! Start at [`World`]; its invariants are in [`invariants`], one file each.
//!
//! ```
//! use seedbank_sim::{Plan, World};
//!
//! let mut world = World::new(Plan { seed: 1, servers: 3, ..Plan::default() });
//! world.run_ms(3_000);
//! assert!(world.certified_epoch() >= 1);
//! ```
#![forbid(unsafe_code)]
mod disk;
pub mod invariants;
mod random;
mod server;
mod world;

pub use disk::Disk;
pub use random::Random;
pub use server::Server;
pub use world::{Plan, World};
