//! Every queue keeps within its bound, whoever floods it.
use crate::Server;

/// Panics if a queue is longer than it may be.
pub fn check(server: &Server) {
    let Some(quorum) = &server.quorum else { return };
    for queue in quorum.queues() {
        let (name, length, max) = (queue.name, queue.length, queue.max);
        assert!(length <= max, "server {} holds {length} {name}, at most {max}", server.key.short());
    }
}
