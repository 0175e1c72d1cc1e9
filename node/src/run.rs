//! `run`: start everything, one main loop, stop everything.
mod events;
mod main_loop;
mod network;
mod start;

pub(crate) use main_loop::{Intake, Services};

use std::io::IsTerminal;

use anyhow::anyhow;
use seedbank_store::Store;

use crate::exit::Failure;
use crate::handovers;
use crate::home::Home;
use crate::keys::{self, LockedKey};
use crate::publishing::newest_certificates;
use crate::recovery;
use crate::settings::Settings;
use crate::snapshots::{self, Files};

/// All that is read from the disk before anything listens.
pub(crate) struct Disk {
    pub(crate) home: Home,
    pub(crate) key: LockedKey,
    pub(crate) store: Store,
    pub(crate) leftovers: Files,
}

/// Runs a server until it is told to stop.
pub(crate) fn run(settings: Settings) -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(settings.log_filter())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let disk = open(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::unexpected)?;
    let result = runtime.block_on(async {
        let node = start::start(&settings, disk).await?;
        node.run().await
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

fn open(settings: &Settings) -> Result<Disk, Failure> {
    let home = Home::open(&settings.home)?;
    let key = keys::open(&settings.key)?;
    let public = key.secret.public();
    let store = recovery::open_store(&home, settings, &public)?;
    let state = store.ledger_state();
    let sets = [&state.servers, &state.next_servers, &state.signers];
    if handovers::has_left(&store, &state, &public) && !settings.join {
        let certified = store.newest_certificate()?.map(|certificate| certificate.checkpoint.epoch);
        if certified >= store.last_closing().map(|(epoch, ..)| epoch) {
            return Err(Failure::usage(anyhow!(
                "an order removed this server, and the others have taken over: it has nothing left to do; destroy its key"
            )));
        }
    } else if !settings.join {
        recovery::check_member(&sets, &store.genesis().name, &public)?;
    }
    let certified: Vec<_> =
        newest_certificates(&store)?.into_iter().map(|certificate| certificate.checkpoint.snapshot).collect();
    let leftovers = snapshots::sort_leftovers(&home.snapshots(), &store.community(), &certified);
    let leftovers = leftovers.map_err(Failure::Disk)?;
    Ok(Disk { home, key, store, leftovers })
}
