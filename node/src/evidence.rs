//! Evidence that a server signed twice: heard, asked for, passed on, told. The quorum checks and keeps it.
use std::sync::{Mutex, MutexGuard, PoisonError};

use seedbank_mesh::message::EVIDENCE_MAX;
use seedbank_mesh::{PeerRef, Request, Response, Topic, Verdict};
use seedbank_quorum::Input;
use seedbank_types::{Epoch, Evidence, ServerKey};

use crate::shared::{Parts, Shared};

/// The evidence on this server's disk, at hand for whoever asks; of more than one answer holds, the newest.
#[derive(Debug, Default)]
pub(crate) struct EvidenceKept(Mutex<Vec<Evidence>>);

impl EvidenceKept {
    pub(crate) fn remember(&self, evidence: Evidence) {
        let mut kept = self.lock();
        if !kept.iter().any(|one| place(one) == place(&evidence)) {
            kept.push(evidence);
            kept.sort_by_key(|one| (one.a.epoch, one.key));
        }
        let surplus = kept.len().saturating_sub(EVIDENCE_MAX);
        kept.drain(..surplus);
    }

    /// Oldest epoch first.
    pub(crate) fn all(&self) -> Vec<Evidence> {
        self.lock().clone()
    }

    /// Each double signer with the newest epoch in which it was caught.
    pub(crate) fn double_signers(&self) -> Vec<(ServerKey, Epoch)> {
        let kept = self.lock();
        let newest: std::collections::BTreeMap<_, _> = kept.iter().map(place).collect();
        newest.into_iter().collect()
    }

    fn knows(&self, evidence: &Evidence) -> bool {
        self.lock().iter().any(|one| place(one) == place(evidence))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Evidence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn place(evidence: &Evidence) -> (ServerKey, Epoch) {
    (evidence.key, evidence.a.epoch)
}

/// What becomes of gossip on the topic `evidence`: only what proves something new against a server of
/// this community is passed on, and nobody but a liar or a fool sends what proves nothing.
pub(crate) fn hear(shared: &Parts, data: &[u8]) -> Verdict {
    let Ok(evidence) = Evidence::decode(data) else { return Verdict::Reject };
    if evidence.a.community != shared.community || evidence.b.community != shared.community {
        return Verdict::Reject;
    }
    let view = shared.engine.view();
    let is_server = [&view.servers, &view.signers].iter().any(|set| set.number(&evidence.key).is_some());
    if !is_server || shared.evidence.knows(&evidence) {
        return Verdict::Ignore;
    }
    if evidence.verify().is_err() {
        return Verdict::Reject;
    }
    if shared.engine.try_send(Input::Evidence(Box::new(evidence))) { Verdict::Accept } else { Verdict::Ignore }
}

/// Asks a server that has just connected what it knows: gossip from before does not come again.
pub(crate) async fn ask(shared: Shared, server: ServerKey) {
    match shared.mesh.request(PeerRef::of_server(&server), Request::Evidence).await {
        Ok(Response::Evidence(all)) => {
            for evidence in all.into_iter().filter(|evidence| !shared.evidence.knows(evidence)) {
                shared.engine.send(Input::Evidence(Box::new(evidence))).await;
            }
        }
        Ok(_) => tracing::debug!(server = %server.short(), "the server gives no evidence"),
        Err(error) => tracing::debug!(server = %server.short(), %error, "no evidence"),
    }
}

/// Evidence that the quorum has just put on the disk: told to people, and to all others.
pub(crate) async fn on_double_signed(shared: &Parts, evidence: Evidence) {
    tracing::error!("{}", words(&evidence));
    let bytes = evidence.encode();
    shared.evidence.remember(evidence);
    if let Err(error) = shared.mesh.publish(Topic::Evidence, bytes).await {
        tracing::warn!(%error, "evidence was not published; whoever connects can still ask for it");
    }
}

/// What earlier runs found.
pub(crate) fn recall(shared: &Parts, all: Vec<Evidence>) {
    for evidence in all {
        tracing::warn!("known before: {}", words(&evidence));
        shared.evidence.remember(evidence);
    }
}

fn words(evidence: &Evidence) -> String {
    format!(
        "server {} signed two checkpoints of epoch {}: it lies, or its key is used on two machines. Its signatures \
         count no more in certificates. The proof is kept and served at /v1/evidence; talk to whoever runs it, and \
         agree on an order that takes the key out of the servers",
        evidence.key.short(),
        evidence.a.epoch
    )
}

#[cfg(test)]
mod tests {
    use seedbank_types::{Amount, Checkpoint, CommunityId, FileRef, Hash, Height, ServerSecret, TimeMs};

    use super::*;

    fn evidence(server: u8, epoch: u64) -> Evidence {
        let secret = ServerSecret::from_bytes(&[server; 32]);
        let signed = |root| {
            let checkpoint = Checkpoint {
                community: CommunityId([1; 32]),
                epoch: Epoch(epoch),
                height: Height(3),
                time: TimeMs(4),
                root: Hash([root; 32]),
                count: 6,
                supply: Amount(7),
                closing_header: Hash([8; 32]),
                previous: Hash([9; 32]),
                servers: Hash([10; 32]),
                snapshot: FileRef::NONE,
                delta: FileRef::NONE,
            };
            let signature = checkpoint.sign(&secret);
            (checkpoint, signature)
        };
        Evidence::new(secret.public(), signed(1), signed(2)).expect("two of one epoch")
    }

    #[test]
    fn each_server_and_epoch_is_kept_once_and_the_newest_epoch_is_named() {
        let kept = EvidenceKept::default();
        for (server, epoch) in [(1, 5), (2, 4), (1, 5), (1, 9)] {
            kept.remember(evidence(server, epoch));
        }
        assert_eq!(kept.all().iter().map(|one| one.a.epoch.0).collect::<Vec<_>>(), [4, 5, 9]);
        let key = |server| ServerSecret::from_bytes(&[server; 32]).public();
        let mut expected = vec![(key(1), Epoch(9)), (key(2), Epoch(4))];
        expected.sort();
        assert_eq!(kept.double_signers(), expected);
        assert!(kept.knows(&evidence(2, 4)) && !kept.knows(&evidence(2, 5)));
    }

    #[test]
    fn no_more_is_kept_than_one_answer_holds() {
        let kept = EvidenceKept::default();
        for epoch in 0..u64::try_from(EVIDENCE_MAX).expect("small") + 3 {
            kept.remember(Evidence { a: Checkpoint { epoch: Epoch(epoch), ..evidence(1, 1).a }, ..evidence(1, 1) });
        }
        let all = kept.all();
        assert_eq!((all.len(), all[0].a.epoch), (EVIDENCE_MAX, Epoch(3)));
    }
}
