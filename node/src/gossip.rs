//! What the mesh says: to the quorum, with a verdict for the mesh.
use std::sync::Arc;
use std::time::{Duration, Instant};

use seedbank_mesh::{GossipId, PaymentBundle, PeerInfo, Topic, Verdict};
use seedbank_quorum::{Input, Message};
use seedbank_types::{Refusal, ServerKey, SignedPayment};
use tokio::sync::Semaphore;

use crate::evidence;
use crate::shared::Shared;
use crate::stamps;

/// So long gossip of this key may be an echo of what this server said before it was started again:
/// peers remember messages for a minute.
const ECHO: Duration = Duration::from_secs(60);

/// Bundles whose signatures are checked at once; further ones are not forwarded by this server.
const BUNDLES_MAX: usize = 64;
/// A bundle costs its peer at least as much as so many payments: it is signed itself.
const BUNDLE_COST_MIN: usize = 8;

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
    pub(crate) async fn hear(
        &self,
        topic: Topic,
        data: &[u8],
        source: Option<ServerKey>,
        from: &PeerInfo,
        id: GossipId,
    ) {
        match topic {
            Topic::Payments => self.hear_payments(data, source, from, id).await,
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

    async fn hear_payments(&self, data: &[u8], author: Option<ServerKey>, from: &PeerInfo, id: GossipId) {
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
        let (shared, peer, cost) = (Arc::clone(&self.shared), from.peer, bundle.payments.len().max(BUNDLE_COST_MIN));
        let checking = match shared.allowances.take(from.into(), cost, Instant::now()) {
            Ok(checking) => checking,
            Err(ms) => {
                tracing::debug!(%peer, ms, "a bundle of payments is more than this peer may hand in");
                return self.judge(id, Verdict::Ignore).await;
            }
        };
        let bits = author.map_or_else(|| self.shared.stamp_bits(&from.into()), |_server| 0);
        tokio::spawn(async move {
            if !is_stamped(&shared, &bundle, bits) {
                return give_verdict(&shared, id, Verdict::Ignore).await;
            }
            let forged = check_bundle(&shared, bundle, id).await;
            checking.punish(forged);
            if forged > 0 && shared.mesh.strike(peer).await.is_err() {
                tracing::trace!("the mesh has stopped");
            }
            drop((place, checking));
        });
    }

    async fn judge(&self, id: GossipId, verdict: Verdict) {
        give_verdict(&self.shared, id, verdict).await;
    }
}

/// Servers may ask for different stamps, so a weak one is nobody's fault.
fn is_stamped(shared: &Shared, bundle: &PaymentBundle, bits: u8) -> bool {
    let stamp = |index| bundle.stamps.get(index).copied();
    let is_good = |(index, one): (usize, &SignedPayment)| {
        stamps::check(&one.payment.id(&shared.community), stamp(index), bits).is_ok()
    };
    bits == 0 || bundle.payments.iter().enumerate().all(is_good)
}

/// A bundle is forwarded if anything in it is of use, and counted against its sender if anybody
/// could have seen that it is not. How many payments are forged.
async fn check_bundle(shared: &Shared, bundle: PaymentBundle, id: GossipId) -> usize {
    let checked = shared.checker.check(bundle.payments).await;
    let is_forged = |one: &&Result<_, Refusal>| matches!(one, Err(refusal) if *refusal != Refusal::Busy);
    let forged = checked.iter().filter(is_forged).count();
    if forged > 0 {
        give_verdict(shared, id, Verdict::Reject).await;
        return forged;
    }
    let good = checked.into_iter().flatten().collect();
    let admitted = shared.engine.submit(good, false).await;
    let verdict = if admitted.iter().any(Result::is_ok) { Verdict::Accept } else { Verdict::Ignore };
    give_verdict(shared, id, verdict).await;
    0
}

async fn give_verdict(shared: &Shared, id: GossipId, verdict: Verdict) {
    if shared.mesh.judge(id, verdict).await.is_err() {
        tracing::trace!("the mesh has stopped");
    }
}
