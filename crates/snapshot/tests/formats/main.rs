//! The formats of this crate from outside: golden bytes, properties, every flipped bit.
mod deltas;
mod files;
mod fixtures;
mod golden;
mod proofs;
mod slow;
