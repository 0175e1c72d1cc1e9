//! Starting: disk first, then the network, then the quorum, then the tasks around it.
use std::collections::BTreeSet;
use std::sync::Arc;

use seedbank_dht::{Announcement, DhtHandle};
use seedbank_quorum::{Chain, Guard, Quorum};
use seedbank_store::Store;
use seedbank_types::{Bootstrap, Certificate, Contact, Grade, Guarantee, Height, ServerKey, ServerSecret};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Disk;
use super::main_loop::{Intake, Node, Services};
use super::network::{self, Network};
use crate::bodies::Bodies;
use crate::cutting::{CutSlot, Cutter};
use crate::engine_thread::{self, EngineThread};
use crate::exit::Failure;
use crate::home::Home;
use crate::pruning::Pruner;
use crate::publishing::{Certified, Publisher};
use crate::settings::Settings;
use crate::shared::{Parts, Shared};
use crate::snapshots::Files;
use crate::stopping::Stops;
use crate::{catching_up, discovery, divergence, evidence, leaving, recovery};

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
    if settings.bootstrap == Bootstrap::None {
        tracing::warn!(
            "no --bootstrap is given: nobody is asked for the other servers, they must find this one's DHT node at {}; \
             give --bootstrap HOST:PORT or public",
            settings.dht
        );
    }
    let dht = network::start_dht(settings, stops).await?;
    refuse_second_life(&store, &dht, key.secret.public()).await?;
    let network = Network::start(settings, &store, &key.secret, dht, stops).await?;
    let bodies = Arc::new(Bodies::default());
    let engine = start_engine(settings, &store, &key.secret, &bodies, stops)?;
    let shared = Arc::new(network.parts(&store, engine.handle.clone(), bodies, settings));
    evidence::recall(&shared, store.evidence()?);
    if let Some(noticed) = divergence::recall(&store)? {
        divergence::spawn_telling(&shared, noticed);
    }
    let rendezvous = announce_mesh(&shared, &network.dht);

    let around = Around { settings, shared: &shared, network: &network, home: &home, secret: &key.secret, stops };
    let (services, cuts, certificates) = around.start(store, leftovers);
    home.write_addresses(&addresses(&shared, &network))?;
    say_start(&shared, &network.api.address.to_string());
    let Network { mesh_events, api_requests, torrent_events, .. } = network;
    let intake = Intake { engine: engine.events, mesh: mesh_events, api: api_requests, torrent: torrent_events };
    let node = Node::new(shared, intake, engine.thread, services, stops.clone(), cuts, certificates);
    Ok(node.keeping(home, key, rendezvous))
}

fn start_engine(
    settings: &Settings,
    store: &Store,
    secret: &ServerSecret,
    bodies: &Arc<Bodies>,
    stops: &Stops,
) -> Result<EngineThread, Failure> {
    let recovered = recovery::recover(store)?;
    let certified = newest_certified(store, &recovered.chain)?;
    let mut quorum = seedbank_quorum::Settings::new(store.genesis(), secret.clone());
    quorum.batch_bytes_max = settings.batch_bytes;
    quorum.batches_behind_max = settings.snapshot_after.unwrap_or(quorum.batches_behind_max);
    let for_later = quorum.clone();
    let mut quorum = Quorum::new(quorum, recovered).map_err(Failure::usage)?;
    if divergence::recall(store)?.is_some() {
        quorum.set_diverged();
    }
    engine_thread::spawn(quorum, for_later, store.clone(), Arc::clone(bodies), certified, stops.quorum.clone())
}

/// What the tasks around the quorum are made of.
struct Around<'a> {
    settings: &'a Settings,
    shared: &'a Shared,
    network: &'a Network,
    home: &'a Home,
    secret: &'a ServerSecret,
    stops: &'a Stops,
}

impl Around<'_> {
    fn start(&self, store: Store, leftovers: Files) -> (Services, Arc<CutSlot>, mpsc::Sender<Certified>) {
        let mut services = JoinSet::new();
        let (cuts, stop) = (Arc::new(CutSlot::default()), &self.stops.tasks);
        let (files, cut_files) = mpsc::channel(FILES_MAX);
        let (dir, community, engine) = (self.home.snapshots(), self.shared.community, self.shared.engine.clone());
        let cutter = Cutter { dir, community, engine, files };
        services.spawn(named("cutter", cutter.run(Arc::clone(&cuts), stop.clone())));
        let (certificates, certified) = mpsc::channel(CERTIFICATES_MAX);
        let former = leaving::keep_records(store.clone(), self.network.dht.clone(), stop.clone());
        services.spawn(named("keeper of former servers' records", former));
        services.spawn(named("publisher", self.publisher(store).run(leftovers, cut_files, certified)));
        let pruner = Pruner { shared: Arc::clone(self.shared), keep_batches: self.settings.keep_batches };
        services.spawn(named("pruner", pruner.run(stop.clone())));
        services
            .spawn(named("catch-up", catching_up::run(Arc::clone(self.shared), self.home.catch_up(), stop.clone())));
        let looking = discovery::run(Arc::clone(self.shared), self.network.dht.clone(), stop.clone());
        services.spawn(named("discovery", async {
            looking.await;
            Ok(())
        }));
        (services, cuts, certificates)
    }

    fn publisher(&self, store: Store) -> Publisher {
        let (mesh, api) = (self.shared.mesh.multiaddr(), format!("http://{}", self.network.api.address));
        Publisher {
            secret: self.secret.clone(),
            store,
            dht: self.network.dht.clone(),
            torrent: self.network.torrent.clone(),
            contacts: vec![Contact::Mesh(mesh), Contact::Api(api)],
            proofs: Arc::clone(&self.shared.proofs),
            record: Arc::clone(&self.shared.record),
        }
    }
}

fn addresses(shared: &Parts, network: &Network) -> Value {
    json!({
        "pid": std::process::id(),
        "api": network.api.address.to_string(),
        "mesh": shared.mesh.multiaddr(),
        "torrent": shared.torrent.to_string(),
        "dht": shared.dht.local_address().to_string(),
        "key": shared.key.to_string(),
    })
}

/// A key that has signed may not begin again from genesis: it would forget what it has said.
async fn refuse_second_life(store: &Store, dht: &DhtHandle, key: ServerKey) -> Result<(), Failure> {
    // A resynced database knows that its key has spoken: it observes first.
    if store.ledger_state().height > Height(0) || recovery::guard(store)? != Guard::default() {
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
    dht.announce(seedbank_dht::rendezvous(&shared.community), shared.mesh.listen_address().port())
}

async fn named(
    name: &'static str,
    service: impl Future<Output = anyhow::Result<()>>,
) -> (&'static str, anyhow::Result<()>) {
    (name, service.await)
}

fn say_start(shared: &Parts, api: &str) {
    let view = shared.engine.view();
    tracing::info!(
        "server {} of {} ({}) starts at height {}, epoch {} is open: API http://{api}, mesh {}",
        shared.key.short(),
        shared.genesis.name,
        Guarantee::of(&view.servers, shared.genesis.quorum),
        view.height,
        view.open_epoch,
        shared.mesh.multiaddr(),
    );
    if !shared.reach().is_quorum {
        tracing::info!("waiting for other servers, which are looked for in the DHT");
    }
}
