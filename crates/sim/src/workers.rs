//! Threads that take one seed after the other.
use std::cell::RefCell;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seedbank_sim::{Choice, Outcome, World, run_seed};

use crate::Arguments;
use crate::report::{Failure, Summary};

const PROGRESS: Duration = Duration::from_secs(2);
/// Where nobody looks on, each report is a line.
const PROGRESS_IN_FILES: Duration = Duration::from_secs(30);

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs all seeds.
pub(crate) fn run(arguments: &Arguments) -> Summary {
    std::panic::set_hook(Box::new(remember));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    let next = AtomicU64::new(arguments.seeds.start);
    let summary = Mutex::new(Summary::new(arguments));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(arguments, &next, &summary))).collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::park_timeout(Duration::from_millis(50));
            progress(&summary, started);
        }
    });
    let mut summary = summary.into_inner().expect("workers do not panic while they hold it");
    summary.wall = started.elapsed();
    summary
}

fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
    PANIC.with_borrow_mut(|panic| *panic = format!("{text}{place}"));
}

fn work(arguments: &Arguments, next: &AtomicU64, summary: &Mutex<Summary>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= arguments.seeds.end {
            return;
        }
        let before = cpu_time();
        let result = one(arguments, seed);
        let cpu = cpu_time().saturating_sub(before);
        let mut summary = summary.lock().expect("workers do not panic while they hold it");
        summary.cpu += cpu;
        match result {
            Ok(outcome) => summary.add(&outcome),
            Err(failure) => {
                eprintln!("\r{failure}");
                summary.failures.push(failure);
            }
        }
    }
}

fn one(arguments: &Arguments, seed: u64) -> Result<Outcome, Failure> {
    seedbank_sim::memoise_signatures(arguments.memoise);
    let mut virtual_ms = 0;
    let mut see = |world: &World| {
        virtual_ms = world.now_ms();
        if arguments.verbose {
            println!("seed {seed}: {:?}", world.plan());
            world.trace().for_each(|line| println!("{line}"));
        }
    };
    let choice = Choice { kind: arguments.plan, mutation: arguments.mutation, is_traced: arguments.verbose };
    let result = catch_unwind(AssertUnwindSafe(|| run_seed(seed, choice, &mut see)));
    result.map_err(|_payload| {
        let why = PANIC.with_borrow_mut(std::mem::take);
        Failure { seed, virtual_ms, why, kind: arguments.plan, mutation: arguments.mutation }
    })
}

/// Time that this thread has had a core, where the system tells; other work runs on the machine.
fn cpu_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|line| line.split(' ').next()?.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn progress(summary: &Mutex<Summary>, started: Instant) {
    let mut summary = summary.lock().expect("workers do not panic while they hold it");
    let is_watched = std::io::stderr().is_terminal();
    if summary.told.elapsed() >= if is_watched { PROGRESS } else { PROGRESS_IN_FILES } {
        summary.told = Instant::now();
        let line = summary.line(started.elapsed());
        if is_watched { eprint!("\r{line}") } else { eprintln!("{line}") }
    }
}
