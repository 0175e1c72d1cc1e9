//! The load generator: hands payments in, in requests as any client sends them.
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seedbank_mesh::{MeshHandle, PeerRef, Request, Response};
use seedbank_types::{PaymentState, SignedPayment};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{BenchSettings, Course, Target};

/// Most payments in one request.
const REQUEST_PAYMENTS_MAX: usize = 500;
/// Requests a second that one server takes of one peer without complaint, with some distance.
const REQUESTS_PER_SECOND: u32 = 40;
/// At a given rate, payments are handed in this often at most.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// How long a server that is busy is left alone.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// A payment that is refused this often as busy ends the measurement.
const ATTEMPTS_MAX: u32 = 100;
/// A request that did not get through ends the generator; there is never more than one such.
const FAILURES_MAX: usize = 1;

/// Hands everything in, and waits for the answers; how many payments had to be handed in again.
pub(super) async fn run(settings: &BenchSettings, course: &Course, mesh: &MeshHandle, start: Instant) -> Result<u64> {
    let (failed, mut failures) = mpsc::channel(FAILURES_MAX);
    let sender = Arc::new(Sender {
        course: course.clone(),
        mesh: mesh.clone(),
        target: settings.target,
        resubmitted: AtomicU64::new(0),
    });
    let mut requests = JoinSet::new();
    let all = async {
        match settings.rate {
            Some(rate) => at_rate(&sender, rate, start, &mut requests, &failed).await,
            None => at_full_speed(&sender, settings.window, &mut requests, &failed).await,
        }
        while requests.join_next().await.is_some() {}
    };
    tokio::select! {
        () = all => {}
        Some(error) = failures.recv() => return Err(error),
    }
    failures.try_recv().map_or_else(|_none| Ok(sender.resubmitted.load(Ordering::Relaxed)), Err)
}

type Failed = mpsc::Sender<anyhow::Error>;

/// The time of a payment is when it was due, even if the generator comes late.
async fn at_rate(sender: &Arc<Sender>, rate: u32, start: Instant, requests: &mut JoinSet<()>, failed: &Failed) {
    let (total, servers) = (sender.course.signed.payments.len(), sender.course.servers.len());
    let servers = if sender.target == Target::Spread { u32::try_from(servers).unwrap_or(1) } else { 1 };
    let pause = PAUSE_MIN.max(Duration::from_secs(1) / (REQUESTS_PER_SECOND * servers));
    let (mut next, mut turn) = (0, 0);
    for tick in 1_u32.. {
        let due = start + pause * tick;
        let until = (due - start).as_secs_f64() * f64::from(rate);
        #[expect(clippy::cast_possible_truncation, reason = "below the number of payments")]
        let until = until.min(total as f64) as usize;
        sleep_until(due).await;
        while next < until {
            let part = next..until.min(next + REQUEST_PAYMENTS_MAX);
            next = part.end;
            sender.launch(part, due, turn, requests, failed);
            turn += 1;
        }
        if next == total {
            return;
        }
    }
}

/// Keeps a window of payments on their way.
async fn at_full_speed(sender: &Arc<Sender>, window: u32, requests: &mut JoinSet<()>, failed: &Failed) {
    let (total, window) = (sender.course.signed.payments.len(), window as usize);
    let mut finals = sender.course.finals.subscribe();
    let (mut next, mut turn) = (0, 0);
    while next < total {
        let part = next..total.min(next + REQUEST_PAYMENTS_MAX.min(window));
        // The watching lives as long as this.
        if finals.wait_for(|finals| part.end - finals <= window).await.is_err() {
            return;
        }
        next = part.end;
        sender.launch(part, Instant::now(), turn, requests, failed);
        turn += 1;
    }
}

struct Sender {
    course: Course,
    mesh: MeshHandle,
    target: Target,
    resubmitted: AtomicU64,
}

impl Sender {
    /// Hands a part in by a task of its own; `turn` says to whom.
    fn launch(
        self: &Arc<Self>,
        part: Range<usize>,
        due: Instant,
        turn: usize,
        requests: &mut JoinSet<()>,
        failed: &Failed,
    ) {
        self.course.tally().sent(part.clone(), due);
        let servers = self.course.servers.len();
        let first = match self.target {
            Target::Spread => turn % servers..turn % servers + 1,
            Target::First => 0..1,
            Target::All => 0..servers,
        };
        for server in first {
            let (sender, part, failed) = (Arc::clone(self), part.clone(), failed.clone());
            requests.spawn(async move {
                if let Err(error) = sender.hand_in(part, server).await
                    && failed.try_send(error).is_err()
                {
                    tracing::debug!("another request failed before");
                }
            });
        }
        while requests.try_join_next().is_some() {}
    }

    /// Hands payments to a server; those that it is too busy for, to the next one a little later.
    async fn hand_in(&self, part: Range<usize>, server: usize) -> Result<()> {
        let mut left: Vec<SignedPayment> =
            self.course.signed.payments[part].iter().map(|(_, signed)| signed.clone()).collect();
        for attempt in 0..ATTEMPTS_MAX {
            let peer = self.course.servers[(server + attempt as usize) % self.course.servers.len()];
            left = self.ask(peer, left).await?;
            if left.is_empty() {
                return Ok(());
            }
            self.resubmitted.fetch_add(left.len() as u64, Ordering::Relaxed);
            sleep(BUSY_PAUSE).await;
        }
        bail!("{} payments were refused {ATTEMPTS_MAX} times because the servers are busy", left.len())
    }

    /// One request; gives back what must be handed in again.
    async fn ask(&self, peer: PeerRef, payments: Vec<SignedPayment>) -> Result<Vec<SignedPayment>> {
        let states = match self.mesh.request(peer, Request::SubmitPayments(payments.clone())).await {
            Ok(Response::Submitted(states)) => states,
            Ok(other) => {
                tracing::debug!(%peer, ?other, "not taken");
                return Ok(payments);
            }
            Err(error) => {
                tracing::warn!(%peer, %error, "a request failed");
                return Ok(payments);
            }
        };
        let mut again = Vec::new();
        for (state, payment) in states.into_iter().zip(payments) {
            match state {
                PaymentState::Refused(refusal) if refusal.is_passing() => again.push(payment),
                PaymentState::Refused(refusal) => {
                    Err(refusal).with_context(|| format!("a payment of sequence {}", payment.payment.sequence))?;
                }
                _ => {}
            }
        }
        Ok(again)
    }
}
