//! Starting: disk first, then the network, then the quorum, then the tasks around it.
use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::anyhow;
use seedbank_api::ApiSettings;
use seedbank_dht::{Announcement, DhtHandle, DhtSettings};
use seedbank_mesh::{MeshSecret, MeshSettings};
use seedbank_quorum::{Chain, Quorum};
use seedbank_store::Store;
use seedbank_torrent::TorrentSettings;
use seedbank_types::{Certificate, Contact, Grade, Height, ServerKey};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Disk;
use super::main_loop::{Intake, Node};
use crate::bodies::Bodies;
use crate::cutting::{CutSlot, Cutter};
use crate::engine_thread;
use crate::exit::Failure;
use crate::publishing::Publisher;
use crate::settings::Settings;
use crate::shared::{Parts, Refused};
use crate::stopping::Stops;
use crate::{discovery, recovery};

/// Cut files that wait for the publisher.
const FILES_MAX: usize = 4;
/// Certificates that wait for the publisher.
const CERTIFICATES_MAX: usize = 64;

/// Starts everything and says where it listens.
pub(crate) async fn start(settings: &Settings, disk: Disk) -> Result<Node, Failure> {
    let stops = Stops::default();
    let result = start_all(settings, disk, &stops).await;
    if result.is_err() {
        stops.cancel_all();
    }
    result
}

async fn start_all(settings: &Settings, disk: Disk, stops: &Stops) -> Result<Node, Failure> {
    let Disk { home, key, store, leftovers } = disk;
    let secret = key.secret.clone();
    let dht = start_dht(settings, stops).await?;
    refuse_second_life(&store, &dht, secret.public()).await?;
    let torrent = TorrentSettings::new(settings.torrent);
    let (torrent, torrent_events) =
        seedbank_torrent::spawn(torrent, stops.network.clone()).await.map_err(Failure::usage)?;
    let mesh = mesh_settings(settings, &store, &key.secret);
    let (mesh, mesh_events) = seedbank_mesh::spawn(mesh, stops.network.clone()).await.map_err(Failure::usage)?;
    let (api, api_requests) =
        seedbank_api::spawn(ApiSettings::new(settings.api), stops.intake.clone()).await.map_err(Failure::usage)?;

    let recovered = recovery::recover(&store)?;
    let certified = newest_certified(&store, &recovered.chain)?;
    let mut quorum = seedbank_quorum::Settings::new(store.genesis(), secret.clone());
    quorum.batch_bytes_max = settings.batch_bytes;
    let quorum = Quorum::new(quorum, recovered).map_err(Failure::usage)?;
    let bodies = Arc::new(Bodies::default());
    let engine = engine_thread::spawn(quorum, store.clone(), Arc::clone(&bodies), certified, stops.quorum.clone())?;

    let shared = Arc::new(Parts {
        genesis: store.genesis().clone(),
        community: store.community(),
        key: secret.public(),
        store: store.clone(),
        engine: engine.handle.clone(),
        mesh,
        bodies,
        refused: Refused::default(),
        proofs: Arc::default(),
        torrent: torrent.listen(),
        dht: dht.local_address(),
    });
    let rendezvous = announce_mesh(&shared, &dht);
    let mut services = JoinSet::new();
    let cuts = Arc::new(CutSlot::default());
    let (files, cut_files) = mpsc::channel(FILES_MAX);
    let cutter = Cutter { dir: home.snapshots(), community: shared.community, engine: shared.engine.clone(), files };
    services.spawn(named("cutter", cutter.run(Arc::clone(&cuts), stops.tasks.clone())));
    let contacts = vec![Contact::Mesh(shared.mesh.multiaddr()), Contact::Api(format!("http://{}", api.address))];
    let publisher = Publisher {
        secret,
        store,
        dht: dht.clone(),
        torrent: torrent.clone(),
        contacts,
        proofs: Arc::clone(&shared.proofs),
    };
    let (certificates, certified) = mpsc::channel(CERTIFICATES_MAX);
    services.spawn(named("publisher", publisher.run(leftovers, cut_files, certified)));
    let looking = discovery::run(Arc::clone(&shared), dht, stops.tasks.clone());
    services.spawn(named("discovery", async {
        looking.await;
        Ok(())
    }));

    home.write_addresses(&json!({
        "pid": std::process::id(),
        "api": api.address.to_string(),
        "mesh": shared.mesh.multiaddr(),
        "torrent": torrent.listen().to_string(),
        "dht": shared.dht.to_string(),
        "key": shared.key.to_string(),
    }))?;
    say_start(&shared, &api.address.to_string());
    let intake = Intake { engine: engine.events, mesh: mesh_events, api: api_requests, torrent: torrent_events };
    let node = Node::new(shared, intake, engine.thread, services, stops.clone(), cuts, certificates);
    Ok(node.keeping(home, key, rendezvous))
}

async fn start_dht(settings: &Settings, stops: &Stops) -> Result<DhtHandle, Failure> {
    let bootstrap = settings.bootstrap.clone();
    let settings = if settings.dht.ip().is_loopback() {
        DhtSettings::loopback(settings.dht, bootstrap)
    } else {
        DhtSettings::new(settings.dht, bootstrap)
    };
    seedbank_dht::spawn(settings, stops.network.clone()).await.map_err(Failure::usage)
}

fn mesh_settings(settings: &Settings, store: &Store, secret: &seedbank_types::ServerSecret) -> MeshSettings {
    let state = store.ledger_state();
    let servers: BTreeSet<ServerKey> =
        [&state.servers, &state.next_servers, &state.signers].iter().flat_map(|set| set.keys()).collect();
    let servers = servers.into_iter().collect();
    MeshSettings::new(MeshSecret::Server(secret.clone()), settings.mesh, store.community(), servers)
}

/// A key that has signed may not begin again from genesis: it would forget what it has said.
async fn refuse_second_life(store: &Store, dht: &DhtHandle, key: ServerKey) -> Result<(), Failure> {
    if store.ledger_state().height > Height(0) {
        return Ok(());
    }
    match dht.record(key).await {
        Ok(None) => Ok(()),
        Ok(Some(record)) => Err(Failure::MayHaveSpoken(format!(
            "the DHT holds record {} of this key, so it has signed before, but this home directory starts from genesis: \
             use the old home directory, or found the community with a new key",
            record.seq
        ))),
        Err(error) => {
            tracing::warn!(%error, "the DHT does not answer: whether this key was used before is not known");
            Ok(())
        }
    }
}

/// The newest certificate on this disk with its grade.
fn newest_certified(store: &Store, chain: &Chain) -> Result<Option<(Certificate, Grade)>, Failure> {
    let Some(certificate) = store.newest_certificate()? else { return Ok(None) };
    let (signers, rule) = (&chain.state.signers, store.genesis().quorum);
    let grade = certificate.verify(signers, rule, &BTreeSet::new()).unwrap_or(Grade::Crash);
    Ok(Some((certificate, grade)))
}

fn announce_mesh(shared: &Parts, dht: &DhtHandle) -> Announcement {
    dht.announce(discovery::rendezvous(&shared.community), shared.mesh.listen_address().port())
}

async fn named(
    name: &'static str,
    service: impl Future<Output = anyhow::Result<()>>,
) -> (&'static str, Result<(), anyhow::Error>) {
    (name, service.await.map_err(|error| anyhow!("{error:#}")))
}

fn say_start(shared: &Parts, api: &str) {
    let view = shared.engine.view();
    tracing::info!(
        "server {} of {} ({}) starts at height {}, epoch {} is open: API http://{api}, mesh {}",
        shared.key.short(),
        shared.genesis.name,
        shared.genesis.quorum.guarantee(),
        view.height,
        view.open_epoch,
        shared.mesh.multiaddr(),
    );
}
