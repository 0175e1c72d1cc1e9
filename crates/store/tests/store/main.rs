//! The store from outside: every rule that others rely on.
mod batches;
mod checkpoints;
mod child;
mod common;
mod creation;
mod damage;
mod installing;
mod log;
mod million;
mod model;
mod records;
