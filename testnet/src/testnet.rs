//! A community on this machine: a local DHT, servers and seeders, each in a process of its own.
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use seedbank_types::{CommunityId, Rule, TrustFile};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::accounts::Accounts;
use crate::binaries::Binaries;
use crate::client::{LightClient, Seeder};
use crate::dht_net::DhtAddresses;
use crate::faults::room::Station;
use crate::founding::{self, Founded};
use crate::guard::Guard;
use crate::home::Home;
use crate::net::{Net, Part};
use crate::process::Process;
use crate::server::{Server, ServerPlan};

const DHT_START_LIMIT: Duration = Duration::from_secs(30);
/// A server may take 10 s to stop.
const STOP_LIMIT: Duration = Duration::from_secs(11);
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// How many of the DHT's nodes the trust file names as ways in.
const BOOTSTRAP_NODES: usize = 4;

/// What a testnet is to be.
#[derive(Debug, Clone)]
pub struct TestnetSettings {
    /// Servers, 1 to 13.
    pub servers: u8,
    /// Community seeders.
    pub seeders: u8,
    /// Accounts in the genesis, the reserved one included.
    pub accounts: u32,
    /// Length of an epoch, like `5s`.
    pub epoch: String,
    /// Whose agreement is enough.
    pub quorum: Rule,
    /// Payments a second that a server takes from one address; `None`: as in use.
    pub peer_payments: Option<u32>,
    /// Nodes of the local DHT.
    pub dht_nodes: u8,
    /// The addresses to use.
    pub net: Net,
    /// Where everything is kept; `None`: in a temporary directory that goes away with a testnet
    /// that stopped in order.
    pub home: Option<PathBuf>,
    /// Where each server runs; without any, all run simply here.
    pub stations: Vec<Station>,
}

impl Default for TestnetSettings {
    fn default() -> Self {
        Self {
            servers: 3,
            seeders: 1,
            accounts: 1_000,
            epoch: "5s".to_owned(),
            quorum: Rule::Majority,
            peer_payments: None,
            dht_nodes: 16,
            net: Net::default(),
            home: None,
            stations: Vec::new(),
        }
    }
}

/// A running testnet. Dropped, it takes its processes with it.
#[derive(Debug)]
pub struct Testnet {
    // The order matters: processes end before the guard, and all before the directory goes.
    servers: Vec<Server>,
    seeders: Vec<Seeder>,
    dht: Process,
    bootstrap: Vec<String>,
    founded: Founded,
    accounts: Accounts,
    binaries: Binaries,
    net: Net,
    peer_payments: Option<u32>,
    guard: Arc<Guard>,
    home: Home,
}

/// What a testnet says of itself when it is ready: one line of JSON.
#[derive(Debug, Serialize)]
pub struct Description {
    trust_file: PathBuf,
    dht_bootstrap: Vec<String>,
    community: String,
    servers: Vec<ProcessDescription>,
    seeders: Vec<ProcessDescription>,
    wallet: PathBuf,
    passphrase_file: PathBuf,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProcessDescription {
    pub(crate) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mesh: Option<String>,
    pub(crate) torrent: String,
    pub(crate) home: PathBuf,
    pub(crate) log: PathBuf,
}

impl Testnet {
    /// Founds a community and starts its processes. They listen then, but no epoch has ended yet.
    pub async fn start(settings: &TestnetSettings) -> Result<Self> {
        let servers = usize::from(settings.servers);
        ensure!((1..=seedbank_types::MAX_SERVERS).contains(&servers), "a testnet has 1 to 13 servers, not {servers}");
        ensure!(settings.dht_nodes >= 2, "a DHT has at least 2 nodes, not {}", settings.dht_nodes);
        let binaries = Binaries::find()?;
        let home = Home::open(settings.home.as_deref())?;
        let guard = Arc::new(Guard::start(&binaries.testnet)?);
        let accounts = Accounts::new(settings.accounts)?;
        let (dht, bootstrap) = start_dht(settings, &binaries, home.path(), &guard).await?;
        let founded = founding::found(settings, &binaries, home.path(), &accounts, &bootstrap).await?;
        let mut testnet = Self {
            servers: Vec::new(),
            seeders: Vec::new(),
            dht,
            bootstrap,
            founded,
            accounts,
            binaries,
            net: settings.net,
            peer_payments: settings.peer_payments,
            guard,
            home,
        };
        testnet.start_servers(&settings.stations).await?;
        testnet.start_seeders(settings.seeders).await?;
        Ok(testnet)
    }

    async fn start_servers(&mut self, stations: &[Station]) -> Result<()> {
        let starts = self.founded.keys.iter().zip(1..).map(|((key, key_file), number)| {
            let plan = ServerPlan {
                program: self.binaries.seedbankd.clone(),
                home: self.home.path().join(format!("server-{number}")),
                key_file: key_file.clone(),
                key: *key,
                genesis: self.founded.genesis.clone(),
                snapshot: self.founded.snapshot.clone(),
                ip: self.net.address(Part::Servers, number),
                bootstrap: self.bootstrap.clone(),
                joins: false,
                station: stations.get(usize::from(number) - 1).cloned(),
                peer_payments: self.peer_payments,
            };
            Server::start(plan, Arc::clone(&self.guard))
        });
        self.servers = try_join_all(starts).await?;
        Ok(())
    }

    /// Starts a server with a new key, which follows until an order adds it; gives its number.
    pub async fn join(&mut self) -> Result<usize> {
        let number = self.servers.len();
        let host = u8::try_from(number + 1).context("a testnet has few servers")?;
        let (key, key_file) =
            founding::new_key(&self.binaries, &self.home.path().join(format!("key-{number}"))).await?;
        let plan = ServerPlan {
            program: self.binaries.seedbankd.clone(),
            home: self.home.path().join(format!("server-{host}")),
            key_file,
            key,
            genesis: self.founded.genesis.clone(),
            snapshot: self.founded.snapshot.clone(),
            ip: self.net.address(Part::Servers, host),
            bootstrap: self.bootstrap.clone(),
            joins: true,
            station: None,
            peer_payments: self.peer_payments,
        };
        self.servers.push(Server::start(plan, Arc::clone(&self.guard)).await?);
        Ok(number)
    }

    async fn start_seeders(&mut self, count: u8) -> Result<()> {
        let starts = (1..=count).map(|number| {
            let home = self.home.path().join(format!("seeder-{number}"));
            let ip = self.net.address(Part::Seeders, number);
            let (binaries, founded, guard) = (&self.binaries, &self.founded, &self.guard);
            async move { Seeder::start(&binaries.seedbank, &home, &founded.trust_file, ip, guard).await }
        });
        self.seeders = try_join_all(starts).await?;
        Ok(())
    }

    /// Waits until the servers have certified an epoch and every seeder has its file.
    pub async fn ready(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        self.certified(1, deadline).await?;
        for seeder in &mut self.seeders {
            while !seeder.has_snapshot()? {
                seeder.check_alive()?;
                in_time(deadline, "the seeders did not get the snapshot")?;
                sleep(POLL_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Waits until every running server has a certificate of `epoch` or a later one.
    pub async fn certified(&mut self, epoch: u64, deadline: Instant) -> Result<()> {
        for server in self.servers.iter_mut().filter(|server| server.is_running()) {
            while server.api().checkpoint().await?.is_none_or(|newest| newest.epoch < epoch) {
                server.check_alive()?;
                in_time(deadline, &format!("{} did not get a certificate of epoch {epoch}", server.name()))?;
                sleep(POLL_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Stops all processes in parallel, each in order; those that do not stop in time are killed,
    /// which is an error.
    pub async fn stop(mut self) -> Result<()> {
        let servers = self.servers.iter_mut().map(|server| server.stop(STOP_LIMIT));
        let seeders = self.seeders.iter_mut().map(|seeder| seeder.stop(STOP_LIMIT));
        let (servers, seeders, dht) = futures::join!(join_all(servers), join_all(seeders), self.dht.stop(STOP_LIMIT));
        servers.into_iter().chain(seeders).chain([dht]).collect::<Result<()>>()?;
        self.servers.iter().try_for_each(Server::unmount)?;
        self.home.remove_if_temporary()
    }

    /// What it is made of, for programs.
    #[must_use]
    pub fn description(&self) -> Description {
        Description {
            trust_file: self.founded.trust_file.clone(),
            dht_bootstrap: self.bootstrap.clone(),
            community: self.founded.community.to_string(),
            servers: self.servers.iter().map(describe).collect(),
            seeders: self.seeders.iter().map(Seeder::describe).collect(),
            wallet: self.founded.wallet.clone(),
            passphrase_file: self.founded.passphrase_file.clone(),
        }
    }

    /// A light client with an empty directory of its own; `number` from 1.
    pub fn client(&self, number: u8) -> Result<LightClient> {
        let home = self.home.path().join(format!("client-{number}"));
        LightClient::new(
            &self.binaries.seedbank,
            home,
            &self.founded.trust_file,
            self.net.address(Part::Clients, number),
        )
    }

    /// Has a light client go on as one of the seeders.
    pub async fn seed(&mut self, client: &LightClient) -> Result<()> {
        let seeder = client.seed(&self.guard).await?;
        self.seeders.push(seeder);
        Ok(())
    }

    /// The addresses that its processes use.
    #[must_use]
    pub(crate) const fn net(&self) -> &Net {
        &self.net
    }

    /// Its servers, in the order of their keys: the first has number 0.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Its servers, to be killed and started.
    pub fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// Its seeders.
    #[must_use]
    pub fn seeders(&self) -> &[Seeder] {
        &self.seeders
    }

    /// Its seeders, to be killed and started.
    pub fn seeders_mut(&mut self) -> &mut [Seeder] {
        &mut self.seeders
    }

    /// The people.
    #[must_use]
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The community.
    #[must_use]
    pub const fn community(&self) -> CommunityId {
        self.founded.community
    }

    /// All a client needs to know.
    #[must_use]
    pub const fn trust(&self) -> &TrustFile {
        &self.founded.trust
    }

    /// The same as a file.
    #[must_use]
    pub fn trust_path(&self) -> &Path {
        &self.founded.trust_file
    }

    /// The ways into the local DHT.
    #[must_use]
    pub fn bootstrap(&self) -> &[String] {
        &self.bootstrap
    }

    /// The programs it runs.
    #[must_use]
    pub const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Where everything is kept.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// An error with `what` once the deadline has passed.
pub fn in_time(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline { bail!("{what} in time") } else { Ok(()) }
}

fn describe(server: &Server) -> ProcessDescription {
    let addresses = server.addresses().clone();
    ProcessDescription {
        pid: addresses.pid,
        api: Some(server.api().url().to_owned()),
        mesh: Some(addresses.mesh),
        torrent: addresses.torrent,
        home: server.home().to_owned(),
        log: server.log(),
    }
}

async fn start_dht(
    settings: &TestnetSettings,
    binaries: &Binaries,
    home: &Path,
    guard: &Arc<Guard>,
) -> Result<(Process, Vec<String>)> {
    let home = home.join("dht");
    let mut args: Vec<OsString> = vec!["dht".into(), "--home".into(), home.clone().into()];
    for number in 1..=settings.dht_nodes {
        args.extend(["--ip".into(), settings.net.address(Part::Dht, number).to_string().into()]);
    }
    let mut process = Process::start(&binaries.testnet, &args, &home, guard)?;
    let addresses: DhtAddresses = process.addresses(DHT_START_LIMIT).await?;
    let bootstrap = addresses.nodes.iter().take(BOOTSTRAP_NODES).map(ToString::to_string).collect();
    Ok((process, bootstrap))
}
