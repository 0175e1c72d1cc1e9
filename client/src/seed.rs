//! `seedbank seed`: keeps the newest balances available for others, and follows the epochs.
use std::collections::VecDeque;
use std::time::Duration;

use seedbank_dht::Announcement;
use seedbank_types::{Certificate, InfoHash};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::cli::SeedFlags;
use crate::disk::{self, PUBLIC};
use crate::errors::{Exit, Failure};
use crate::home::{CommunityHome, SNAPSHOTS_KEPT};
use crate::network::Network;
use crate::report::{self, Answer};
use crate::settings::{Settings, Trusted};
use crate::{balance, status, sync};

/// Longest and shortest pause between looks for a newer epoch.
const LOOK_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The pause while the length of an epoch is not known.
const LOOK_PAUSE_AT_FIRST: Duration = Duration::from_secs(1);
/// What is still under way when a stop is asked for gets so long.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A seeder at work.
struct Seeder<'a> {
    settings: &'a Settings,
    trusted: Trusted,
    network: Network,
    /// Oldest first. The announcing ends when it is dropped.
    seeded: VecDeque<(InfoHash, Announcement)>,
    last_problem: String,
}

pub(crate) async fn run(settings: &Settings, flags: &SeedFlags) -> Result<Answer, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let mut seeder = Seeder::start(settings, flags, &stop).await?;
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        outcome = seeder.work() => outcome,
    };
    let count = seeder.seeded.len();
    seeder.end().await;
    outcome?;
    settings.voice.aside("stopped");
    Ok(Answer::new(String::new(), json!({ "stopped": true, "seeded": count })))
}

/// SIGTERM and Ctrl-C end the seeding in order.
fn stop_on_signals(stop: &CancellationToken) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(Failure::unexpected);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

impl<'a> Seeder<'a> {
    /// Opens the sockets and writes where they are.
    async fn start(settings: &'a Settings, flags: &SeedFlags, stop: &CancellationToken) -> Result<Self, Failure> {
        let trusted = settings.trusted()?;
        let dht_state = settings.home.path("dht.state");
        let network = Network::start_on(&trusted, flags.dht_port, dht_state, flags.torrent_port).await?;
        let listen = network.torrent().await?.listen();
        let addresses = json!({
            "pid": std::process::id(),
            "torrent": listen.to_string(),
            "dht": network.dht.local_address().to_string(),
        });
        settings.home.root()?;
        disk::write(&settings.home.path("addresses.json"), addresses.to_string().as_bytes(), PUBLIC)?;
        tracing::debug!(%listen, stopped = stop.is_cancelled(), "seeding");
        Ok(Self { settings, trusted, network, seeded: VecDeque::new(), last_problem: String::new() })
    }

    /// Seeds what is there, then looks for newer epochs until it is stopped or the servers contradict themselves.
    async fn work(&mut self) -> Result<(), Failure> {
        if let Ok(kept) = balance::load(self.settings, &self.trusted) {
            self.seed(&kept.home, &kept.certificate).await;
        }
        loop {
            let started = Instant::now();
            let pause = match sync::sync(&self.settings.home, &self.trusted, &self.network, self.settings.voice).await {
                Ok(synced) => {
                    self.trusted.community = synced.known.records.judge().community();
                    self.seed(&synced.known.home, &synced.certificate).await;
                    self.last_problem.clear();
                    let epoch_ms = synced.known.genesis.map(|genesis| genesis.epoch_ms);
                    epoch_ms.map_or(LOOK_PAUSE_AT_FIRST, |epoch_ms| Duration::from_millis(epoch_ms / 4))
                }
                Err(failure) if failure.code == "conflict" => return Err(failure),
                Err(failure) => self.problem(&failure),
            };
            tokio::time::sleep_until(started + pause.clamp(LOOK_PAUSE.0, LOOK_PAUSE.1)).await;
        }
    }

    /// Says what keeps it from going on, once; it tries again.
    fn problem(&mut self, failure: &Failure) -> Duration {
        if self.last_problem != failure.message {
            self.settings.voice.log(&format!("waiting: {}", failure.message));
            self.last_problem.clone_from(&failure.message);
        }
        if failure.exit == Exit::Disk { LOOK_PAUSE.1 } else { LOOK_PAUSE_AT_FIRST }
    }

    /// Offers a verified snapshot to others; the one before stays offered.
    async fn seed(&mut self, home: &CommunityHome, certificate: &Certificate) {
        let checkpoint = &certificate.checkpoint;
        let info_hash = checkpoint.snapshot.info_hash;
        if self.seeded.iter().any(|(seeded, _)| *seeded == info_hash) {
            return;
        }
        match self.try_seed(home, certificate).await {
            Ok(announcement) => self.seeded.push_back((info_hash, announcement)),
            Err(failure) => {
                self.problem(&failure);
                return;
            }
        }
        self.settings.voice.log(&format!(
            "seeding the balances of epoch {}: {} accounts, infohash {info_hash}",
            checkpoint.epoch,
            report::grouped(checkpoint.count)
        ));
        while self.seeded.len() > SNAPSHOTS_KEPT {
            if let Some((old, announcement)) = self.seeded.pop_front() {
                drop(announcement);
                self.stop(old).await;
            }
        }
    }

    async fn try_seed(&self, home: &CommunityHome, certificate: &Certificate) -> Result<Announcement, Failure> {
        let info_hash = certificate.checkpoint.snapshot.info_hash;
        let path = home.snapshot_path(info_hash);
        let damaged =
            || Failure::unverified("the file has another infohash than was certified", "It is fetched again.");
        let (read, certificate) = (path.clone(), certificate.clone());
        let metainfo = tokio::task::spawn_blocking(move || {
            let height = status::height(&read, &certificate)?;
            status::metainfo(&read, certificate.checkpoint.community, height)
        });
        let metainfo = metainfo.await.map_err(Failure::unexpected)?;
        let Some(metainfo) = metainfo.filter(|metainfo| metainfo.info_hash() == info_hash) else {
            // Whatever happened to it, it is no longer what was verified.
            disk::remove(&path)?;
            return Err(damaged());
        };
        let torrent = self.network.torrent().await?;
        torrent.seed(metainfo, &path).await.map_err(Failure::unexpected)?;
        Ok(self.network.dht.announce(info_hash, torrent.listen().port()))
    }

    async fn stop(&self, info_hash: InfoHash) {
        if let Ok(torrent) = self.network.torrent().await {
            torrent.stop(info_hash).await;
        }
    }

    async fn end(mut self) {
        let ending = async {
            while let Some((info_hash, announcement)) = self.seeded.pop_front() {
                drop(announcement);
                self.stop(info_hash).await;
            }
            self.network.stopped().await;
        };
        if timeout(STOP_WITHIN, ending).await.is_err() {
            tracing::warn!("the torrents or the DHT node did not stop in time");
        }
    }
}
