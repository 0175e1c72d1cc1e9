//! The nemesis: what strikes a community, and what must be true while it does and after.
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_types::Rule;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use super::course::Course;
use super::links::Weather;
use super::switch::Switch;
use super::{FaultsSettings, Kind, finding, room};
use crate::bank::{Deed, Finding};
use crate::chance::Chance;
use crate::testnet::Testnet;

/// The server with a disk that can be filled.
pub(super) const SMALL_DISK: usize = 0;
/// While no more servers are struck than may fail, and after all is healed, a new payment is final in this time.
const DECIDE_LIMIT: Duration = Duration::from_secs(20);
/// A server whose disk is full ends in this time.
const FULL_LIMIT: Duration = Duration::from_secs(40);
/// How often what was set free on a full disk is taken.
const FILL_PAUSE: Duration = Duration::from_millis(20);
/// What a server exits with that cannot write.
const EXIT_DISK: i32 = 9;
const STAND_STILL: Duration = Duration::from_secs(30);
const CALM: Duration = Duration::from_millis(1_500);
const KILL_PAUSE: Duration = Duration::from_millis(1_500);
/// One way.
const LATENCY: Weather =
    Weather { delay: Duration::from_millis(200), jitter: Duration::from_millis(20), lost_per_mille: 50 };
/// How far a clock may be off.
const CLOCK_MINUTES: [i64; 4] = [-30, -3, 3, 30];
const ALL: [Kind; 6] = [Kind::Partition, Kind::Latency, Kind::Clock, Kind::DiskFull, Kind::Stop, Kind::Kill];

/// A fault that happened.
#[derive(Debug, Serialize)]
pub struct FaultReport {
    /// In words.
    pub what: String,
    /// How long it lasted.
    pub lasted_ms: u64,
    /// From its end until a payment signed after it was final.
    pub recovered_ms: u64,
}

pub(super) struct Nemesis<'a> {
    switch: &'a Switch,
    course: Arc<Course>,
    chance: Chance,
    kind: Kind,
    /// How many servers may fail.
    spare: usize,
    hold: Duration,
    stand_still: Duration,
    faults: Vec<FaultReport>,
    findings: Vec<Finding>,
}

/// A fault that is going on.
struct Struck {
    what: String,
    /// Whether a quorum is left, so that payments must become final all the same.
    goes_on: bool,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(settings: &FaultsSettings, switch: &'a Switch, course: Arc<Course>, chance: Chance) -> Self {
        let others = usize::from(settings.servers) - 1;
        let run = Duration::from_secs(settings.seconds);
        Self {
            switch,
            course,
            chance,
            kind: settings.kind,
            spare: if settings.quorum == Rule::Majority { others / 2 } else { others / 3 },
            hold: (run / 5).clamp(Duration::from_secs(2), Duration::from_secs(12)),
            stand_still: STAND_STILL.min(run / 2),
            faults: Vec::new(),
            findings: Vec::new(),
        }
    }

    pub(super) fn into_reports(self) -> (Vec<FaultReport>, Vec<Finding>) {
        (self.faults, self.findings)
    }

    /// One fault after the other until the time is over; in the end all is healed.
    pub(super) async fn torment(&mut self, testnet: &mut Testnet, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut kinds = self.kinds();
        while Instant::now() < end {
            sleep(CALM).await;
            let kind = kinds.remove(0);
            kinds.push(kind);
            self.fault(testnet, kind).await?;
        }
        Ok(())
    }

    /// What happens in turn; in a mixed run in another order each time.
    fn kinds(&mut self) -> Vec<Kind> {
        if self.kind != Kind::Mixed {
            return vec![self.kind];
        }
        let order = self.chance.some(ALL.len(), ALL.len());
        let mut kinds: Vec<Kind> = order.into_iter().map(|index| ALL[index]).collect();
        let first = self.chance.index(kinds.len());
        kinds.rotate_left(first);
        kinds.retain(|kind| *kind != Kind::Clock || room::fake_time().is_some());
        kinds
    }

    async fn fault(&mut self, testnet: &mut Testnet, kind: Kind) -> Result<()> {
        let begin = Instant::now();
        match kind {
            Kind::Kill => self.kill(testnet).await?,
            Kind::DiskFull => self.fill_disk(testnet).await?,
            _ => {
                let struck = self.strike(testnet, kind)?;
                self.say(&struck.what);
                let hold = if kind == Kind::Stop { self.stand_still } else { self.hold };
                self.during(&struck, hold).await;
                self.heal(testnet)?;
                self.reported(struck.what, begin);
            }
        }
        self.recover(testnet).await
    }

    fn say(&self, what: &str) {
        self.course.note(0, Deed::Fault(what.to_owned()));
    }

    fn reported(&mut self, what: String, begin: Instant) {
        self.say(&format!("over: {what}"));
        self.faults.push(FaultReport { what, lasted_ms: millis(begin.elapsed()), recovered_ms: 0 });
    }

    fn strike(&mut self, testnet: &Testnet, kind: Kind) -> Result<Struck> {
        Ok(match kind {
            Kind::Partition => self.part(testnet.servers().len()),
            Kind::Latency => {
                self.switch.links().set_weather(LATENCY);
                Struck { what: "200 ms one way and 5 % loss on every link".to_owned(), goes_on: true }
            }
            Kind::Clock => {
                let server = self.chance.index(testnet.servers().len());
                let minutes = CLOCK_MINUTES[self.chance.index(CLOCK_MINUTES.len())];
                testnet.servers()[server].set_clock(minutes * 60)?;
                Struck { what: format!("the clock of server {server} is {minutes} minutes off"), goes_on: true }
            }
            _ => {
                let servers = self.minority(testnet.servers().len());
                servers.iter().try_for_each(|server| testnet.servers()[*server].freeze())?;
                Struck { what: format!("servers {servers:?} stand still"), goes_on: true }
            }
        })
    }

    /// At least one server, at most as many as may fail.
    fn minority(&mut self, servers: usize) -> Vec<usize> {
        let count = 1 + self.chance.index(self.spare.max(1));
        self.chance.some(servers, count)
    }

    /// Node 0 is that of the clients: it reaches everybody.
    fn part(&mut self, servers: usize) -> Struck {
        let is_split = self.chance.below(4) == 0;
        let apart = if is_split { self.chance.some(servers, self.spare + 1) } else { self.minority(servers) };
        let (out, back) = match self.chance.below(4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let mut links = self.switch.links();
        for one in &apart {
            // In a split nobody is left with a quorum: those who are apart do not hear each other either.
            for other in (0..servers).filter(|other| other != one && (is_split || !apart.contains(other))) {
                if out || is_split {
                    links.cut(one + 1, other + 1);
                }
                if back || is_split {
                    links.cut(other + 1, one + 1);
                }
            }
        }
        let way = match (is_split, out, back) {
            (true, ..) => "from everybody, so that nobody has a quorum",
            (_, true, true) => "in both directions",
            (_, true, false) => "so that nobody hears them",
            _ => "so that they hear nobody",
        };
        Struck { what: format!("servers {apart:?} are cut off {way}"), goes_on: !is_split }
    }

    /// Waits out a fault; with a quorum left, a payment signed now must become final.
    async fn during(&mut self, struck: &Struck, hold: Duration) {
        let begin = Instant::now();
        if struck.goes_on && timeout(DECIDE_LIMIT, self.course.final_after(begin)).await.is_err() {
            let words = format!("{}: no payment became final in {} s", struck.what, DECIDE_LIMIT.as_secs());
            self.findings.push(finding("a quorum goes on", words));
        }
        sleep(hold.saturating_sub(begin.elapsed())).await;
    }

    /// Ends everything that goes on.
    fn heal(&self, testnet: &Testnet) -> Result<()> {
        self.switch.links().heal();
        for server in testnet.servers().iter().filter(|server| server.is_running()) {
            server.set_clock(0)?;
            server.thaw()?;
        }
        Ok(())
    }

    /// After a fault payments become final again, and nobody has died of it.
    async fn recover(&mut self, testnet: &mut Testnet) -> Result<()> {
        let begin = Instant::now();
        let limit = format!("no payment became final within {} s after it", DECIDE_LIMIT.as_secs());
        let recovered = timeout(DECIDE_LIMIT, self.course.final_after(begin)).await;
        let last = self.faults.last_mut().context("a fault was reported")?;
        last.recovered_ms = millis(begin.elapsed());
        if recovered.is_err() {
            self.findings.push(finding("a healed community decides", format!("{}: {limit}", last.what)));
        }
        testnet.servers_mut().iter_mut().try_for_each(|server| server.check_alive())
    }

    /// kill -9 of a minority or of all, again and again.
    async fn kill(&mut self, testnet: &mut Testnet) -> Result<()> {
        let begin = Instant::now();
        let mut killed = 0;
        while begin.elapsed() < self.hold {
            let count = testnet.servers().len();
            let servers = if self.chance.below(5) == 0 { (0..count).collect() } else { self.minority(count) };
            self.say(&format!("kill -9 of servers {servers:?}"));
            for server in &servers {
                testnet.servers_mut()[*server].kill().await?;
            }
            killed += servers.len();
            sleep(self.chance.pause(KILL_PAUSE)).await;
            for server in &servers {
                testnet.servers_mut()[*server].launch()?;
            }
            for server in &servers {
                testnet.servers_mut()[*server].listening().await?;
            }
            sleep(self.chance.pause(KILL_PAUSE)).await;
        }
        self.reported(format!("{killed} times kill -9"), begin);
        Ok(())
    }

    /// A full disk: the server ends and says why; with room again it comes back.
    async fn fill_disk(&mut self, testnet: &mut Testnet) -> Result<()> {
        let begin = Instant::now();
        let server = &mut testnet.servers_mut()[SMALL_DISK];
        let ballast = server.home().join("ballast");
        self.say("the disk of server 0 is full");
        let filling = Filling::start(&ballast)?;
        let code = server.ended(FULL_LIMIT).await.context("its disk is full")?;
        let log = std::fs::read_to_string(server.log())?;
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        let says_why = last.iter().any(|line| line.contains("make room") || line.contains("No space left"));
        ensure!(
            code == Some(EXIT_DISK) && says_why,
            "with a full disk the server ended with {code:?} and said {last:?}"
        );
        let struck = Struck { what: "the disk of server 0 was full".to_owned(), goes_on: self.spare > 0 };
        self.during(&struck, Duration::ZERO).await;
        drop(filling);
        std::fs::remove_file(&ballast)?;
        let server = &mut testnet.servers_mut()[SMALL_DISK];
        server.launch()?;
        server.listening().await?;
        self.reported(struck.what, begin);
        Ok(())
    }
}

/// Keeps a disk full: what a server sets free is taken at once, or it could go on with small files for long.
struct Filling {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filling {
    /// Returns once the disk is full.
    fn start(file: &std::path::Path) -> Result<Self> {
        let mut file = std::fs::File::create(file)?;
        fill(&mut file);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("filling".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                fill(&mut file);
                std::thread::sleep(FILL_PAUSE);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that fills a disk died");
        }
    }
}

/// Writes until nothing more fits: first in large pieces, then what is left.
fn fill(file: &mut std::fs::File) {
    for piece in [vec![0; 1 << 20], vec![0; 4096]] {
        while file.write_all(&piece).is_ok() {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
