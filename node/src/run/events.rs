//! What the quorum tells: one clear line in the log for each, and what follows from it.
use std::collections::BTreeSet;

use seedbank_quorum::Event;
use seedbank_types::{Certificate, Entry, Grade, ServerKey};

use super::main_loop::Node;
use crate::divergence::{self, Noticed};
use crate::evidence;

impl Node {
    pub(super) async fn on_event(&mut self, event: Event) {
        match event {
            Event::Joined { height } => tracing::info!("joined the quorum at height {height}"),
            Event::Observing { guard } => tracing::warn!(
                "this key may have spoken before: observing, voting from height {} on, signing from epoch {} on",
                guard.vote_from,
                guard.sign_from
            ),
            Event::Decided { height, epoch, entries, .. } => {
                tracing::debug!("height {height} decided in epoch {epoch}: {} entries", entries.len());
                self.forget_ordered(&entries);
            }
            Event::Refused(refused) => {
                for (id, refusal) in refused {
                    self.unordered.remove(&id);
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

    fn forget_ordered(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.unordered.is_empty() {
                break;
            }
            self.unordered.remove(&entry.id(&self.shared.community));
        }
    }

    async fn on_certified(&mut self, certificate: Certificate, grade: Grade) {
        self.say_certified(&certificate, grade);
        let view = self.shared.engine.view();
        self.follow_servers(view.servers.keys().chain(view.signers.keys()).collect()).await;
        if self.certificates.try_send((certificate, view.signers.clone())).is_err() {
            tracing::warn!("publishing does not keep up: a certificate is left out");
        }
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
