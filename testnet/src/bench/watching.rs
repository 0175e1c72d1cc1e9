//! When each payment became final: servers of a quorum have it at the same height under the same header.
//!
//! The first server gives the batches with their bodies. The others are asked for one payment of the
//! newest batch: its place names the header, and a header stands for all before it.
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use seedbank_mesh::{DecidedBatch, MeshHandle, PeerRef, Request, Response};
use seedbank_types::{Body, CommunityId, Hash, Height, PaymentId, PaymentState, Rule};
use tokio::time::{Instant, sleep};

use super::Course;
use crate::testnet::Testnet;

/// A server takes 50 requests a second of one peer.
const POLL_PAUSE: Duration = Duration::from_millis(25);
const BATCHES_AT_ONCE: u16 = 64;

/// What is known of all payments.
pub(super) struct Tally {
    community: CommunityId,
    rule: Rule,
    powers: Vec<u64>,
    indices: HashMap<PaymentId, usize>,
    sent: Vec<Option<Instant>>,
    /// How long each payment took.
    pub(super) latencies: Vec<Option<Duration>>,
    /// When the last payment became final.
    pub(super) last: Option<Instant>,
    finals: usize,
    batches: BTreeMap<Height, Seen>,
    /// How many batches held payments.
    pub(super) batch_count: usize,
    tip: (Height, Hash),
    /// How far each server has come.
    heights: Vec<Height>,
    /// Of which height each server is being asked.
    asked: Vec<Height>,
    settled: Height,
}

/// A batch that the first server has applied.
struct Seen {
    header: Hash,
    payments: Vec<PaymentId>,
}

impl Tally {
    pub(super) fn new(testnet: &Testnet, ids: impl Iterator<Item = PaymentId>) -> Result<Self> {
        let servers = &testnet.trust().servers;
        let power = |number: Option<u8>| number.and_then(|number| servers.member(number)).map(|(_, power)| power);
        let powers = testnet.servers().iter().map(|server| power(servers.number(&server.key())));
        let powers: Vec<u64> = powers.collect::<Option<_>>().context("the servers are those of the trust file")?;
        let indices: HashMap<PaymentId, usize> = ids.enumerate().map(|(index, id)| (id, index)).collect();
        let count = indices.len();
        Ok(Self {
            community: testnet.community(),
            rule: testnet.trust().quorum,
            heights: vec![Height(0); powers.len()],
            asked: vec![Height(0); powers.len()],
            powers,
            indices,
            sent: vec![None; count],
            latencies: vec![None; count],
            last: None,
            finals: 0,
            batches: BTreeMap::new(),
            batch_count: 0,
            tip: (Height(0), testnet.community().into()),
            settled: Height(0),
        })
    }

    /// Payments are on their way since `when`.
    pub(super) fn sent(&mut self, part: Range<usize>, when: Instant) {
        self.sent[part].fill(Some(when));
    }

    /// The first server has applied a batch; it must follow the one before.
    fn add(&mut self, batch: &DecidedBatch) -> Result<()> {
        let header = &batch.header;
        ensure!(
            (header.height, header.previous) == (self.tip.0.next(), self.tip.1),
            "the batch of height {} does not follow the one before",
            header.height
        );
        ensure!(Body::digest(&batch.body) == header.body_digest, "height {} has another body", header.height);
        self.tip = (header.height, header.hash());
        self.heights[0] = header.height;
        // A closing header carries no payments but a certificate, or nothing.
        let is_closing = header.previous_checkpoint != Hash::ZERO || batch.body.is_empty();
        let entries = if is_closing { Vec::new() } else { Body::decode(&batch.body)?.entries };
        let payments: Vec<PaymentId> = entries.iter().map(|entry| entry.id(&self.community)).collect();
        self.batch_count += usize::from(!payments.is_empty());
        self.batches.insert(header.height, Seen { header: self.tip.1, payments });
        Ok(())
    }

    /// A payment of the newest batch; of one after the other, for a server that lags would never
    /// have the newest.
    fn question(&mut self, server: usize) -> Option<PaymentId> {
        let height = self.heights[server];
        if self.asked[server] <= height {
            let newer = self.batches.range(height.next()..).rev().find(|(_, batch)| !batch.payments.is_empty());
            self.asked[server] = *newer?.0;
        }
        self.batches.get(&self.asked[server])?.payments.first().copied()
    }

    /// A server names the place of a payment.
    fn confirm(&mut self, server: usize, height: Height, header: Hash) -> Result<()> {
        if let Some(seen) = self.batches.get(&height) {
            ensure!(seen.header == header, "a fork: servers have different headers at height {height}");
            self.heights[server] = self.heights[server].max(height);
        }
        Ok(())
    }

    /// Counts what a quorum has now; gives how many payments are final.
    fn settle(&mut self, now: Instant) -> Result<usize> {
        let quorum = self.quorum_height();
        if quorum > self.settled {
            let batches = self.batches.range(self.settled.next()..=quorum);
            for id in batches.flat_map(|(_, batch)| &batch.payments) {
                let index = *self.indices.get(id).context("somebody else's payment was ordered")?;
                ensure!(self.latencies[index].is_none(), "payment {id} was ordered twice");
                let sent = self.sent[index].context("a payment was ordered before it was sent")?;
                self.latencies[index] = Some(now.duration_since(sent));
                self.finals += 1;
                self.last = Some(now);
            }
            self.settled = quorum;
        }
        // Servers that lag are still asked for these.
        let all_have = self.heights.iter().min().copied().unwrap_or_default();
        self.batches = self.batches.split_off(&all_have.min(self.settled));
        Ok(self.finals)
    }

    /// The greatest height that servers of a quorum have reached.
    fn quorum_height(&self) -> Height {
        let total: u64 = self.powers.iter().sum();
        let reached = |height: Height| -> u64 {
            let has = |(at, _): &(&Height, &u64)| **at >= height;
            self.heights.iter().zip(&self.powers).filter(has).map(|(_, power)| power).sum()
        };
        let heights = self.heights.iter().copied().filter(|height| self.rule.is_quorum(reached(*height), total));
        heights.max().unwrap_or_default()
    }
}

/// Watches all servers; ends with a failure only.
pub(super) async fn run(course: &Course, mesh: &MeshHandle) -> Result<Infallible> {
    try_join_all((0..course.servers.len()).map(|server| follow(course, mesh, server))).await?;
    bail!("there are no servers to watch")
}

async fn follow(course: &Course, mesh: &MeshHandle, server: usize) -> Result<Infallible> {
    loop {
        let is_more = match server {
            0 => fetch(course, mesh, course.servers[0]).await?,
            other => ask(course, mesh, other).await?,
        };
        let finals = course.tally().settle(Instant::now())?;
        course.finals.send_if_modified(|before| std::mem::replace(before, finals) != finals);
        if !is_more {
            sleep(POLL_PAUSE).await;
        }
    }
}

/// Asks the first server for new batches; true if there may be more at once.
async fn fetch(course: &Course, mesh: &MeshHandle, server: PeerRef) -> Result<bool> {
    let from = course.tally().tip.0.next();
    match mesh.request(server, Request::Batches { from, max: BATCHES_AT_ONCE }).await {
        Ok(Response::Batches(batches)) => {
            let mut tally = course.tally();
            batches.iter().try_for_each(|batch| tally.add(batch))?;
            Ok(batches.len() > 1)
        }
        Ok(other) => {
            tracing::debug!(?other, "no batches");
            Ok(false)
        }
        Err(error) => {
            tracing::warn!(%error, "no batches");
            Ok(false)
        }
    }
}

/// Asks another server whether it has the newest batch.
async fn ask(course: &Course, mesh: &MeshHandle, server: usize) -> Result<bool> {
    let Some(id) = course.tally().question(server) else { return Ok(false) };
    match mesh.request(course.servers[server], Request::PaymentState(id)).await {
        Ok(Response::PaymentState(
            PaymentState::Final { height, header } | PaymentState::Certified { height, header, .. },
        )) => course.tally().confirm(server, height, header)?,
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "no state of a payment"),
    }
    Ok(false)
}
