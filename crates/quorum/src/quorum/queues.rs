//! How much waits where, and how much may: for whoever watches that nobody can fill a server up.
use super::{CANDIDATES_MAX, EARLY_PER_SERVER_MAX, INCOMING_MAX, Quorum};
use crate::checkpoints::EPOCHS_MAX;
use crate::pool::{ORDERS_MAX, PAYMENTS_BYTES_MAX, PAYMENTS_MAX};

/// Timers of a height: a few for each round that can still matter.
const TIMERS_MAX: usize = 64;

/// A queue of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// What waits in it.
    pub name: &'static str,
    /// How many do.
    pub length: usize,
    /// How many may.
    pub max: usize,
}

impl Quorum {
    /// Every queue with its length and its bound.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        let state = &self.chain.state;
        // A server can be in all three sets; itself it remembers too.
        let known = 1 + state.signers.count() + state.servers.count() + state.next_servers.count();
        let queue = |name, length, max| Queue { name, length, max };
        [
            queue("payments", self.pool.len(), PAYMENTS_MAX),
            queue("bytes of payments", self.pool.bytes(), PAYMENTS_BYTES_MAX),
            queue("orders", self.pool.orders(), ORDERS_MAX),
            queue("proposed headers", self.candidates.len(), CANDIDATES_MAX),
            queue("early messages", self.early.len(), EARLY_PER_SERVER_MAX * known),
            queue("fetched batches", self.fetching.len(), INCOMING_MAX),
            queue("timers", self.timers.len(), TIMERS_MAX),
            queue("votes", self.votes.len(), known),
            queue("heights", self.heights.len(), known),
            queue("servers without a certificate", self.uncertified.len(), known),
            queue("servers heard", self.heard_ms.len(), known),
            queue("epochs with signatures", self.checkpoints.epochs(), EPOCHS_MAX),
        ]
        .into_iter()
    }
}
