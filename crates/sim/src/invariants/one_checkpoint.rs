//! One epoch has one certified checkpoint, and every certificate is what it claims.
use std::collections::{BTreeMap, BTreeSet};

use seedbank_types::{Rule, ServerKey};

use crate::Server;

/// Panics if two checkpoints of one epoch were certified, or a certificate is not valid.
pub fn check(servers: &BTreeMap<ServerKey, Server>, rule: Rule) {
    let mut certified = BTreeMap::new();
    for (key, server) in servers {
        for (epoch, certificate) in server.disk.certificates() {
            let hash = certificate.checkpoint.hash();
            let (first, by) = *certified.entry(*epoch).or_insert((hash, *key));
            assert_eq!(first, hash, "servers {by} and {key} have different certificates of epoch {epoch}");
            let verified = certificate.verify(&server.disk.state().servers, rule, &BTreeSet::new());
            assert!(verified.is_ok(), "the certificate of epoch {epoch} on server {key}: {verified:?}");
        }
    }
}
