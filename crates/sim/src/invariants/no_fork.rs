//! No two servers have different headers at one height.
use std::collections::BTreeMap;

use seedbank_types::ServerKey;

use crate::Server;

/// Panics if two servers decided differently.
pub fn check(servers: &BTreeMap<ServerKey, Server>) {
    let mut decided = BTreeMap::new();
    for (key, server) in servers {
        for batch in server.disk.batches() {
            let hash = batch.header.hash();
            let (first, by) = *decided.entry(batch.header.height).or_insert((hash, *key));
            assert_eq!(first, hash, "servers {by} and {key} differ at height {}", batch.header.height);
        }
    }
}
