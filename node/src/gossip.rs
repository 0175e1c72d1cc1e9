//! What the mesh says: to the quorum, with a verdict for the mesh.
use std::sync::Arc;
use std::time::{Duration, Instant};

use seedbank_mesh::{GossipId, PaymentBundle, Topic, Verdict};
use seedbank_quorum::{Input, Message};
use seedbank_types::{Refusal, ServerKey};
use tokio::sync::Semaphore;

use crate::evidence;
use crate::shared::Shared;

/// So long gossip of this key may be an echo of what this server said before it was started again:
/// peers remember messages for a minute.
const ECHO: Duration = Duration::from_secs(60);

/// Bundles whose signatures are checked at once; further ones are not forwarded by this server.
const BUNDLES_MAX: usize = 64;

/// Takes gossip in.
pub(crate) struct Ear {
    shared: Shared,
    started: Instant,
    places: Arc<Semaphore>,
}

impl Ear {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared, started: Instant::now(), places: Arc::new(Semaphore::new(BUNDLES_MAX)) }
    }

    /// One message; its verdict is given at once, or by a task that checks signatures first.
    pub(crate) async fn hear(&self, topic: Topic, data: &[u8], source: Option<ServerKey>, id: GossipId) {
        match topic {
            Topic::Payments => self.hear_payments(data, id).await,
            Topic::Quorum | Topic::Checkpoints => {
                let verdict = self.hear_server(data, source);
                self.judge(id, verdict).await;
            }
            Topic::Evidence => self.judge(id, evidence::hear(&self.shared, data)).await,
        }
    }

    fn hear_server(&self, data: &[u8], source: Option<ServerKey>) -> Verdict {
        let Some(from) = source else { return Verdict::Ignore };
        if from == self.shared.key && self.started.elapsed() < ECHO {
            return Verdict::Ignore;
        }
        match Message::decode(data) {
            Err(error) => {
                tracing::debug!(server = %from.short(), %error, "a server's message cannot be read");
                Verdict::Reject
            }
            Ok(message) => match self.shared.engine.try_send(Input::Message { from, message }) {
                true => Verdict::Accept,
                false => Verdict::Ignore,
            },
        }
    }

    async fn hear_payments(&self, data: &[u8], id: GossipId) {
        let bundle = match PaymentBundle::decode(data) {
            Ok(bundle) => bundle,
            Err(error) => {
                tracing::debug!(%error, "a bundle of payments cannot be read");
                return self.judge(id, Verdict::Reject).await;
            }
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.judge(id, Verdict::Ignore).await;
        };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            check_bundle(shared, bundle, id).await;
            drop(place);
        });
    }

    async fn judge(&self, id: GossipId, verdict: Verdict) {
        give_verdict(&self.shared, id, verdict).await;
    }
}

/// A bundle is forwarded if anything in it is of use, and counted against its sender if anybody
/// could have seen that it is not.
async fn check_bundle(shared: Shared, bundle: PaymentBundle, id: GossipId) {
    let checked = shared.checker.check(bundle.payments).await;
    let is_forged = |one: &Result<_, Refusal>| matches!(one, Err(refusal) if *refusal != Refusal::Busy);
    if checked.iter().any(is_forged) {
        return give_verdict(&shared, id, Verdict::Reject).await;
    }
    let good = checked.into_iter().flatten().collect();
    let admitted = shared.engine.submit(good, false).await;
    let verdict = if admitted.iter().any(Result::is_ok) { Verdict::Accept } else { Verdict::Ignore };
    give_verdict(&shared, id, verdict).await;
}

async fn give_verdict(shared: &Shared, id: GossipId, verdict: Verdict) {
    if shared.mesh.judge(id, verdict).await.is_err() {
        tracing::trace!("the mesh has stopped");
    }
}
