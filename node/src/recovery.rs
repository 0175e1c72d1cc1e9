//! From what is on the disk to a server that may speak.
use std::fs::File;
use std::path::Path;

use anyhow::{Context, anyhow};
use seedbank_quorum::{Chain, Guard, LastClosed, Recovered};
use seedbank_snapshot::{Expected, FullFile, verify_full};
use seedbank_store::{Store, StoreError};
use seedbank_types::{Checkpoint, Epoch, Genesis, Header, Height, ServerKey, ServerSet};

use crate::exit::Failure;
use crate::home::{Home, write_whole};
use crate::settings::Settings;

/// Where the guard is kept in the store.
pub(crate) const GUARD: &str = "guard";
/// Intents of so many epochs are of interest to the quorum.
const INTENTS: u64 = 4;

/// Opens the server's database; at the first start makes it from genesis and first snapshot.
pub(crate) fn open_store(home: &Home, settings: &Settings, key: &ServerKey) -> Result<Store, Failure> {
    let store = match Store::open(&home.store()) {
        // A key that may have spoken must not begin as if it never had.
        Err(StoreError::Missing(_)) if home.new_store().exists() => {
            let why = "a resync was interrupted: run `seedbankd resync` again, it goes on where it stopped";
            return Err(Failure::usage(anyhow!(why)));
        }
        Err(StoreError::Missing(_) | StoreError::Unfinished(_)) => first_start(home, settings, key)?,
        opened => opened?,
    };
    if let Some(path) = &settings.genesis
        && read_genesis(path)?.community() != store.community()
    {
        let why = format!("{} is not the genesis that this home directory was made from", path.display());
        return Err(Failure::usage(anyhow!("{why}; name the right one, or leave it out")));
    }
    Ok(store)
}

fn first_start(home: &Home, settings: &Settings, key: &ServerKey) -> Result<Store, Failure> {
    let genesis_path = settings.genesis.clone().unwrap_or_else(|| home.genesis());
    let snapshot_path = settings.snapshot.clone().unwrap_or_else(|| home.first_snapshot());
    let genesis = read_genesis(&genesis_path)?;
    if !settings.join {
        check_member(&[&genesis.servers], &genesis.name, key)?;
    }
    let store = create_store(&home.store(), &genesis, &snapshot_path)?;
    if !home.genesis().exists() {
        write_whole(&home.genesis(), &genesis.encode())?;
    }
    keep_first_snapshot(home, &snapshot_path)?;
    tracing::info!(accounts = genesis.count, "database made from the genesis of {}", genesis.name);
    Ok(store)
}

pub(crate) fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let missing = "name the one that the founder made with `seedbankd genesis new` with --genesis";
    let bytes = std::fs::read(path).map_err(|error| Failure::unreadable("genesis file", path, &error, missing))?;
    let genesis = Genesis::decode(&bytes);
    genesis.with_context(|| format!("genesis file {}", path.display())).map_err(Failure::Usage)
}

/// Whether the key belongs to one of these sets of servers.
pub(crate) fn check_member(sets: &[&ServerSet], name: &str, key: &ServerKey) -> Result<(), Failure> {
    if sets.iter().any(|set| set.number(key).is_some()) {
        return Ok(());
    }
    Err(Failure::usage(anyhow!(
        "{key} is no server of {name}: take the key that the genesis names, or, if an order is to add this one, give --join"
    )))
}

/// Verifies the first snapshot as a whole before anything is made of it.
pub(crate) fn create_store(dir: &Path, genesis: &Genesis, path: &Path) -> Result<Store, Failure> {
    let failed = |error: anyhow::Error| Failure::Usage(error.context(format!("snapshot file {}", path.display())));
    let missing = "name the one that the founder made with `seedbankd genesis new` with --snapshot";
    let file = File::open(path).map_err(|error| Failure::unreadable("snapshot file", path, &error, missing))?;
    let length = file.metadata().map_err(|error| failed(error.into()))?.len();
    let expected = Expected::of_genesis(genesis);
    verify_full(&file, length, &expected, |_record| ()).map_err(|error| failed(error.into()))?;
    let mut full = FullFile::open(file, &expected).map_err(|error| failed(error.into()))?;
    let mut read_error = None;
    let records = full.records().map_err(|error| failed(error.into()))?;
    let records = records.map_while(|record| record.map_err(|error| read_error = Some(error)).ok());
    let created = Store::create(dir, genesis, records);
    match read_error {
        Some(error) => Err(failed(error.into())),
        None => Ok(created?),
    }
}

/// A later `resync` begins from it.
fn keep_first_snapshot(home: &Home, path: &Path) -> Result<(), Failure> {
    let (kept, staged) = (home.first_snapshot(), home.path("genesis.snapshot.staged"));
    if kept.exists() {
        return Ok(());
    }
    let copied = std::fs::copy(path, &staged).and_then(|_bytes| std::fs::rename(&staged, &kept));
    copied.with_context(|| kept.display().to_string()).map_err(Failure::Disk)
}

/// Everything that the quorum must know of this server's past.
pub(crate) fn recover(store: &Store) -> Result<Recovered, Failure> {
    let state = store.ledger_state();
    let closing = store.last_closing().map(|(_, height, _)| header(store, height)).transpose()?;
    let first_open = closing.as_ref().map_or(Height(1), |closing| closing.height.next());
    let open: Vec<Header> =
        (first_open.0..=state.height.0).map(|height| header(store, Height(height))).collect::<Result<_, _>>()?;
    let certificate = match &closing {
        Some(closing) => store.certificate(closing.epoch)?,
        None => None,
    };
    let closed_state = store.closed_state()?;
    let last_closed = closing.as_ref().zip(closed_state.as_ref()).map(|(header, state)| LastClosed::new(header, state));
    let next = state.height.next();
    let log = store.read_log()?.into_iter().filter(|(_, height, _)| *height == next);
    let log = log.map(|(_, _, entry)| entry).collect();
    Ok(Recovered {
        chain: Chain::recover(store.genesis(), state, closing.as_ref(), &open, certificate),
        last_closed,
        log,
        log_started: store.log_started(),
        guard: guard(store)?,
        intents: intents(store)?,
        evidence: store.evidence()?,
    })
}

fn header(store: &Store, height: Height) -> Result<Header, Failure> {
    let missing = || StoreError::Damaged(format!("header {height} is missing"));
    Ok(store.header(height)?.ok_or_else(missing)?)
}

pub(crate) fn guard(store: &Store) -> Result<Guard, Failure> {
    match store.meta(GUARD)? {
        Some(bytes) => Ok(Guard::decode(&bytes).map_err(StoreError::from)?),
        None => Ok(Guard::default()),
    }
}

/// The newest intents. There may be none for some epochs.
fn intents(store: &Store) -> Result<Vec<Checkpoint>, Failure> {
    let Some(newest) = store.newest_intent()? else { return Ok(Vec::new()) };
    let first = newest.epoch.0.saturating_sub(INTENTS - 1);
    let found = (first..=newest.epoch.0).map(|epoch| store.intent(Epoch(epoch)));
    Ok(found.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}
