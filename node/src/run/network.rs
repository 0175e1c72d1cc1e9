//! Everything that listens.
use std::collections::BTreeSet;
use std::sync::Arc;

use seedbank_api::{ApiHandle, ApiRequest, ApiSettings};
use seedbank_dht::{DhtHandle, DhtSettings};
use seedbank_mesh::{MeshEvent, MeshHandle, MeshSecret, MeshSettings};
use seedbank_store::Store;
use seedbank_torrent::{TorrentEvent, TorrentHandle, TorrentSettings};
use seedbank_types::{ServerKey, ServerSecret};
use tokio::sync::mpsc;

use crate::allowances::Allowances;
use crate::bodies::Bodies;
use crate::catching_up::CatchUpDesk;
use crate::checking::Checker;
use crate::divergence::DivergenceDesk;
use crate::engine_thread::EngineHandle;
use crate::evidence::EvidenceKept;
use crate::exit::Failure;
use crate::settings::Settings;
use crate::shared::{Parts, Refused};
use crate::stopping::Stops;

/// What the DHT node knows, in the home directory.
const DHT_STATE: &str = "dht.state";

/// The adapters with what they tell.
pub(crate) struct Network {
    pub(crate) dht: DhtHandle,
    pub(crate) torrent: TorrentHandle,
    pub(crate) torrent_events: mpsc::Receiver<TorrentEvent>,
    pub(crate) mesh: MeshHandle,
    pub(crate) mesh_events: mpsc::Receiver<MeshEvent>,
    pub(crate) api: ApiHandle,
    pub(crate) api_requests: mpsc::Receiver<ApiRequest>,
}

impl Network {
    /// Listens everywhere. The DHT node runs already: it was asked whether this server may start.
    pub(crate) async fn start(
        settings: &Settings,
        store: &Store,
        secret: &ServerSecret,
        dht: DhtHandle,
        stops: &Stops,
    ) -> Result<Self, Failure> {
        let stop = || stops.network.clone();
        let torrent = TorrentSettings::new(settings.torrent);
        let (torrent, torrent_events) = seedbank_torrent::spawn(torrent, stop()).await.map_err(Failure::usage)?;
        let mesh = mesh_settings(settings, store, secret);
        let (mesh, mesh_events) = seedbank_mesh::spawn(mesh, stop()).await.map_err(Failure::usage)?;
        let mut api = ApiSettings::new(settings.api);
        api.requests_per_second = settings.api_requests.unwrap_or(api.requests_per_second);
        let (api, api_requests) = seedbank_api::spawn(api, stops.intake.clone()).await.map_err(Failure::usage)?;
        Ok(Self { dht, torrent, torrent_events, mesh, mesh_events, api, api_requests })
    }

    /// What the tasks share.
    pub(crate) fn parts(&self, store: &Store, engine: EngineHandle, bodies: Arc<Bodies>, settings: &Settings) -> Parts {
        Parts {
            genesis: store.genesis().clone(),
            community: store.community(),
            key: self.mesh.peer().key().expect("a server's peer id is its key"),
            store: store.clone(),
            engine,
            mesh: self.mesh.clone(),
            bodies,
            checker: Checker::new(store.community()),
            allowances: Allowances::new(settings.peer_payments),
            stamps: settings.stamps,
            refused: Refused::default(),
            evidence: EvidenceKept::default(),
            divergence: DivergenceDesk::new(self.torrent.clone(), settings.home.clone()),
            catch_up: CatchUpDesk::new(self.torrent.clone()),
            proofs: Arc::default(),
            torrent: self.torrent.listen(),
            dht: self.dht.clone(),
            record: Arc::default(),
        }
    }
}

pub(crate) async fn start_dht(settings: &Settings, stops: &Stops) -> Result<DhtHandle, Failure> {
    let (bootstrap, state) = (settings.bootstrap.clone(), settings.home.join(DHT_STATE));
    let settings = if settings.dht.ip().is_loopback() {
        DhtSettings::loopback(settings.dht, bootstrap)
    } else {
        DhtSettings::new(settings.dht, bootstrap)
    };
    let settings = settings.serving().keeping(state);
    seedbank_dht::spawn(settings, stops.network.clone()).await.map_err(Failure::usage)
}

fn mesh_settings(settings: &Settings, store: &Store, secret: &ServerSecret) -> MeshSettings {
    let state = store.ledger_state();
    let servers: BTreeSet<ServerKey> =
        [&state.servers, &state.next_servers, &state.signers].iter().flat_map(|set| set.keys()).collect();
    let servers = servers.into_iter().collect();
    MeshSettings::new(MeshSecret::Server(secret.clone()), settings.mesh, store.community(), servers)
}
