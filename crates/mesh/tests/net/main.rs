//! The mesh on loopback, with real connections.
mod common;
mod servers;
mod stranger;
