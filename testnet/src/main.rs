//! Seedbank.
fn main() {}
