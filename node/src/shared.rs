//! What the tasks of a running server share.
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use seedbank_dht::{DhtHandle, RecordStatus};
use seedbank_mesh::MeshHandle;
use seedbank_store::Store;
use seedbank_types::{CommunityId, Genesis, PaymentId, Refusal, ServerKey};
use tokio::sync::watch;

use crate::allowances::{Allowances, Source};
use crate::bodies::Bodies;
use crate::catching_up::CatchUpDesk;
use crate::checking::Checker;
use crate::divergence::DivergenceDesk;
use crate::engine_thread::EngineHandle;
use crate::evidence::EvidenceKept;
use crate::proofs::Proofs;
use crate::stamps::Stamps;

/// Refused payments that are remembered; the oldest is forgotten first.
const REFUSED_MAX: usize = 10_000;

/// How the keeping of this server's record in the DHT goes, once there is one.
pub(crate) type OwnRecord = Arc<OnceLock<watch::Receiver<RecordStatus>>>;

/// Handles of all parts; cheap to clone.
pub(crate) type Shared = Arc<Parts>;

/// The parts of a running server.
pub(crate) struct Parts {
    pub(crate) genesis: Genesis,
    pub(crate) community: CommunityId,
    pub(crate) key: ServerKey,
    pub(crate) store: Store,
    pub(crate) engine: EngineHandle,
    pub(crate) mesh: MeshHandle,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) checker: Checker,
    pub(crate) allowances: Allowances,
    pub(crate) stamps: Stamps,
    pub(crate) refused: Refused,
    pub(crate) evidence: EvidenceKept,
    pub(crate) divergence: DivergenceDesk,
    pub(crate) catch_up: CatchUpDesk,
    pub(crate) proofs: Arc<Proofs>,
    pub(crate) torrent: SocketAddr,
    pub(crate) dht: DhtHandle,
    pub(crate) record: OwnRecord,
}

impl Parts {
    /// Zero bits that the stamps of a source's payments must have now.
    pub(crate) fn stamp_bits(&self, source: &Source) -> u8 {
        if source.is_server() { 0 } else { self.stamps.bits(self.engine.view().fullness) }
    }

    /// Servers in force that this one hears, itself included, and whether they are a quorum.
    pub(crate) fn reach(&self) -> Reach {
        let view = self.engine.view();
        let servers = &view.servers;
        let connected = self.mesh.servers_connected();
        let heard = servers.members().iter().filter(|(key, _)| *key == self.key || connected.contains(key));
        let (count, power) = heard.fold((0, 0_u64), |(count, power), (_, one)| (count + 1, power + one));
        Reach {
            connected: count,
            total: servers.count(),
            is_quorum: self.genesis.quorum.is_quorum(power, servers.total()),
        }
    }
}

/// How many servers are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) connected: usize,
    pub(crate) total: usize,
    pub(crate) is_quorum: bool,
}

/// Why payments were refused, as far as it is remembered.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<(BTreeMap<PaymentId, Refusal>, VecDeque<PaymentId>)>);

impl Refused {
    pub(crate) fn remember(&self, id: PaymentId, refusal: Refusal) {
        let (by_id, order) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if by_id.insert(id, refusal).is_none() {
            order.push_back(id);
        }
        while order.len() > REFUSED_MAX {
            if let Some(oldest) = order.pop_front() {
                by_id.remove(&oldest);
            }
        }
    }

    pub(crate) fn refusal(&self, id: &PaymentId) -> Option<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_refusals_are_forgotten() {
        let refused = Refused::default();
        let id = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            PaymentId(bytes)
        };
        for number in 0..=REFUSED_MAX {
            refused.remember(id(number), Refusal::ZeroAmount);
        }
        assert_eq!(refused.refusal(&id(0)), None);
        assert_eq!(refused.refusal(&id(REFUSED_MAX)), Some(Refusal::ZeroAmount));
    }
}
