//! `seedbank dht` as operators run it, against a DHT on loopback.
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use seedbank_dht::{DhtHandle, Item, MutableItem, spawn_local_net};
use seedbank_types::{
    Amount, Certificate, Checkpoint, CommunityId, Contact, Epoch, FileRef, Hash, Height, InfoHash, NumberedSignature,
    ServerRecord, ServerSecret, ServerSet, TimeMs,
};
use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::{CancellationToken, DropGuard};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const STALE: i32 = 4;
const NO_RECORD: i32 = 6;
const NO_PEERS: i32 = 7;
const COMMUNITY: CommunityId = CommunityId([1; 32]);
const SNAPSHOT: InfoHash = InfoHash([9; 20]);

/// A DHT of its own for each test, and a home for the program.
struct Net {
    nodes: Vec<DhtHandle>,
    home: TempDir,
    _stop: DropGuard,
}

impl Net {
    async fn of(number: u8) -> Self {
        let stop = CancellationToken::new();
        let addresses: Vec<_> = (1..=8).map(|host| Ipv4Addr::new(127, 83, number, host)).collect();
        let nodes = spawn_local_net(&addresses, &stop).await.expect("a local net");
        Self { nodes, home: tempfile::tempdir().expect("a directory"), _stop: stop.drop_guard() }
    }

    fn host(&self) -> String {
        self.nodes[0].local_address().to_string()
    }

    /// Puts a record of the server, as of so long ago, signed by these.
    async fn put(&self, server: usize, epoch: u64, age_ms: u64, signers: &[usize]) {
        let contacts = vec![Contact::Mesh("/ip4/127.0.0.1/tcp/1".to_owned())];
        let value = ServerRecord { certificate: certificate(epoch, age_ms, signers), contacts }.encode();
        self.nodes[1].put_record(&secrets()[server], epoch, value).await.expect("stored");
    }

    fn trust_file(&self) -> String {
        let lines: Vec<_> = secrets().iter().map(|secret| secret.public().to_string()).collect();
        let path = self.home.path().join("test.keys");
        std::fs::write(&path, format!("{}\nbootstrap = {}\n", lines.join("\n"), self.host())).expect("writable");
        path.to_str().expect("text").to_owned()
    }

    /// Runs `seedbank dht` by way of one node.
    async fn dht(&self, args: &[&str]) -> Run {
        run(self.home.path().to_owned(), &[args, &["--bootstrap", &self.host()]].concat()).await
    }
}

/// What the program has said.
#[derive(Debug)]
struct Run {
    exit: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("one JSON object, not {error}: {self:?}"))
    }

    fn fine(self) -> Self {
        assert_eq!(self.exit, Some(0), "{self:?}");
        self
    }
}

async fn run(home: PathBuf, args: &[&str]) -> Run {
    let program = Command::new(env!("CARGO_BIN_EXE_seedbank"))
        .arg("dht")
        .args(args)
        .env("SEEDBANK_HOME", home.join("home"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, stderr } = program.await.expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Run { exit: status.code(), out: text(stdout), err: text(stderr) }
}

/// In the order of their public keys.
fn secrets() -> Vec<ServerSecret> {
    let mut secrets: Vec<_> = (1..=3).map(|byte| ServerSecret::from_bytes(&[byte; 32])).collect();
    secrets.sort_by_key(ServerSecret::public);
    secrets
}

fn certificate(epoch: u64, age_ms: u64, signers: &[usize]) -> Certificate {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let servers = ServerSet::new(secrets().iter().map(|secret| (secret.public(), 1))).expect("three keys");
    let checkpoint = Checkpoint {
        community: COMMUNITY,
        epoch: Epoch(epoch),
        height: Height(epoch * 10),
        time: TimeMs(u64::try_from(since.as_millis()).expect("not so late") - age_ms),
        root: Hash([2; 32]),
        count: 10,
        supply: Amount(1000),
        closing_header: Hash([3; 32]),
        previous: Hash::ZERO,
        servers: servers.hash(),
        snapshot: FileRef { info_hash: SNAPSHOT, length: 100 },
        delta: FileRef::NONE,
    };
    let sign = |number: &usize| NumberedSignature {
        number: u8::try_from(*number).expect("few servers"),
        signature: checkpoint.sign(&secrets()[*number]),
    };
    Certificate { signatures: signers.iter().map(sign).collect(), checkpoint }
}

fn mesh() -> InfoHash {
    InfoHash(Sha1::digest([&b"seedbank/mesh/1"[..], &COMMUNITY.0].concat()).into())
}

/// An address at which nobody answers.
fn deserted() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.83.250.1:0").expect("a socket");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_tells_who_is_there_and_how_it_sees_us() {
    let net = Net::of(1).await;
    let id = net.nodes[0].health().await.expect("running").networks[0].id.clone();
    let host = net.host();
    let home = net.home.path();
    let words = run(home.to_owned(), &["ping", &host]).await.fine().out;
    assert!(words.contains(&id) && words.contains("version    SB") && words.contains("sees us    at 127."), "{words}");

    let json = run(home.to_owned(), &["ping", &host, "--json"]).await.fine().json();
    assert_eq!((json["id"].as_str(), json["version"].as_str()), (Some(&*id), Some("SB")));
    assert!(json["rtt_ms"].as_f64().is_some_and(|ms| ms < 1000.0), "{json}");
    assert!(json["sees_us"].as_str().is_some_and(|seen| seen.starts_with("127.0.0.1:")), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_of_nobody_is_exit_7_and_says_what_to_check() {
    let (_silent, address) = deserted();
    let home = tempfile::tempdir().expect("a directory");
    let run = run(home.path().to_owned(), &["ping", &address.to_string(), "--json"]).await;
    assert_eq!(run.exit, Some(NO_PEERS), "{run:?}");
    let error = &run.json()["error"];
    assert_eq!(error["code"], "no_peers");
    assert!(error["next"].as_str().is_some_and(|next| next.contains("UDP port")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_dht_on_loopback_does_not_leave_it() {
    let net = Net::of(2).await;
    let trust = net.trust_file();
    let home = net.home.path();
    for (address, why) in [("192.0.2.7:6881", "loopback"), ("dht.example:6881", "not looked up")] {
        let run = run(home.to_owned(), &["ping", address, "--trust", &trust]).await;
        assert_eq!(run.exit, Some(USAGE), "{run:?}");
        assert!(run.err.contains(why) && run.err.contains("--ip"), "{run:?}");
    }
    let run = net.dht(&["ping", "192.0.2.7:6881"]).await;
    assert_eq!(run.exit, Some(USAGE), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn get_shows_values_of_every_kind_and_who_holds_them() {
    let net = Net::of(3).await;
    let secret = &secrets()[0];
    let value = b"d1:ai7e1:bl5:helloee".to_vec();
    let salted = Item::Mutable(MutableItem::sign(secret, b"news".to_vec(), 4, value));
    net.nodes[1].put(salted.clone(), None).await.expect("stored");
    let (key, target) = (secret.public().to_string(), salted.target().to_string());
    for args in [
        ["get", &key, "--salt", "news", "--json"],
        ["get", &key, "--salt-hex", "6e657773", "--json"],
        ["get", &target, "--salt", "news", "--json"],
    ] {
        let json = net.dht(&args).await.fine().json();
        assert_eq!((json["seq"].as_i64(), json["target"].as_str()), (Some(4), Some(&*target)));
        assert_eq!(json["value"], "{\"a\": 7, \"b\": [\"hello\"]}");
        assert_eq!(json["value_hex"], hex::encode(b"d1:ai7e1:bl5:helloee"));
        assert!(json["holders"].as_u64() >= Some(4) && json["holders"].as_u64() <= json["asked"].as_u64(), "{json}");
    }
    let words = net.dht(&["get", &key, "--salt", "news"]).await.fine();
    assert!(words.out.contains("seq        4") && words.out.contains("nodes asked"), "{words:?}");
    assert!(words.err.contains("seq 4 after"), "as it comes: {words:?}");

    let missing = net.dht(&["get", &target, "--json"]).await;
    assert_eq!(missing.exit, Some(NOT_FOUND), "{missing:?}");
    let json = missing.json();
    assert!(json["error"]["next"].as_str().is_some_and(|next| next.contains("--salt")), "{json}");
    assert!(json["answered"].as_u64() > Some(0), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn get_of_a_servers_key_tells_its_record_and_what_it_is_worth() {
    let net = Net::of(4).await;
    net.put(0, 12, 5_000, &[0, 2]).await;
    let (key, trust) = (secrets()[0].public().to_string(), net.trust_file());
    let words = net.dht(&["get", &key, "--trust", &trust]).await.fine().out;
    assert!(words.contains("epoch 12, ") && words.contains(" s old, signed by servers 0, 2; grade crash"), "{words}");
    assert!(words.contains("contact    /ip4/127.0.0.1/tcp/1"), "{words}");
    let json = net.dht(&["get", &key, "--json"]).await.fine().json();
    assert_eq!(json["record"]["epoch"], 12);
    assert_eq!(json["record"]["grade"], Value::Null, "no trust file, no judgement");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_was_put_is_got_by_its_target() {
    let net = Net::of(5).await;
    let put = net.dht(&["put", "--immutable", "two loaves", "--json"]).await.fine().json();
    assert!(put["stored"].as_u64() >= Some(4), "{put}");
    let got = net.dht(&["get", put["target"].as_str().expect("a target"), "--json"]).await.fine().json();
    assert_eq!((&got["value"], &got["seq"]), (&Value::from("\"two loaves\""), &Value::Null));
    let long = net.dht(&["put", "--immutable", &"x".repeat(997)]).await;
    assert_eq!(long.exit, Some(USAGE), "{long:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_one_address_a_line() {
    let net = Net::of(6).await;
    let announcement = net.nodes[2].announce(InfoHash([7; 20]), 7001);
    assert!(announcement.announced().await);
    let info_hash = InfoHash([7; 20]).to_string();
    let found = net.dht(&["peers", &info_hash]).await.fine();
    assert_eq!(found.out, "127.83.6.3:7001\n", "{found:?}");
    let json = net.dht(&["peers", &info_hash, "--json"]).await.fine().json();
    assert_eq!(json["peers"], serde_json::json!(["127.83.6.3:7001"]));
    let nobody = net.dht(&["peers", &InfoHash([8; 20]).to_string(), "--json"]).await;
    assert_eq!((nobody.exit, &nobody.json()["peers"]), (Some(NOT_FOUND), &serde_json::json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_the_dht_holds_of_a_community() {
    let net = Net::of(7).await;
    let trust = net.trust_file();
    let none = run(net.home.path().to_owned(), &["status", "--trust", &trust, "--json"]).await;
    assert_eq!(none.exit, Some(NO_RECORD), "{none:?}");

    net.put(0, 12, 5_000, &[0, 1, 2]).await;
    net.put(1, 5, 60_000, &[0, 1]).await;
    let torrent = net.nodes[2].announce(SNAPSHOT, 7001);
    let mesh_of_two = (net.nodes[2].announce(mesh(), 7002), net.nodes[3].announce(mesh(), 7002));
    assert!(torrent.announced().await && mesh_of_two.0.announced().await && mesh_of_two.1.announced().await);
    let json = run(net.home.path().to_owned(), &["status", "--trust", &trust, "--json"]).await.fine().json();
    let [fresh, behind, absent] = [0, 1, 2].map(|number| &json["servers"][number]);
    assert_eq!((&fresh["record"]["epoch"], &fresh["seq"], &fresh["problem"]), (&12.into(), &12.into(), &Value::Null));
    assert_eq!(fresh["record"]["grade"], "byzantine");
    assert!(fresh["holders"].as_u64() >= Some(4), "{fresh}");
    assert_eq!(behind["problem"], "its record is 7 epochs behind the newest");
    assert_eq!(absent["problem"], "no record found");
    assert!(absent["next"].as_str().is_some_and(|next| next.contains("UDP port")), "{absent}");
    assert_eq!(json["mesh"]["peers"].as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(json["torrent"]["peers"], serde_json::json!(["127.83.7.3:7001"]));
    assert_eq!(
        (&json["hosts"][0]["node"]["version"], &json["community"]),
        (&"SB".into(), &COMMUNITY.to_string().into())
    );
    assert!(json["health"]["networks"][0]["good"].as_u64() >= Some(4), "{json}");

    let words = run(net.home.path().to_owned(), &["status", "--trust", &trust]).await.fine().out;
    for part in [
        "host       127.83.7.1:",
        "IPv4       ",
        "own id ",
        "answer     last one",
        "epoch 12, ",
        "WRONG: no record found",
    ] {
        assert!(words.contains(part), "no {part:?}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_of_a_stale_community_is_exit_4() {
    let net = Net::of(8).await;
    net.put(0, 12, 3_600_000, &[0, 1, 2]).await;
    let run = run(net.home.path().to_owned(), &["status", "--trust", &net.trust_file()]).await;
    assert_eq!(run.exit, Some(STALE), "{run:?}");
    assert!(run.err.contains("60 min old") && run.out.contains("held by"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_without_an_answer_is_exit_7_and_names_the_silent_host() {
    let (_silent, address) = deserted();
    let home = tempfile::tempdir().expect("a directory");
    let run = run(home.path().to_owned(), &["status", "--bootstrap", &address.to_string()]).await;
    assert_eq!(run.exit, Some(NO_PEERS), "{run:?}");
    assert!(run.out.contains(&format!("host       {address}  ")) && run.out.contains("did not answer"), "{run:?}");
}

#[tokio::test]
async fn wrong_use_is_exit_2_and_names_what_is_wrong() {
    let home = tempfile::tempdir().expect("a directory");
    let near = ["--bootstrap", "127.0.0.1:9"];
    for (args, why) in [
        (vec!["status"], "--bootstrap"),
        (vec!["get", "abc", near[0], near[1]], "it has 3 signs"),
        (vec!["get", &"zz".repeat(32), near[0], near[1]], "hex digits"),
        (vec!["get", &"00".repeat(20), "--salt-hex", "x", near[0], near[1]], "--salt-hex"),
        (vec!["get", &"00".repeat(20), "--salt", &"x".repeat(65), near[0], near[1]], "65 bytes"),
        (vec!["peers", "abc", near[0], near[1]], "40 hex digits"),
        (vec!["ping", "127.0.0.1"], "HOST:PORT"),
        (vec!["ping", "127.0.0.1:0"], "HOST:PORT"),
        (vec!["ping", "127.0.0.1:9", "--bootstrap", "nowhere"], "nowhere"),
        (vec!["ping", "127.0.0.1:9", "--ip", "::1"], "IPv6"),
        (vec!["status", "--bootstrap", "127.0.0.1:70000"], "127.0.0.1:70000"),
        (vec!["status", "--trust", "/nowhere/test.keys"], "no such file"),
    ] {
        let run = run(home.path().to_owned(), &args).await;
        assert_eq!(run.exit, Some(USAGE), "{args:?}: {run:?}");
        assert!(run.err.contains(why), "{args:?} does not say {why:?}: {run:?}");
    }
}
