//! A small community of real processes.
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use seedbank_dht::{DhtHandle, spawn_local_net};
use seedbank_types::{
    AccountSecret, Address, Amount, CommunityId, Epoch, Genesis, Payment, ServerSecret, SignedPayment,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const SEEDBANKD: &str = env!("CARGO_BIN_EXE_seedbankd");
/// Waiting longer than this for anything is a failure.
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const BALANCE: u64 = 1_000_000;

/// Waits until `check` gives something.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn account(number: u8) -> AccountSecret {
    AccountSecret::from_bytes(&[number + 1; 32]).expect("below the group order")
}

pub(crate) fn address(number: u8) -> Address {
    Address(account(number).public().id())
}

pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(SEEDBANKD).args(args).output().expect("the program was built")
}

/// A community that is founded; its servers are started one by one.
pub(crate) struct Community {
    pub(crate) dir: TempDir,
    pub(crate) genesis: Genesis,
    pub(crate) bootstrap: String,
    pub(crate) dht: Vec<DhtHandle>,
    net: u8,
    http: reqwest::Client,
    _stop_dht: DropGuard,
}

impl Community {
    /// Addresses 127.66.`net`.x; no two tests share a net.
    pub(crate) async fn found(net: u8, servers: u8, epoch: &str) -> Self {
        Self::found_with(net, servers, epoch, "majority").await
    }

    pub(crate) async fn found_with(net: u8, servers: u8, epoch: &str, quorum: &str) -> Self {
        let stop = CancellationToken::new();
        let nodes: Vec<Ipv4Addr> = (101..=104).map(|host| Ipv4Addr::new(127, 66, net, host)).collect();
        let dht = spawn_local_net(&nodes, &stop).await.expect("a local DHT");
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
        let accounts: Vec<String> = (0..20).map(|number| format!("{} 10000.00", address(number))).collect();
        fs::write(dir.path().join("accounts"), accounts.join("\n")).expect("writable");
        let (out, list, fee) = (path("community"), path("accounts"), address(0).to_string());
        let mut args = vec!["genesis", "new", "--out", &out, "--name", "Test", "--symbol", "T", "--accounts", &list];
        args.extend(["--fee-account", &fee, "--minimum-fee", "0.01", "--epoch", epoch, "--quorum", quorum]);
        let keys: Vec<String> = (0..servers).map(|number| new_key(&dir.path().join(format!("key-{number}")))).collect();
        keys.iter().for_each(|key| args.extend(["--server", key]));
        let founded = run(&args);
        assert!(founded.status.success(), "{}", String::from_utf8_lossy(&founded.stderr));
        let genesis = Genesis::decode(&fs::read(dir.path().join("community/genesis")).expect("there")).expect("good");
        let bootstrap = dht[0].local_address().to_string();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { dir, genesis, bootstrap, dht, net, http, _stop_dht: stop.drop_guard() }
    }

    pub(crate) fn community(&self) -> CommunityId {
        self.genesis.community()
    }

    pub(crate) fn secret(&self, number: u8) -> ServerSecret {
        let text = fs::read_to_string(self.dir.path().join(format!("key-{number}"))).expect("there");
        ServerSecret::from_bytes(&hex::decode(text.trim()).expect("hex").try_into().expect("32 bytes"))
    }

    pub(crate) fn log_of(&self, number: u8) -> String {
        log_of(&self.home(number))
    }

    pub(crate) fn home(&self, number: u8) -> PathBuf {
        self.dir.path().join(format!("server-{number}"))
    }

    pub(crate) fn args(&self, number: u8) -> Vec<String> {
        let path = |name: &str| self.dir.path().join(name).to_str().expect("UTF-8").to_owned();
        let (home, key) = (path(&format!("server-{number}")), path(&format!("key-{number}")));
        let ip = format!("127.66.{}.{}", self.net, number + 1);
        let mut args = vec!["run".to_owned()];
        for (flag, value) in [
            ("--home", home.as_str()),
            ("--key", &key),
            ("--genesis", &path("community/genesis")),
            ("--snapshot", &path("community/genesis.snapshot")),
            ("--ip", &ip),
            ("--bootstrap", &self.bootstrap),
            ("--mesh-port", "0"),
            ("--torrent-port", "0"),
            ("--dht-port", "0"),
            ("--api-port", "0"),
        ] {
            args.extend([flag.to_owned(), value.to_owned()]);
        }
        args
    }

    pub(crate) async fn start(&self, number: u8) -> Server {
        self.start_with(number, &[]).await
    }

    pub(crate) async fn start_with(&self, number: u8, more: &[&str]) -> Server {
        let home = self.home(number);
        fs::create_dir_all(&home).expect("writable");
        let log = File::options().create(true).append(true).open(home.join("log")).expect("writable");
        let mut child = Command::new(SEEDBANKD)
            .args(self.args(number))
            .args(more)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program was built");
        let pid = child.id();
        let api = eventually("the server listens", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the server ended with {status}:\n{}", log_of(&home));
            }
            let text = fs::read(home.join("addresses.json")).ok()?;
            let addresses: Value = serde_json::from_slice(&text).expect("whole or not there");
            (addresses["pid"] == pid).then(|| addresses["api"].as_str().expect("a text").to_owned())
        })
        .await;
        Server { child, home, url: format!("http://{api}"), http: self.http.clone() }
    }

    /// Starts all servers and waits until each hears all others: a test may then kill any of them.
    pub(crate) async fn start_all(&self) -> Vec<Server> {
        self.start_all_with(&[]).await
    }

    pub(crate) async fn start_all_with(&self, more: &[&str]) -> Vec<Server> {
        let mut servers = Vec::new();
        for number in 0..u8::try_from(self.genesis.servers.count()).expect("few") {
            servers.push(self.start_with(number, more).await);
        }
        for server in &servers {
            eventually("each server hears all others", async || {
                let connected = &server.status().await["servers"];
                (connected["connected"] == connected["total"]).then_some(())
            })
            .await;
        }
        servers
    }

    pub(crate) fn payment(&self, payer: u8, payee: u8, sequence: u64) -> SignedPayment {
        let payment = Payment {
            payer_key: account(payer).public().to_bytes(),
            payee: address(payee).0,
            amount: Amount(100),
            fee: Amount(1),
            sequence,
            expires: Epoch(1_000),
            memo: vec![],
        };
        payment.sign(&self.community(), &account(payer))
    }
}

pub(crate) fn new_key(path: &Path) -> String {
    let output = run(&["key", "new", "--out", path.to_str().expect("UTF-8")]);
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("hex").trim().to_owned()
}

fn log_of(home: &Path) -> String {
    fs::read_to_string(home.join("log")).unwrap_or_default()
}

/// A server process; killed with the test.
pub(crate) struct Server {
    child: Child,
    home: PathBuf,
    url: String,
    http: reqwest::Client,
}

impl Server {
    pub(crate) async fn ask(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.expect("it runs");
        let status = response.status().as_u16();
        (status, response.json().await.expect("JSON"))
    }

    pub(crate) async fn status(&self) -> Value {
        self.ask("/v1/status").await.1
    }

    pub(crate) async fn submit(&self, payments: &[SignedPayment]) -> (u16, Value) {
        self.submit_by(&self.http, payments).await
    }

    pub(crate) async fn submit_by(&self, http: &reqwest::Client, payments: &[SignedPayment]) -> (u16, Value) {
        let payments: Vec<String> = payments.iter().map(|one| hex::encode(one.encode())).collect();
        let request = http.post(format!("{}/v1/payments", self.url)).json(&json!({ "payments": payments }));
        let response = request.send().await.expect("it runs");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    /// Waits until an epoch after `epoch` is certified here.
    pub(crate) async fn certified_after(&self, epoch: u64) -> u64 {
        let newer = async || self.status().await["certified_epoch"].as_u64().filter(|certified| *certified > epoch);
        eventually("an epoch is certified", newer).await
    }

    /// Waits until a payment is final here.
    pub(crate) async fn is_final(&self, id: &str) -> Value {
        let ordered = async || {
            let (_, payment) = self.ask(&format!("/v1/payments/{id}")).await;
            matches!(payment["state"].as_str(), Some("final" | "certified")).then_some(payment)
        };
        eventually("the payment is final", ordered).await
    }

    pub(crate) fn log(&self) -> String {
        log_of(&self.home)
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Waits until it ends by itself; gives the exit code.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        eventually("it ends", async || self.child.try_wait().expect("it was started here")).await.code()
    }

    /// SIGTERM; gives the exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is there");
        assert!(told.success());
        let ended = eventually("it stops", async || self.child.try_wait().expect("it was started here")).await;
        ended.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- {}\n{}", self.home.display(), lines[lines.len().saturating_sub(25)..].join("\n"));
        }
    }
}
