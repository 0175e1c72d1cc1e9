//! The main loop: stop, own finished work, new work.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::anyhow;
use seedbank_api::ApiRequest;
use seedbank_dht::Announcement;
use seedbank_mesh::{Bundler, MeshEvent, PaymentBundle, PeerInfo, Reply, Request, Topic};
use seedbank_quorum::{Input, MessageTopic};
use seedbank_torrent::TorrentEvent;
use seedbank_types::{Grade, ServerKey, SignedPayment};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cutting::CutSlot;
use crate::engine_thread::EngineEvent;
use crate::exit::Failure;
use crate::gossip::Ear;
use crate::home::Home;
use crate::keys::LockedKey;
use crate::publishing::Certified;
use crate::shared::{Reach, Shared};
use crate::stopping::{self, Stops};
use crate::unordered::{Due, Unordered};
use crate::{evidence, fetching, payments, requests};

/// Requests of peers and programs that are answered at once.
const REQUESTS_MAX: usize = 256;

/// What comes in.
pub(crate) struct Intake {
    pub(crate) engine: mpsc::Receiver<EngineEvent>,
    pub(crate) mesh: mpsc::Receiver<MeshEvent>,
    pub(crate) api: mpsc::Receiver<ApiRequest>,
    pub(crate) torrent: mpsc::Receiver<TorrentEvent>,
}

/// Ends of tasks that should not end.
pub(crate) type Services = JoinSet<(&'static str, anyhow::Result<()>)>;

/// A running server.
pub(crate) struct Node {
    pub(super) shared: Shared,
    intake: Intake,
    thread: JoinHandle<Result<(), Failure>>,
    services: Services,
    stops: Stops,
    cuts: Arc<CutSlot>,
    pub(super) certificates: mpsc::Sender<Certified>,
    ear: Ear,
    bundler: Bundler,
    pub(super) unordered: Unordered,
    places: Arc<Semaphore>,
    /// The list of peers itself: events about them come a moment before it changes.
    peers: watch::Receiver<Vec<PeerInfo>>,
    reach: Reach,
    pub(super) certified: Option<(u64, Grade)>,
    pub(super) servers: BTreeSet<ServerKey>,
    kept: Option<Kept>,
    pub(super) is_leaving: bool,
    /// Cancelled when this server, which an order removed, may end.
    pub(super) left: CancellationToken,
}

/// Locks and guards that last as long as the server.
struct Kept {
    home: Home,
    _key: LockedKey,
    _rendezvous: Announcement,
}

impl Node {
    pub(crate) fn new(
        shared: Shared,
        intake: Intake,
        thread: JoinHandle<Result<(), Failure>>,
        services: Services,
        stops: Stops,
        cuts: Arc<CutSlot>,
        certificates: mpsc::Sender<Certified>,
    ) -> Self {
        let (ear, reach) = (Ear::new(Arc::clone(&shared)), shared.reach());
        let peers = shared.mesh.watch_peers();
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        Self {
            shared,
            intake,
            thread,
            services,
            stops,
            cuts,
            certificates,
            ear,
            bundler: Bundler::new(),
            unordered: Unordered::default(),
            places,
            peers,
            reach,
            certified: None,
            servers: BTreeSet::new(),
            kept: None,
            is_leaving: false,
            left: CancellationToken::new(),
        }
    }

    pub(crate) fn keeping(mut self, home: Home, key: LockedKey, rendezvous: Announcement) -> Self {
        self.kept = Some(Kept { home, _key: key, _rendezvous: rendezvous });
        self
    }

    /// Runs until a signal or a failure, then stops everything.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let result = self.until_told().await;
        if let Err(failure) = &result {
            tracing::error!("stopping: {failure}");
        }
        let Self { intake, thread, services, stops, certificates, kept, shared, .. } = self;
        drop(certificates);
        let dht = shared.dht.clone();
        drop(shared);
        let ended = stopping::stop(&stops, intake, thread, services, dht).await;
        if let Some(Kept { home, .. }) = kept {
            home.forget_addresses()?;
        }
        result.and(ended)
    }

    async fn until_told(&mut self) -> Result<(), Failure> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::unexpected)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::unexpected)?;
        loop {
            let (bundle_due, unordered_due) = (self.bundler.due(), self.unordered.due());
            tokio::select! {
                biased;
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = self.left.cancelled() => {
                    tracing::warn!("stopping for good: this server has left; nobody needs its key any more, destroy it");
                    return Ok(());
                }
                Some(ended) = self.services.join_next() => return Err(service_ended(ended)),
                event = self.intake.engine.recv() => match event {
                    Some(event) => self.on_engine_event(event).await,
                    // Its thread has said why.
                    None => {
                        tracing::error!("the quorum has ended by itself");
                        return Ok(());
                    }
                },
                () = until(bundle_due) => {
                    let bundle = self.bundler.take_due(Instant::now());
                    self.publish_bundle(bundle, false).await;
                }
                () = until(unordered_due) => self.tell_again().await,
                event = self.intake.mesh.recv() => match event {
                    Some(event) => self.on_mesh_event(event).await,
                    None => return Err(Failure::Unexpected(anyhow!("the mesh has ended by itself"))),
                },
                Ok(()) = self.peers.changed() => self.look_around(),
                Some(request) = self.intake.api.recv() => self.on_api_request(request),
                Some(event) = self.intake.torrent.recv() => on_torrent_event(&event),
            }
        }
        tracing::info!("told to stop");
        Ok(())
    }

    async fn on_engine_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Send { topic, bytes } => {
                let topic = match topic {
                    MessageTopic::Quorum => Topic::Quorum,
                    MessageTopic::Checkpoints => Topic::Checkpoints,
                };
                self.publish(topic, bytes).await;
            }
            EngineEvent::FetchBody { digest, from } => {
                tokio::spawn(fetching::body(Arc::clone(&self.shared), digest, from));
            }
            EngineEvent::FetchBatches { first, count, from } => {
                tokio::spawn(fetching::batches(Arc::clone(&self.shared), first, count, from));
            }
            EngineEvent::FetchState => self.shared.catch_up.want(),
            EngineEvent::Installed(installed) => self.on_installed(*installed).await,
            EngineEvent::Cut { order, records } => self.cuts.put((order, records)),
            EngineEvent::Fresh(payments) => self.bundle(payments).await,
            EngineEvent::Event(event) => self.on_event(*event).await,
        }
    }

    async fn publish(&self, topic: Topic, data: Vec<u8>) {
        if let Err(error) = self.shared.mesh.publish(topic, data).await {
            tracing::error!(%topic, %error, "a message was not published");
        }
    }

    async fn bundle(&mut self, payments: Vec<SignedPayment>) {
        for payment in payments {
            let id = payment.payment.id(&self.shared.community);
            self.unordered.add(Instant::now(), id, payment.clone());
            let full = self.bundler.add(Instant::now(), payment);
            self.publish_bundle(full, false).await;
        }
    }

    /// Tells all servers that are connected what should have been ordered by now, and in the end by
    /// way of each other.
    async fn tell_again(&mut self) {
        let Due { payments, in_vain } = self.unordered.take_due(Instant::now());
        for server in self.shared.mesh.servers_connected() {
            self.tell(server, payments.clone());
        }
        let mut bundler = Bundler::new();
        for payment in in_vain {
            if let Some(full) = bundler.add(Instant::now(), payment) {
                self.publish_bundle(Some(full), true).await;
            }
        }
        self.publish_bundle(bundler.flush(), true).await;
    }

    fn tell(&self, server: ServerKey, payments: Vec<SignedPayment>) {
        if !payments.is_empty() {
            tokio::spawn(payments::tell(Arc::clone(&self.shared), server, payments));
        }
    }

    async fn publish_bundle(&self, bundle: Option<PaymentBundle>, is_forwarded: bool) {
        let bytes = match bundle.map(|bundle| bundle.encode()) {
            None => return,
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => return tracing::error!(%error, "a bundle of payments has no room in its format"),
        };
        if !is_forwarded {
            return self.publish(Topic::Payments, bytes).await;
        }
        if let Err(error) = self.shared.mesh.publish_forwarded(Topic::Payments, bytes).await {
            tracing::error!(%error, "payments were not said again");
        }
    }

    async fn on_mesh_event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Gossip { topic, data, source, from, verdict } => {
                self.ear.hear(topic, &data, source, &from, verdict).await;
            }
            MeshEvent::Request { from, request, reply } => self.on_peer_request(from, request, reply),
            MeshEvent::PeerConnected { server: Some(server), address, .. } => {
                tracing::info!("server {} connected at {address}", server.short());
                if !self.shared.engine.try_send(Input::Connected) {
                    tracing::debug!("the quorum is busy: it says where it is a little later");
                }
                self.tell(server, self.unordered.oldest());
                tokio::spawn(evidence::ask(Arc::clone(&self.shared), server));
            }
            MeshEvent::PeerDisconnected { server: Some(server), .. } => {
                tracing::warn!("server {} lost", server.short());
            }
            MeshEvent::PeerConnected { .. } | MeshEvent::PeerDisconnected { .. } => {}
        }
    }

    /// Says when a quorum comes into reach or goes out of it.
    fn look_around(&mut self) {
        let before = std::mem::replace(&mut self.reach, self.shared.reach());
        let Reach { connected, total, is_quorum } = self.reach;
        match (before.is_quorum, is_quorum) {
            (false, true) => tracing::info!("a quorum is in reach: {connected} of {total} servers"),
            (true, false) => {
                tracing::warn!(
                    "the quorum is out of reach: {connected} of {total} servers; payments are refused until more are back"
                );
            }
            _ => {}
        }
    }

    /// With too much under way the reply is dropped, which says "busy".
    fn on_peer_request(&self, from: PeerInfo, request: Request, reply: Reply) {
        let Some(underway) = self.shared.allowances.begin((&from).into(), Instant::now()) else { return };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            requests::answer_peer(shared, from, request, reply).await;
            drop((place, underway));
        });
    }

    fn on_api_request(&self, request: ApiRequest) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            requests::answer_api(shared, request).await;
            drop(place);
        });
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn service_ended(ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>) -> Failure {
    match ended {
        Ok((name, Ok(()))) => Failure::Unexpected(anyhow!("the {name} has ended by itself")),
        Ok((name, Err(error))) => error
            .downcast::<Failure>()
            .unwrap_or_else(|error| Failure::Disk(error.context(format!("the {name} cannot go on")))),
        Err(error) => Failure::Unexpected(anyhow!("a task died: {error}")),
    }
}

fn on_torrent_event(event: &TorrentEvent) {
    match event {
        TorrentEvent::Seeding { info_hash } | TorrentEvent::Fetched { info_hash } => {
            tracing::debug!("seeding {info_hash}");
        }
        TorrentEvent::Unreadable { info_hash, path, why } => {
            tracing::error!("{info_hash} is not seeded any more: {} cannot be read: {why}", path.display());
        }
    }
}
