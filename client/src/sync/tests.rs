//! Whole syncs against a DHT and a BitTorrent seeder on loopback.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use seedbank_dht::{Announcement, DhtHandle, DhtSettings, spawn_local_net};
use seedbank_snapshot::{BucketTable, write_full};
use seedbank_torrent::{FileKind, Metainfo, TorrentEvent, TorrentHandle, TorrentSettings, file_name};
use seedbank_types::{
    AccountId, AccountRecord, Amount, Bootstrap, Checkpoint, Epoch, FileRef, Hash, Height, ServerRecord, TrustFile,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::obtain;
use crate::samples::{self, COMMUNITY, secrets};

/// A DHT, three servers' records in it, and one seeder; every test has loopback addresses of its own.
struct World {
    number: u8,
    directory: tempfile::TempDir,
    bootstrap: Vec<String>,
    dht: DhtHandle,
    torrent: TorrentHandle,
    _events: mpsc::Receiver<TorrentEvent>,
    announced: Vec<Announcement>,
    stop: CancellationToken,
}

impl World {
    async fn new(number: u8) -> Self {
        let stop = CancellationToken::new();
        let addresses: Vec<_> = (1..=4).map(|host| Ipv4Addr::new(127, 91, number, host)).collect();
        let net = spawn_local_net(&addresses, &stop).await.expect("a local DHT");
        let bootstrap: Vec<_> = net.iter().map(|node| node.local_address().to_string()).collect();
        let listen = SocketAddr::from((Ipv4Addr::new(127, 91, number, 10), 0));
        let settings = DhtSettings::loopback(listen, Bootstrap::Hosts(bootstrap.clone()));
        let dht = seedbank_dht::spawn(settings, stop.clone()).await.expect("a node");
        let (torrent, events) =
            seedbank_torrent::spawn(TorrentSettings::new(listen), stop.clone()).await.expect("a seeder");
        let directory = tempfile::tempdir().expect("a directory");
        Self { number, directory, bootstrap, dht, torrent, _events: events, announced: Vec::new(), stop }
    }

    fn trusted(&self, file: TrustFile) -> Trusted {
        let file = TrustFile { bootstrap: Bootstrap::Hosts(self.bootstrap.clone()), ..file };
        let (text, community) = (file.to_string(), Some(COMMUNITY));
        let ip = IpAddr::V4(Ipv4Addr::new(127, 91, self.number, 20));
        Trusted { file, text, community, ip, api: None }
    }

    fn home(&self) -> Home {
        Home::new(self.directory.path().join("home"))
    }

    async fn sync(&self, trusted: &Trusted) -> Result<Synced, Failure> {
        let network = Network::start(trusted).await?;
        sync(&self.home(), trusted, &network, Voice::new(true)).await
    }

    /// Writes a snapshot, seeds it, and gives the checkpoint that describes it.
    async fn cut(&mut self, epoch: u64, balance: u64) -> Checkpoint {
        let records: Vec<_> =
            (1..=10).map(|n| AccountRecord { id: AccountId([n; 20]), balance: Amount(balance), sequence: 0 }).collect();
        let table = BucketTable::from_records(10, records.iter().copied()).expect("ascending");
        let (path, height) = (self.directory.path().join(format!("{epoch}-{balance}")), Height(epoch * 10));
        let mut file = Vec::new();
        write_full(COMMUNITY, height, &table, records, &mut file).expect("the same records");
        std::fs::write(&path, &file).expect("writable");
        let name = file_name(&COMMUNITY, height, FileKind::Snapshot);
        let metainfo = Metainfo::of_file(&name, &path).expect("a file");
        let snapshot = FileRef { info_hash: metainfo.info_hash(), length: metainfo.length() };
        self.torrent.seed(metainfo, &path).await.expect("seeded");
        let announcement = self.dht.announce(snapshot.info_hash, self.torrent.listen().port());
        assert!(announcement.announced().await);
        self.announced.push(announcement);
        let time = report::now();
        let (root, supply) = (table.root(), Amount(10 * balance));
        Checkpoint { time, root, supply, snapshot, ..samples::checkpoint(COMMUNITY, epoch, 0, Hash::ZERO) }
    }

    /// Puts the certificate of these signers into the record of one server.
    async fn put(&self, server: usize, seq: u64, checkpoint: &Checkpoint, signers: &[u8]) {
        let certificate = samples::sign(checkpoint.clone(), signers);
        let record = ServerRecord { certificate, contacts: Vec::new() };
        self.dht.put_record(&secrets()[server], seq, record.encode()).await.expect("stored");
    }

    fn files(&self) -> Vec<PathBuf> {
        let directory = self.directory.path().join("home").join(COMMUNITY.to_string());
        ["snapshots", "staging"]
            .iter()
            .filter_map(|name| std::fs::read_dir(directory.join(name)).ok())
            .flatten()
            .map(|entry| entry.expect("readable").path())
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_balances_are_fetched_verified_and_kept() {
    let mut world = World::new(1).await;
    let (old, new) = (world.cut(4, 5).await, world.cut(6, 7).await);
    world.put(0, 1, &old, &[0, 1, 2]).await;
    world.put(1, 1, &new, &[0, 1]).await;
    let trusted = world.trusted(samples::trust());
    let synced = world.sync(&trusted).await.expect("synced");
    assert_eq!((synced.certificate.checkpoint.epoch, synced.grade), (Epoch(6), Grade::Crash));
    assert!(synced.obtained.is_new && answer(&synced).failure.is_none());
    let mut file = obtain::open(&synced.known.home, &new).expect("verified").expect("there");
    let record = file.account(&AccountId([3; 20])).expect("readable").expect("there");
    assert_eq!(record.balance, Amount(7));
    let again = world.sync(&trusted).await.expect("synced");
    assert!(!again.obtained.is_new, "nothing is fetched twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_highest_epoch_is_not_gone_back_on_by_a_later_run() {
    let mut world = World::new(2).await;
    let (old, new) = (world.cut(4, 5).await, world.cut(6, 7).await);
    world.put(0, 1, &new, &[0, 1]).await;
    let trusted = world.trusted(samples::trust());
    world.sync(&trusted).await.expect("synced");
    world.put(0, 2, &old, &[0, 1, 2]).await;
    let synced = world.sync(&trusted).await.expect("what is known stays");
    assert_eq!(synced.certificate.checkpoint.epoch, Epoch(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_servers_than_the_trusted_ones_are_exit_6_and_nothing_is_kept() {
    let mut world = World::new(3).await;
    let checkpoint = world.cut(4, 5).await;
    world.put(0, 1, &checkpoint, &[0, 1, 2]).await;
    let stranger = seedbank_types::ServerSecret::from_bytes(&[99; 32]).public();
    let servers = seedbank_types::ServerSet::new([(stranger, 1)]).expect("one server");
    let failure = world.sync(&world.trusted(TrustFile { servers, ..samples::trust() })).await.expect_err("unknown");
    assert_eq!(failure.exit, Exit::NoRecord);
    assert!(!world.directory.path().join("home").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_certificates_of_one_epoch_are_exit_5_now_and_later() {
    let mut world = World::new(4).await;
    let (one, other) = (world.cut(4, 5).await, world.cut(4, 7).await);
    world.put(0, 1, &one, &[0, 1]).await;
    world.put(1, 1, &other, &[1, 2]).await;
    let trusted = world.trusted(samples::trust());
    let failure = world.sync(&trusted).await.expect_err("a conflict");
    assert_eq!((failure.exit, &*failure.code), (Exit::Unverified, "conflict"));
    assert!(failure.message.contains(&secrets()[1].public().short()), "{}", failure.message);
    let failure = world.sync(&trusted).await.expect_err("remembered");
    assert_eq!((failure.exit, &*failure.code), (Exit::Unverified, "conflict"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_two_checkpoints_is_named_kept_and_counts_no_more() {
    let mut world = World::new(9).await;
    let checkpoint = world.cut(4, 5).await;
    let other = Checkpoint { root: Hash([9; 32]), ..checkpoint.clone() };
    world.put(0, 1, &checkpoint, &[0, 1]).await;
    world.put(1, 1, &other, &[1]).await;
    let trusted = world.trusted(samples::trust());
    let liar = secrets()[1].public();
    let failure = world.sync(&trusted).await.expect_err("without the liar one server is no quorum");
    assert_eq!((failure.exit, &*failure.code), (Exit::Unverified, "double_signer"));
    assert!(failure.message.contains(&liar.short()), "{}", failure.message);
    let home = world.home().community(COMMUNITY);
    let kept = evidence::read_all(&home.evidence_directory(), COMMUNITY, &samples::servers()).expect("readable");
    assert_eq!(kept.iter().map(|(one, _)| (one.key, one.a.epoch)).collect::<Vec<_>>(), [(liar, Epoch(4))]);

    world.put(0, 2, &checkpoint, &[0, 2]).await;
    world.put(1, 2, &checkpoint, &[1]).await;
    let synced = world.sync(&trusted).await.expect("two honest servers are a quorum");
    assert_eq!(synced.grade, Grade::Crash);
    let answer = answer(&synced);
    assert_eq!(answer.json["double_signers"][0]["server"], liar.to_string());
    assert!(answer.words.contains(&liar.short()) && answer.words.contains("evidence list"), "{}", answer.words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_not_what_was_signed_leaves_nothing_and_the_last_good_one_stays() {
    let mut world = World::new(5).await;
    let good = world.cut(4, 5).await;
    world.put(0, 1, &good, &[0, 1]).await;
    let trusted = world.trusted(samples::trust());
    world.sync(&trusted).await.expect("synced");
    let bad = Checkpoint { root: Hash([1; 32]), ..world.cut(6, 7).await };
    world.put(0, 2, &bad, &[0, 1]).await;
    let failure = world.sync(&trusted).await.expect_err("another root");
    assert_eq!(failure.exit, Exit::Unverified, "{failure}");
    assert_eq!(world.files(), [world.home().community(COMMUNITY).snapshot_path(good.snapshot.info_hash)]);
    let verified = world.home().community(COMMUNITY).verified().expect("readable").expect("there");
    assert_eq!(verified.checkpoint, good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_damaged_on_disk_is_fetched_again() {
    let mut world = World::new(8).await;
    let checkpoint = world.cut(4, 5).await;
    world.put(0, 1, &checkpoint, &[0, 1]).await;
    let trusted = world.trusted(samples::trust());
    let path = world.sync(&trusted).await.expect("synced").obtained.path;
    let whole = std::fs::read(&path).expect("readable");
    let mut bytes = whole.clone();
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, bytes).expect("writable");
    assert!(world.sync(&trusted).await.expect("synced").obtained.is_new, "not what was verified");
    assert_eq!(std::fs::read(&path).expect("readable"), whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_old_balances_are_exit_4_and_still_shown() {
    let mut world = World::new(6).await;
    let mut checkpoint = world.cut(4, 5).await;
    checkpoint.time.0 -= 601_000;
    world.put(0, 1, &checkpoint, &[0, 1]).await;
    let synced = world.sync(&world.trusted(samples::trust())).await.expect("synced");
    let answer = answer(&synced);
    assert_eq!(answer.failure.map(|failure| failure.exit), Some(Exit::Stale));
    assert_eq!(answer.json["epoch"], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_dht_at_all_is_exit_7() {
    let nobody = std::net::UdpSocket::bind("127.91.7.1:0").expect("a socket").local_addr().expect("an address");
    let file = TrustFile { bootstrap: Bootstrap::Hosts(vec![nobody.to_string()]), ..samples::trust() };
    let ip = IpAddr::V4(Ipv4Addr::new(127, 91, 7, 2));
    let trusted = Trusted { text: file.to_string(), file, community: None, ip, api: None };
    let directory = tempfile::tempdir().expect("a directory");
    let network = Network::start(&trusted).await.expect("started");
    let home = Home::new(directory.path().join("home"));
    let failure = sync(&home, &trusted, &network, Voice::new(true)).await.expect_err("nobody answers");
    assert_eq!(failure.exit, Exit::NoPeers, "{failure}");
}
