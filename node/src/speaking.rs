//! `speak-again`: operators let a server speak that waits because its disk may have forgotten what its key said.
//!
//! The servers help each other out of this by themselves as long as those that wait have no more power than may fail
//! (and, with everybody's consent, if too many only wait to sign). Beyond that nobody can know that it is safe.
use std::io::Write as _;

use anyhow::anyhow;
use seedbank_quorum::Guard;
use seedbank_store::Store;
use seedbank_types::Height;

use crate::cli::SpeakAgainArguments;
use crate::exit::Failure;
use crate::home::Home;
use crate::recovery::{self, GUARD};

const RISK: &str = "\
It waits because its key may have voted or signed what this disk does not know. If any disk, backup or certificate
shows that the community had got further than the databases at hand, find that and do not go on here: payments that
were final would be lost, and this key would contradict itself, which is proof against it for everybody.
If the operators of all servers know of no such thing:
  1. stop all servers;
  2. on each, run this command again with --i-take-the-risk (it also forgets the votes of the height that is being decided);
  3. start all servers: each speaks once it has heard all others.";

/// Refuses while the server runs: its home is locked then.
pub(crate) fn run(arguments: &SpeakAgainArguments) -> Result<(), Failure> {
    if !arguments.home.is_dir() {
        let why = format!("{} is no directory: name the home of a server with --home", arguments.home.display());
        return Err(Failure::usage(anyhow!(why)));
    }
    let home = Home::open(&arguments.home)?;
    let store = Store::open(&home.store())?;
    let guard = recovery::guard(&store)?;
    let next = store.ledger_state().height.next();
    say(&format!(
        "the next height here is {next}; this server votes from height {} and signs from epoch {} on",
        guard.vote_from.max(next),
        guard.sign_from
    ))?;
    if !arguments.i_take_the_risk {
        return Err(Failure::usage(anyhow!("nothing was changed\n{RISK}")));
    }
    lift(&store, guard, arguments.others_are_lost)?;
    say("once it has started, it speaks as soon as it has heard all servers it must hear")
}

/// The guard is written last, so that nothing has changed if this is interrupted.
fn lift(store: &Store, guard: Guard, others_are_lost: bool) -> Result<(), Failure> {
    store.clear_log_below(Height(u64::MAX))?;
    if !store.log_started() {
        // A log that never was would make it observe once more. Nothing of height 0 is ever read.
        store.append_log(Height(0), &[])?;
    }
    let lifted = Guard { hears_all: !others_are_lost, ..guard.lifted() };
    Ok(store.meta_put(GUARD, &lifted.encode())?)
}

fn say(words: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{words}").map_err(Failure::disk)
}
