//! What the quorum tells: one clear line in the log for each, and what follows from it.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use seedbank_ledger::LedgerState;
use seedbank_quorum::Event;
use seedbank_types::{Certificate, Entry, Epoch, Grade, Guarantee, OrderKind, PaymentId, ServerKey, ServerSet};

use super::main_loop::Node;
use crate::divergence::{self, Noticed};
use crate::evidence;
use crate::handovers::{self, Change};
use crate::leaving;

impl Node {
    pub(super) async fn on_event(&mut self, event: Event) {
        match event {
            Event::Joined { height } => tracing::info!("joined the quorum at height {height}"),
            Event::Observing { guard } => tracing::warn!(
                "this key may have spoken before: observing, voting from height {} on, signing from epoch {} on",
                guard.vote_from,
                guard.sign_from
            ),
            Event::Decided { height, epoch, entries, ids, .. } => {
                tracing::debug!("height {height} decided in epoch {epoch}: {} entries", entries.len());
                self.forget_ordered(&ids);
                if entries.iter().any(names_servers) {
                    self.on_servers_ordered().await;
                }
            }
            Event::Refused(refused) => {
                let now = Instant::now();
                for (id, refusal) in refused {
                    self.unordered.remove(now, &id);
                    self.shared.refused.remember(id, refusal);
                }
            }
            Event::Certified { certificate, grade } => self.on_certified(certificate, grade).await,
            Event::DoubleSigned(evidence) => evidence::on_double_signed(&self.shared, *evidence).await,
            Event::ProposalRefused { proposer, height, fault } => {
                tracing::warn!("the proposal of server {} at height {height} is refused: {fault}", proposer.short());
            }
            Event::ClocksDiffer { proposer, by_ms } => tracing::warn!(
                "the proposal of server {} is {by_ms} ms off: it was made before an interruption, or the clocks differ",
                proposer.short()
            ),
            Event::Diverged { height, why, certificate } => {
                let certificate = certificate.map(|certificate| *certificate);
                divergence::spawn_telling(&self.shared, Noticed { height, why, certificate });
            }
        }
    }

    fn forget_ordered(&mut self, ids: &[PaymentId]) {
        let now = Instant::now();
        ids.iter().for_each(|id| self.unordered.remove(now, id));
    }

    async fn on_certified(&mut self, certificate: Certificate, grade: Grade) {
        let is_new_epoch = self.certified.is_none_or(|(epoch, _)| epoch < certificate.checkpoint.epoch.0);
        self.say_certified(&certificate, grade);
        let (store, epoch) = (&self.shared.store, certificate.checkpoint.epoch);
        let (state, change) = (store.ledger_state(), handovers::change_at(store, epoch));
        let change = change.unwrap_or_else(|error| {
            tracing::error!(%error, "a change of servers cannot be read");
            None
        });
        if let Some(Change { from, next }) = change.as_ref().filter(|_| is_new_epoch) {
            tracing::info!(
                "the servers changed at the end of epoch {epoch}: {}; {}",
                handovers::words(from, next),
                Guarantee::of(next, self.shared.genesis.quorum),
            );
        }
        let signers = change.map_or_else(|| state.signers.clone(), |change| change.from);
        self.follow_servers(keys(&state)).await;
        if self.certificates.try_send((certificate, signers)).is_err() {
            tracing::warn!("publishing does not keep up: a certificate is left out");
        }
        self.leave_if_removed(&state, epoch);
    }

    /// A server that no set needs any more holds the certificate now that hands over: it may go.
    fn leave_if_removed(&mut self, state: &LedgerState, epoch: Epoch) {
        if self.is_leaving || !handovers::has_left(&self.shared.store, state, &self.shared.key) {
            return;
        }
        self.is_leaving = true;
        tracing::warn!("this server has left the community: epoch {epoch} is certified, and others sign from now on");
        let (shared, left) = (Arc::clone(&self.shared), self.left.clone());
        tokio::spawn(async move {
            leaving::may_go(shared).await;
            left.cancel();
        });
    }

    /// The quorum began again from a certified state: other servers may be in force, and the newest epoch is known.
    pub(super) async fn on_installed(&mut self, (certificate, grade, signers): (Certificate, Grade, ServerSet)) {
        let checkpoint = &certificate.checkpoint;
        tracing::info!("went on from the certified state of epoch {}, height {}", checkpoint.epoch, checkpoint.height);
        self.certified = Some((checkpoint.epoch.0, grade));
        let state = self.shared.store.ledger_state();
        self.follow_servers(keys(&state)).await;
        if self.certificates.try_send((certificate, signers)).is_err() {
            tracing::warn!("publishing does not keep up: a certificate is left out");
        }
    }

    /// The next servers are told to the mesh at once: a new one must be heard as soon as it is in force.
    async fn on_servers_ordered(&mut self) {
        let state = self.shared.store.ledger_state();
        tracing::info!(
            "an order changes the servers at the end of this epoch: {}; then {}",
            handovers::words(&state.servers, &state.next_servers),
            Guarantee::of(&state.next_servers, self.shared.genesis.quorum),
        );
        self.follow_servers(keys(&state)).await;
    }

    fn say_certified(&mut self, certificate: &Certificate, grade: Grade) {
        let (checkpoint, signatures) = (&certificate.checkpoint, certificate.signatures.len());
        let before = self.certified.replace((checkpoint.epoch.0, grade));
        match before {
            Some((epoch, known)) if epoch == checkpoint.epoch.0 && known == grade => {}
            Some((epoch, _)) if epoch == checkpoint.epoch.0 => {
                tracing::info!("epoch {epoch} is {grade} now, with {signatures} signatures");
            }
            _ => tracing::info!(
                "epoch {} certified ({grade}, {signatures} signatures): height {}, {} accounts, root {}, snapshot {}",
                checkpoint.epoch,
                checkpoint.height,
                checkpoint.count,
                &checkpoint.root.to_string()[..8],
                checkpoint.snapshot.info_hash,
            ),
        }
    }

    /// Tells the mesh when other servers are in force.
    async fn follow_servers(&mut self, servers: BTreeSet<ServerKey>) {
        if servers == self.servers {
            return;
        }
        if self.shared.mesh.set_servers(servers.iter().copied().collect()).await.is_err() {
            tracing::debug!("the mesh has stopped");
        }
        self.servers = servers;
    }
}

/// The servers of the last epoch, this one and the next.
fn keys(state: &LedgerState) -> BTreeSet<ServerKey> {
    [&state.signers, &state.servers, &state.next_servers].iter().flat_map(|set| set.keys()).collect()
}

const fn names_servers(entry: &Entry) -> bool {
    matches!(entry, Entry::Order(signed) if matches!(signed.order.kind, OrderKind::Servers(_)))
}
