//! What the runs came to.
use std::fmt;
use std::time::{Duration, Instant};

use seedbank_sim::{Counts, Kind, Mutation, Outcome};
use serde_json::{Value, json};

use crate::Arguments;

/// A seed that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) virtual_ms: u64,
    pub(crate) why: String,
    pub(crate) kind: Kind,
    pub(crate) mutation: Option<Mutation>,
}

impl Failure {
    fn replay(&self) -> String {
        let mutation = self.mutation.map(|mutation| format!(" --mutation {mutation}")).unwrap_or_default();
        let kind = if self.kind == Kind::Any { String::new() } else { format!(" --plan {}", self.kind) };
        format!("seedbank-sim --seeds {}..{} --verbose{kind}{mutation}", self.seed, self.seed + 1)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.virtual_ms / 1_000;
        write!(f, "seed {} failed after {seconds} virtual seconds: {}\n  again: {}", self.seed, self.why, self.replay())
    }
}

/// All seeds together.
#[derive(Debug)]
pub(crate) struct Summary {
    kind: Kind,
    seeds: u64,
    done: u64,
    virtual_ms: u64,
    finals: u64,
    epochs: u64,
    forked: u64,
    stopped_clients: u64,
    double_signers: u64,
    slowest_recovery_ms: u64,
    counts: Counts,
    pub(crate) failures: Vec<Failure>,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) told: Instant,
}

impl Summary {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self {
            kind: arguments.plan,
            seeds: arguments.seeds.end - arguments.seeds.start,
            done: 0,
            virtual_ms: 0,
            finals: 0,
            epochs: 0,
            forked: 0,
            stopped_clients: 0,
            double_signers: 0,
            slowest_recovery_ms: 0,
            counts: Counts::default(),
            failures: Vec::new(),
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
            told: Instant::now(),
        }
    }

    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.done += 1;
        self.virtual_ms += outcome.virtual_ms;
        self.finals += outcome.finals;
        self.epochs += outcome.epochs;
        self.forked += u64::from(outcome.has_forked);
        self.stopped_clients += u64::from(outcome.client_stopped);
        self.double_signers += outcome.double_signers;
        self.slowest_recovery_ms = self.slowest_recovery_ms.max(outcome.recovered_after_ms);
        self.counts += outcome.counts;
    }

    /// Virtual time for each second that a core worked.
    fn speed(&self) -> u64 {
        self.virtual_ms.checked_div(u64::try_from(self.cpu.as_millis()).unwrap_or(u64::MAX)).unwrap_or(0)
    }

    pub(crate) fn line(&self, wall: Duration) -> String {
        let (done, failed) = (self.done, self.failures.len());
        let (all, seconds, speed) = (self.seeds, wall.as_secs(), self.speed());
        format!("{done} of {all} seeds hold, {failed} failed, {seconds} s, {speed} x real time a core ")
    }
}

pub(crate) fn json(summary: &Summary) -> Value {
    let counts = &summary.counts;
    json!({
        "plan": summary.kind.to_string(),
        "seeds": summary.seeds,
        "failed": summary.failures.iter().map(|failure| failure.seed).collect::<Vec<_>>(),
        "why": summary.failures.iter().map(|failure| failure.why.as_str()).collect::<Vec<_>>(),
        "virtual_s": summary.virtual_ms / 1_000,
        "cpu_s": summary.cpu.as_secs_f64(),
        "wall_s": summary.wall.as_secs_f64(),
        "x_real_time_per_core": summary.speed(),
        "finals": summary.finals,
        "epochs": summary.epochs,
        "slowest_recovery_ms": summary.slowest_recovery_ms,
        "forked_where_liars_had_the_power": summary.forked,
        "clients_stopped_by_two_certificates": summary.stopped_clients,
        "double_signers_named": summary.double_signers,
        "inputs": counts.inputs,
        "crashes": counts.crashes,
        "cuts": counts.cuts,
        "disks_replaced": counts.disks_replaced,
        "disks_full": counts.disks_full,
        "bits_flipped": counts.bits_flipped,
        "conspiracies": counts.conspiracies,
        "observed": counts.observed,
        "halted": counts.halted,
        "found_out": counts.found_out,
    })
}

pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    if let Value::Object(fields) = json(summary) {
        for (name, value) in fields.iter().filter(|(name, _)| *name != "why") {
            text.push_str(&format!("{:>36}  {value}\n", name.replace('_', " ")));
        }
    }
    for failure in &summary.failures {
        text.push_str(&format!("{failure}\n"));
    }
    text
}
