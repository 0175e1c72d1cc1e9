//! Decided batches that were fetched: their signatures, on all cores, before the quorum applies them in order.
use std::sync::Arc;

use seedbank_quorum::{CheckedBatch, CheckedPayment, DecidedBatch};
use seedbank_types::{Body, CommunityId, Entry, Rule, ServerSet};

use super::Checker;

/// One thread takes batches with so many bytes at once: some milliseconds of work.
const PART_BYTES: usize = 16 << 10;
/// Beside its payments, a batch has the signatures of its decision: worth about so many bytes of payments.
const DECISION_WORTH_BYTES: usize = 400;

impl Checker {
    /// Verifies the payments of decided batches, and their decisions as far as they are those of `servers`.
    /// What is not good is left to the quorum, which says why.
    pub(crate) async fn check_batches(
        &self,
        batches: Vec<DecidedBatch>,
        servers: &ServerSet,
        rule: Rule,
    ) -> Vec<CheckedBatch> {
        let (community, servers) = (self.community, Arc::new(servers.clone()));
        let parts = parts(batches).into_iter().map(|part| {
            let (cores, servers) = (Arc::clone(&self.cores), Arc::clone(&servers));
            tokio::spawn(async move {
                let Ok(_core) = cores.acquire_owned().await else { return Vec::new() };
                let work = move || part.into_iter().map(|batch| check(batch, &community, &servers, rule)).collect();
                tokio::task::spawn_blocking(work).await.unwrap_or_default()
            })
        });
        let mut checked = Vec::new();
        for part in parts.collect::<Vec<_>>() {
            match part.await {
                Ok(part) if !part.is_empty() => checked.extend(part),
                // What comes after a gap is of no use.
                _ => break,
            }
        }
        checked
    }
}

fn parts(batches: Vec<DecidedBatch>) -> Vec<Vec<DecidedBatch>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0);
    for batch in batches {
        if bytes >= PART_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += batch.body.len() + DECISION_WORTH_BYTES;
        parts.last_mut().expect("there is one from the start").push(batch);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn check(batch: DecidedBatch, community: &CommunityId, servers: &ServerSet, rule: Rule) -> CheckedBatch {
    // A closing body is a certificate, and what cannot be read is refused by the quorum.
    let entries = Body::decode(&batch.body).map(|body| body.entries).unwrap_or_default();
    let payments = entries.into_iter().filter_map(|entry| match entry {
        Entry::Payment(payment) => CheckedPayment::check(payment, community).ok(),
        Entry::Order(_) => None,
    });
    let payments = payments.collect();
    let proven_by = batch.decision.proves(&batch.header, servers, rule).then(|| servers.hash());
    CheckedBatch { batch, payments, proven_by }
}
