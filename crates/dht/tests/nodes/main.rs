//! Nodes on loopback: what they keep, whom they talk to, and how fast.
mod common;
mod families;
mod programs;
mod restart;
mod speed;
