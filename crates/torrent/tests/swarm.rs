//! Files travel between services on loopback.
use std::{
    fs::{self, Permissions},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use seedbank_torrent::{
    Fetch, FetchError, FetchRequest, Fetched, Metainfo, TorrentError, TorrentEvent, TorrentHandle, TorrentSettings,
    spawn,
};
use seedbank_types::InfoHash;
use tempfile::TempDir;
use tokio::{
    sync::mpsc::Receiver,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at something that is about to happen.
const LOOK: Duration = Duration::from_millis(5);

/// A running service.
struct Node {
    torrents: TorrentHandle,
    events: Receiver<TorrentEvent>,
    stop: CancellationToken,
}

impl Node {
    async fn new() -> Self {
        Self::on("127.0.0.1:0").await
    }

    async fn on(listen: &str) -> Self {
        let stop = CancellationToken::new();
        let settings = TorrentSettings::new(listen.parse().expect("an address"));
        let (torrents, events) = spawn(settings, stop.clone()).await.expect("a free port");
        Self { torrents, events, stop }
    }

    fn address(&self) -> SocketAddr {
        self.torrents.listen()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A file and its metainfo.
struct Sample {
    directory: TempDir,
    path: PathBuf,
    metainfo: Metainfo,
}

impl Sample {
    fn new(length: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("on disk it has another name");
        let bytes: Vec<u8> =
            (0..length).map(|i| (i.wrapping_mul(31) ^ (i >> 7) ^ (i >> 15)).to_le_bytes()[0]).collect();
        fs::write(&path, bytes).expect("space");
        fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("ours");
        let metainfo = Metainfo::of_file("seedbank-a1b2c3d4-7.snapshot", &path).expect("readable");
        Self { directory, path, metainfo }
    }

    fn hash(&self) -> InfoHash {
        self.metainfo.info_hash()
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("fetched")
    }

    fn request(&self, peers: &[SocketAddr]) -> FetchRequest {
        FetchRequest {
            info_hash: self.hash(),
            length: self.metainfo.length(),
            path: self.target(),
            peers: peers.to_owned(),
        }
    }

    async fn seed_at(&self, node: &Node) {
        node.torrents.seed(self.metainfo.clone(), &self.path).await.expect("the file is right");
    }

    fn assert_fetched(&self, fetched: &Fetched) {
        assert_eq!(fetched.metainfo, self.metainfo);
        assert_eq!(fetched.path, self.target());
        assert!(fs::read(&self.path).expect("seeded") == fs::read(self.target()).expect("fetched"), "other bytes");
    }
}

async fn done(fetch: Fetch) -> Result<Fetched, FetchError> {
    timeout(DEADLINE, fetch).await.expect("the fetch ends before the deadline")
}

/// An address on which nobody listens.
fn dead() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !reached().await {
        assert!(begun.elapsed() < DEADLINE, "never happened: {what}");
        sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_is_fetched_by_its_infohash_alone() {
    let sample = Sample::new(300_001);
    let (mut seeder, mut leecher) = (Node::new().await, Node::new().await);
    sample.seed_at(&seeder).await;
    assert_eq!(seeder.events.recv().await, Some(TorrentEvent::Seeding { info_hash: sample.hash() }));
    let begun = Instant::now();
    let fetch = leecher.torrents.fetch(sample.request(&[seeder.address()])).await;
    let progress = fetch.progress();
    let fetched = done(fetch).await.expect("the seeder has it");
    let took = begun.elapsed();
    sample.assert_fetched(&fetched);
    assert!(took < Duration::from_secs(1), "a small file took {took:?}");
    assert_eq!(leecher.events.recv().await, Some(TorrentEvent::Fetched { info_hash: sample.hash() }));
    assert_eq!((progress.borrow().bytes, progress.borrow().length), (300_001, 300_001));
    let (up, down) = (seeder.torrents.stats(sample.hash()).await, leecher.torrents.stats(sample.hash()).await);
    assert_eq!(up.expect("seeded").bytes_up, 300_001);
    assert_eq!(down.expect("seeded on").bytes_have, 300_001);
    assert!(down.expect("seeded on").finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_one_byte_and_of_whole_pieces_travel() {
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    for length in [1, 16_384, 16_385, 65_536] {
        let sample = Sample::new(length);
        sample.seed_at(&seeder).await;
        let fetch = leecher.torrents.fetch(sample.request(&[seeder.address()])).await;
        sample.assert_fetched(&done(fetch).await.expect("the seeder has it"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_seeders_give_one_file() {
    let sample = Sample::new(20_000_000);
    let seeders = [Node::on("127.1.0.1:0").await, Node::on("127.1.0.2:0").await, Node::on("127.1.0.3:0").await];
    let leecher = Node::on("127.1.0.4:0").await;
    for seeder in &seeders {
        sample.seed_at(seeder).await;
    }
    let addresses = seeders.each_ref().map(Node::address);
    assert_eq!(addresses[2].ip().to_string(), "127.1.0.3", "bound as set");
    let fetch = leecher.torrents.fetch(sample.request(&addresses)).await;
    sample.assert_fetched(&done(fetch).await.expect("three have it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_and_silent_peers_do_not_stop_a_fetch() {
    let sample = Sample::new(100_000);
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    sample.seed_at(&seeder).await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peers = [dead(), silent.local_addr().expect("it is bound"), leecher.address(), seeder.address()];
    let begun = Instant::now();
    let fetch = leecher.torrents.fetch(sample.request(&peers)).await;
    sample.assert_fetched(&done(fetch).await.expect("one has it"));
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_length_than_certified_is_refused_and_nothing_written() {
    let sample = Sample::new(100_000);
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    sample.seed_at(&seeder).await;
    for length in [99_999, 100_001, 0] {
        let request = FetchRequest { length, ..sample.request(&[seeder.address()]) };
        let refused = done(leecher.torrents.fetch(request).await).await.expect_err("not that length");
        assert!(
            matches!(refused, FetchError::Length { expected, got: 100_000, .. } if expected == length),
            "{refused}"
        );
        assert!(!sample.target().exists(), "nothing is written before the length is known");
        assert_eq!(leecher.torrents.stats(sample.hash()).await, None);
    }
}

/// Somebody else's client, which seeds whatever torrent there is.
async fn foreign_session(files: &Path) -> std::sync::Arc<librqbit::Session> {
    let options = librqbit::SessionOptions {
        dht: None,
        disable_trackers: true,
        disable_local_service_discovery: true,
        listen: Some(librqbit::ListenerOptions {
            listen_addr: "127.0.0.1:0".parse().expect("an address"),
            ..Default::default()
        }),
        ..Default::default()
    };
    librqbit::Session::new_with_opts(files.to_owned(), options).await.expect("a free port")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_of_several_files_is_refused_and_nothing_written() {
    let sample = Sample::new(1);
    let files = sample.directory.path().join("files");
    fs::create_dir(&files).expect("a new directory");
    fs::write(files.join("a"), [1; 1000]).expect("space");
    fs::write(files.join("b"), [2; 1000]).expect("space");
    let foreign = foreign_session(&files).await;
    let (created, _seeded) =
        foreign.create_and_serve_torrent(&files, Default::default()).await.expect("two readable files");
    let leecher = Node::new().await;
    let request = FetchRequest {
        info_hash: InfoHash(created.info_hash().0),
        length: 2000,
        path: sample.target(),
        peers: vec![foreign.listen_addr().expect("it listens")],
    };
    let refused = done(leecher.torrents.fetch(request).await).await.expect_err("two files");
    assert!(matches!(refused, FetchError::NotOneFile { .. }), "{refused}");
    assert!(!sample.target().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_may_become_known_after_the_fetch_began() {
    let sample = Sample::new(100_000);
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    sample.seed_at(&seeder).await;
    let fetch = leecher.torrents.fetch(sample.request(&[])).await;
    leecher.torrents.add_peers(InfoHash::ZERO, &[seeder.address()]).await;
    leecher.torrents.add_peers(sample.hash(), &[dead()]).await;
    leecher.torrents.add_peers(sample.hash(), &[seeder.address()]).await;
    sample.assert_fetched(&done(fetch).await.expect("the seeder has it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeder_may_begin_after_the_fetch_began() {
    let sample = Sample::new(100_000);
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    let fetch = leecher.torrents.fetch(sample.request(&[seeder.address()])).await;
    assert!(leecher.torrents.stats(sample.hash()).await.is_none());
    sample.seed_at(&seeder).await;
    sample.assert_fetched(&done(fetch).await.expect("the seeder has it"));
}

/// A peer that gives the metainfo and has nothing of the file holds the fetch up until a better one is named.
#[tokio::test(flavor = "multi_thread")]
async fn peers_may_become_known_while_others_are_connected() {
    let sample = Sample::new(100_000);
    let empty = sample.directory.path().join("empty");
    let foreign = foreign_session(&empty).await;
    let torrent = librqbit::AddTorrent::from_bytes(sample.metainfo.to_torrent_bytes());
    foreign.add_torrent(torrent, None).await.expect("our metainfo is good for others");
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    sample.seed_at(&seeder).await;
    let fetch = leecher.torrents.fetch(sample.request(&[foreign.listen_addr().expect("it listens")])).await;
    until("a connection to the peer without pieces", async || {
        leecher.torrents.stats(sample.hash()).await.is_some_and(|stats| stats.peers > 0)
    })
    .await;
    let begun = Instant::now();
    leecher.torrents.add_peers(sample.hash(), &[seeder.address()]).await;
    sample.assert_fetched(&done(fetch).await.expect("the seeder has it"));
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetched_file_is_seeded_on_also_after_it_was_moved() {
    let sample = Sample::new(100_000);
    let (seeder, second, third) = (Node::new().await, Node::new().await, Node::new().await);
    sample.seed_at(&seeder).await;
    let fetched =
        done(second.torrents.fetch(sample.request(&[seeder.address()])).await).await.expect("the seeder has it");
    assert!(seeder.torrents.stop(sample.hash()).await);
    let moved = sample.directory.path().join("moved");
    fs::rename(&fetched.path, &moved).expect("same directory");
    let fetch = third.torrents.fetch(sample.request(&[second.address()])).await;
    sample.assert_fetched(&done(fetch).await.expect("the second seeds on from the open file"));
    second.torrents.seed(fetched.metainfo, &moved).await.expect("the file is right");
    fs::remove_file(sample.target()).expect("fetched before");
    let fetch = seeder.torrents.fetch(sample.request(&[second.address()])).await;
    sample.assert_fetched(&done(fetch).await.expect("the second seeds on from where it is now"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_fetch_ends_and_may_be_resumed() {
    let sample = Sample::new(60_000_000);
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    sample.seed_at(&seeder).await;
    let fetch = leecher.torrents.fetch(sample.request(&[seeder.address()])).await;
    let mut progress = fetch.progress();
    timeout(DEADLINE, progress.wait_for(|now| now.bytes > 0)).await.expect("in time").expect("still fetching");
    drop(fetch);
    until("the end of the dropped fetch", async || leecher.torrents.stats(sample.hash()).await.is_none()).await;
    let fetch = leecher.torrents.fetch(sample.request(&[seeder.address()])).await;
    sample.assert_fetched(&done(fetch).await.expect("the seeder has it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_survives_the_end_of_its_only_seeder() {
    let sample = Sample::new(60_000_000);
    let (first, second, leecher) = (Node::new().await, Node::new().await, Node::new().await);
    sample.seed_at(&first).await;
    let fetch = leecher.torrents.fetch(sample.request(&[first.address(), second.address()])).await;
    let mut progress = fetch.progress();
    timeout(DEADLINE, progress.wait_for(|now| now.bytes > 0)).await.expect("in time").expect("still fetching");
    first.stop.cancel();
    sample.seed_at(&second).await;
    sample.assert_fetched(&done(fetch).await.expect("the second has it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_wrong_bytes_is_not_seeded() {
    let node = Node::new().await;
    let sample = Sample::new(100_000);
    let mut bytes = fs::read(&sample.path).expect("readable");
    bytes[50_000] ^= 1;
    let damaged = sample.directory.path().join("damaged");
    fs::write(&damaged, &bytes).expect("space");
    let refused = node.torrents.seed(sample.metainfo.clone(), &damaged).await.expect_err("one bit differs");
    assert!(matches!(refused, TorrentError::Damaged { expected: 100_000, good: 83_616, .. }), "{refused}");
    fs::write(&damaged, &bytes[1..]).expect("space");
    let refused = node.torrents.seed(sample.metainfo.clone(), &damaged).await.expect_err("a byte is missing");
    assert!(matches!(refused, TorrentError::Length { expected: 100_000, got: 99_999, .. }), "{refused}");
    let nowhere = sample.directory.path().join("nowhere");
    let refused = node.torrents.seed(sample.metainfo.clone(), &nowhere).await.expect_err("there is no file");
    assert!(matches!(refused, TorrentError::Open { .. }), "{refused}");
    assert_eq!(node.torrents.stats(sample.hash()).await, None);
    sample.seed_at(&node).await;
}

/// How many files of this process are open under `directory`.
fn open_files(directory: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").expect("Linux");
    open.flatten().filter(|entry| fs::read_link(entry.path()).is_ok_and(|file| file.starts_with(directory))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn seeding_and_stopping_leaves_nothing_open() {
    let sample = Sample::new(50_000);
    let (seeder, leecher) = (Node::new().await, Node::new().await);
    for round in 0..40 {
        sample.seed_at(&seeder).await;
        sample.seed_at(&seeder).await;
        assert_eq!(open_files(sample.directory.path()), 1, "seeding again changes nothing");
        if round % 10 == 0 {
            let fetch = leecher.torrents.fetch(sample.request(&[seeder.address()])).await;
            sample.assert_fetched(&done(fetch).await.expect("the seeder has it"));
            assert!(leecher.torrents.stop(sample.hash()).await);
            fs::remove_file(sample.target()).expect("fetched before");
        }
        assert!(seeder.torrents.stop(sample.hash()).await);
        assert!(!seeder.torrents.stop(sample.hash()).await, "there is nothing to stop twice");
        assert_eq!(seeder.torrents.stats(sample.hash()).await, None);
        until("the file is closed", async || open_files(sample.directory.path()) == 0).await;
    }
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..40 {
        sample.seed_at(&seeder).await;
        assert!(seeder.torrents.stop(sample.hash()).await);
    }
    until("all tasks have ended", async || tasks() <= before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_frees_its_port_and_ends_its_fetches() {
    let sample = Sample::new(50_000);
    let node = Node::new().await;
    let fetch = node.torrents.fetch(sample.request(&[dead()])).await;
    node.stop.cancel();
    assert!(matches!(done(fetch).await, Err(FetchError::Stopped)));
    until("the port is free", async || TcpListener::bind(node.address()).is_ok()).await;
    let refused = node.torrents.seed(sample.metainfo.clone(), &sample.path).await;
    assert!(matches!(refused, Err(TorrentError::Stopped)));
    let fetch = node.torrents.fetch(sample.request(&[dead()])).await;
    assert!(matches!(done(fetch).await, Err(FetchError::Stopped)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_ends_the_service() {
    let (torrents, mut events) =
        spawn(TorrentSettings::new("127.0.0.1:0".parse().expect("an address")), CancellationToken::new())
            .await
            .expect("a free port");
    let address = torrents.listen();
    drop(torrents);
    assert_eq!(timeout(DEADLINE, events.recv()).await.expect("in time"), None);
    until("the port is free", async || TcpListener::bind(address).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("it is bound");
    let refused = spawn(TorrentSettings::new(listen), CancellationToken::new()).await.expect_err("it is in use");
    assert!(refused.to_string().contains(&listen.to_string()), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_torrents_is_bounded() {
    let node = Node::new().await;
    let sample = Sample::new(1);
    let mut fetches = Vec::new();
    for number in 0..seedbank_torrent::TORRENTS_MAX {
        let info_hash = InfoHash([u8::try_from(number).expect("64 at most"); 20]);
        fetches.push(node.torrents.fetch(FetchRequest { info_hash, ..sample.request(&[]) }).await);
    }
    let refused = node.torrents.seed(sample.metainfo.clone(), &sample.path).await;
    assert!(matches!(refused, Err(TorrentError::TooMany { .. })));
    let refused = done(node.torrents.fetch(sample.request(&[])).await).await;
    assert!(matches!(refused, Err(FetchError::TooMany { .. })));
    drop(fetches.pop());
    until("room for one more", async || node.torrents.seed(sample.metainfo.clone(), &sample.path).await.is_ok()).await;
}
