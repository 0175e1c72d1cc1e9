//! Real server processes on loopback, found through a local DHT.
mod catching_up;
mod common;
mod divergence;
mod evidence;
mod flood;
mod quorum;
mod speaking;
mod starting;
