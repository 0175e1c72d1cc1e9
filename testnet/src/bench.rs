//! How fast a community orders payments, and what one payment costs it. Method: `docs/bench.md`.
//!
//! A testnet of real processes, payments signed beforehand, a load generator on the mesh as any
//! client is, and one that watches until a quorum has said of each payment that it is final.
mod balances;
mod catching_up;
pub(crate) mod connection;
mod load;
mod numbers;
mod signing;
mod usage;
mod watching;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_mesh::PeerRef;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

pub use self::catching_up::{CatchUpNumbers, catch_up};
use self::connection::Connection;
pub use self::numbers::Numbers;
use self::signing::Signed;
use self::usage::Usage;
use self::watching::Tally;
use crate::server::Server;
use crate::testnet::{Testnet, TestnetSettings, in_time};

/// Accounts of a genesis beside those that pay and are paid: the fee account and the reserved one.
const OTHER_ACCOUNTS: u32 = 2;
/// Payments a second that a server takes from the load generator: more than it could check.
const PEER_PAYMENTS: u32 = 1_000_000;
/// So long the servers may take to find each other.
const TOGETHER_LIMIT: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// Without a payment that becomes final in this time, the measurement has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);

/// To which server payments are handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Each to one server, which server goes round: as many clients do together.
    Spread,
    /// All to the first server.
    First,
    /// Each to every server, as a client does that cannot wait.
    All,
}

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct BenchSettings {
    /// The community; its accounts are counted without the fee account and that of the orders.
    pub testnet: TestnetSettings,
    /// How many payments.
    pub payments: u32,
    /// Payments a second; `None`: as many as the servers take.
    pub rate: Option<u32>,
    /// Without a rate: how many payments wait for their finality at most.
    pub window: u32,
    /// Who is handed what.
    pub target: Target,
}

/// Founds a community, measures, checks every balance on every server, and ends it. What is going
/// on is told to `say`.
pub async fn payments(settings: &BenchSettings, say: &mut dyn FnMut(&str)) -> Result<Numbers> {
    let BenchSettings { testnet, payments, .. } = settings;
    let people = testnet.accounts;
    ensure!(people >= 2, "a payment needs two accounts, not {people}");
    ensure!(*payments > 0 && settings.window > 0, "without payments there is nothing to measure");
    say("founding the community");
    let testnet = TestnetSettings {
        accounts: people + OTHER_ACCOUNTS,
        // One address stands for the many clients that such a load comes from.
        peer_payments: Some(PEER_PAYMENTS),
        ..testnet.clone()
    };
    let mut testnet = Testnet::start(&testnet).await?;
    let mut bench = Bench::open(settings, &mut testnet, people, say).await?;
    let numbers = bench.measure(say).await;
    // The logs of a failure are kept, so only a success stops in order.
    let numbers = numbers?;
    drop(bench);
    testnet.stop().await?;
    Ok(numbers)
}

/// A community that is ready, with all payments signed.
struct Bench<'a> {
    settings: &'a BenchSettings,
    testnet: &'a mut Testnet,
    people: u32,
    signed: Arc<Signed>,
    submitting: Connection,
    watching: Connection,
}

/// What the tasks of one measurement share.
#[derive(Clone)]
struct Course {
    signed: Arc<Signed>,
    servers: Arc<Vec<PeerRef>>,
    tally: Arc<Mutex<Tally>>,
    /// How many payments are final.
    finals: watch::Sender<usize>,
}

impl Course {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Bench<'a> {
    async fn open(
        settings: &'a BenchSettings,
        testnet: &'a mut Testnet,
        people: u32,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let plan = signing::Plan::new(testnet, people, settings.payments)?;
        let signed =
            signing::sign(plan, |done| say(&format!("{done} of {} payments signed", settings.payments))).await?;
        together(testnet).await?;
        let (submitting, watching) = (Connection::open(testnet).await?, Connection::open(testnet).await?);
        Ok(Self { settings, testnet, people, signed: Arc::new(signed), submitting, watching })
    }

    async fn measure(&mut self, say: &mut dyn FnMut(&str)) -> Result<Numbers> {
        let servers: Vec<PeerRef> =
            self.testnet.servers().iter().map(|server| PeerRef::of_server(&server.key())).collect();
        let tally = Tally::new(self.testnet, self.signed.ids())?;
        let (finals, seen) = watch::channel(0);
        let course = Course {
            signed: Arc::clone(&self.signed),
            servers: Arc::new(servers),
            tally: Arc::new(Mutex::new(tally)),
            finals,
        };
        let before = Usage::of(self.testnet)?;
        let start = Instant::now();
        let watching = watching::run(&course, &self.watching.mesh);
        let loading = load::run(self.settings, &course, &self.submitting.mesh, start);
        let sampling = sample(self.testnet, seen, self.signed.payments.len(), say);
        let (resubmitted, rss_anon) = tokio::select! {
            Err(error) = watching => return Err(error),
            result = async { tokio::try_join!(loading, sampling) } => result?,
        };
        let used = Usage::of(self.testnet)?.since(&before);
        say("comparing balances");
        balances::check(self.testnet, &self.signed, self.people).await?;
        let tally = course.tally();
        Ok(Numbers::new(self.settings, &self.signed, &tally, &used, rss_anon, resubmitted, start))
    }
}

/// Waits until all payments are final; the most anonymous memory of a server that was seen.
async fn sample(
    testnet: &mut Testnet,
    mut finals: watch::Receiver<usize>,
    total: usize,
    say: &mut dyn FnMut(&str),
) -> Result<u64> {
    let (mut most, mut progress) = (0, (0, Instant::now()));
    loop {
        let count = *finals.borrow_and_update();
        most = most.max(usage::rss_anon(testnet)?);
        if count >= total {
            return Ok(most);
        }
        if count > progress.0 {
            progress = (count, Instant::now());
        }
        ensure!(progress.1.elapsed() < PATIENCE, "only {count} of {total} payments became final");
        testnet.servers_mut().iter_mut().try_for_each(Server::check_alive)?;
        say(&format!("{count} of {total} payments are final"));
        if let Ok(ended) = timeout(SAMPLE_PAUSE, finals.wait_for(|count| *count >= total)).await {
            ended.context("nobody watches any more")?;
        }
    }
}

/// Waits until every server hears all others and votes.
async fn together(testnet: &mut Testnet) -> Result<()> {
    let deadline = Instant::now() + TOGETHER_LIMIT;
    for server in testnet.servers_mut() {
        loop {
            let status = server.api().status().await?;
            if status.state == "active" && status.servers.connected == status.servers.total {
                break;
            }
            server.check_alive()?;
            in_time(deadline, "the servers did not find each other")?;
            sleep(POLL_PAUSE).await;
        }
    }
    Ok(())
}
