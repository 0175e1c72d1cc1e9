//! A payment that a server called final is on some disk at that height, for good.
use std::collections::BTreeMap;

use seedbank_types::{Height, PaymentId, ServerKey};

use crate::Server;

/// Panics if a final payment's height is on no disk.
pub fn check(servers: &BTreeMap<ServerKey, Server>, finals: &BTreeMap<PaymentId, Height>) {
    let highest = servers.values().map(|server| server.disk.state().height).max().unwrap_or_default();
    for (id, height) in finals {
        assert!(*height <= highest, "payment {id} was final at height {height}, which no disk has");
    }
}
