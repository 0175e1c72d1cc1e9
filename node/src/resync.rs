//! `resync`: sets a damaged or diverged database aside, whole, and makes a new one from the genesis. The next run
//! fetches all batches from the other servers, and joins like a server that lost its log: it never signs an epoch
//! that its key has signed.
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use seedbank_quorum::Guard;
use seedbank_store::{Store, StoreError};
use seedbank_types::{Epoch, Evidence, Height};

use crate::exit::Failure;
use crate::home::Home;
use crate::publishing::{keep_seq, last_seq};
use crate::recovery::{self, GUARD};
use crate::settings::Settings;

/// What the new database must know of the old one.
#[derive(Debug, Default)]
struct Carried {
    guard: Guard,
    evidence: Vec<Evidence>,
    record_seq: u64,
}

/// Refuses while the server runs: its home is locked then.
pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    if !settings.home.is_dir() {
        let why = format!("{} is no directory: name the home of a server with --home", settings.home.display());
        return Err(Failure::usage(anyhow!(why)));
    }
    let home = Home::open(&settings.home)?;
    let carried = match Store::open(&home.store()) {
        Ok(store) => Some(carried(&store)?),
        Err(StoreError::Missing(_)) => return go_on(&home),
        Err(error @ (StoreError::Locked(_) | StoreError::Format { .. })) => return Err(error.into()),
        Err(error) => {
            say(&format!(
                "the database cannot be opened ({error}); the other servers are asked what its key has said"
            ))?;
            None
        }
    };
    make_new(&home, settings, &carried.unwrap_or_else(Carried::unknown))?;
    let aside = set_aside(&home)?;
    say(&format!(
        "the old database is kept in {}\nstart the server as before: it fetches everything from the other servers, \
         observes until it is sure that its key has said nothing about what comes, then takes part",
        aside.display()
    ))
}

/// An earlier resync was interrupted between its last two steps.
fn go_on(home: &Home) -> Result<(), Failure> {
    if !home.new_store().exists() {
        let why = "there is no database here to set aside; `seedbankd run` makes one";
        return Err(Failure::usage(anyhow!(why)));
    }
    let store = Store::open(&home.new_store())?;
    if recovery::guard(&store)? == Guard::default() {
        return Err(Failure::Halted("the new database is not whole; ask for help: its key may have spoken".to_owned()));
    }
    drop(store);
    rename(&home.new_store(), &home.store())?;
    say("an interrupted resync was finished: start the server as before")
}

/// What this key may have said, as far as the old disk knows; a start asks the other servers on top of that.
fn carried(store: &Store) -> Result<Carried, Failure> {
    let guard = recovery::guard(store)?;
    let voted = store.read_log()?.iter().map(|(_, height, _)| *height).max().unwrap_or_default();
    let height = store.ledger_state().height;
    let vote_from = height.next().max(voted).next().next();
    let signed = store.newest_intent()?.map_or(Epoch(0), |intent| intent.epoch);
    let guard = Guard {
        vote_from: guard.vote_from.max(vote_from),
        sign_from: guard.sign_from.max(signed.next()),
        signed_to: guard.signed_to.max(signed),
        hears_all: guard.hears_all,
    };
    Ok(Carried { guard, evidence: store.evidence()?, record_seq: last_seq(store)? })
}

impl Carried {
    /// Nothing can be read: the guard only says that the key may have spoken, which is enough to observe first.
    fn unknown() -> Self {
        let guard = Guard { vote_from: Height(1), sign_from: Epoch(1), signed_to: Guard::UNKNOWN, hears_all: false };
        Self { guard, ..Self::default() }
    }
}

fn make_new(home: &Home, settings: &Settings, carried: &Carried) -> Result<(), Failure> {
    let new = home.new_store();
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| new.display().to_string()).map_err(Failure::Disk)?;
    }
    let genesis_path = settings.genesis.clone().unwrap_or_else(|| home.genesis());
    let snapshot = settings.snapshot.clone().unwrap_or_else(|| home.first_snapshot());
    let genesis = recovery::read_genesis(&genesis_path)?;
    let store = recovery::create_store(&new, &genesis, &snapshot)?;
    store.meta_put(GUARD, &carried.guard.encode())?;
    keep_seq(&store, carried.record_seq)?;
    for evidence in &carried.evidence {
        store.put_evidence(evidence)?;
    }
    Ok(())
}

/// Moves everything of the old database to a dated directory, then the new one into its place.
fn set_aside(home: &Home) -> Result<PathBuf, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = home.path(&format!("before-resync-{}", stamp(since)));
    fs::create_dir(&aside).with_context(|| aside.display().to_string()).map_err(Failure::Disk)?;
    for name in ["snapshots", "diverged", "store"] {
        let from = home.path(name);
        if from.exists() {
            rename(&from, &aside.join(name))?;
        }
    }
    rename(&home.new_store(), &home.store())?;
    Ok(aside)
}

/// Renames, and has it on the disk.
fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    let sync = |path: &Path| path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all());
    let renamed = fs::rename(from, to).and_then(|()| sync(to)).and_then(|()| sync(from));
    renamed.with_context(|| format!("{} to {}", from.display(), to.display())).map_err(Failure::Disk)
}

fn say(words: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{words}").map_err(Failure::disk)
}

/// `20261120T150000Z`, from seconds since 1970. The calendar is Howard Hinnant's `civil_from_days`.
fn stamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hours, minutes, seconds) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hours:02}{minutes:02}{seconds:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_795_186_800, "20261120T150000Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(seconds), expected);
        }
    }
}
