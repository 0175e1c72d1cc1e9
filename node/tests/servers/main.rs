//! Real server processes on loopback, found through a local DHT.
mod common;
mod quorum;
mod starting;
