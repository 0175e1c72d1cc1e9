//! The home directory: its lock, its files, and the list of addresses for others.
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use crate::exit::Failure;
use crate::keys;

/// A home directory that no other process uses meanwhile.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes the directory if need be and takes its lock.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::Disk(anyhow::Error::new(error).context(dir.display().to_string()));
        fs::create_dir_all(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        let path = dir.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| path.display().to_string()).map_err(Failure::Disk)?;
        keys::lock(&file, "the home directory", &dir)?;
        let home = Self { dir, _lock: file };
        home.forget_addresses()?;
        Ok(home)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Where a resync makes the database that takes the place of the old one.
    pub(crate) fn new_store(&self) -> PathBuf {
        self.dir.join("store.new")
    }

    pub(crate) fn genesis(&self) -> PathBuf {
        self.dir.join("genesis")
    }

    pub(crate) fn first_snapshot(&self) -> PathBuf {
        self.dir.join("genesis.snapshot")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    /// Where a certified snapshot is fetched to, to begin again from.
    pub(crate) fn catch_up(&self) -> PathBuf {
        self.dir.join("catch-up")
    }

    fn addresses(&self) -> PathBuf {
        self.dir.join("addresses.json")
    }

    /// The addresses of an earlier run are not those of this one.
    pub(crate) fn forget_addresses(&self) -> Result<(), Failure> {
        match fs::remove_file(self.addresses()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::disk(error)),
            _ => Ok(()),
        }
    }

    /// Says where everything listens; whoever reads the file sees all of it or nothing.
    pub(crate) fn write_addresses(&self, addresses: &Value) -> Result<(), Failure> {
        write_whole(&self.addresses(), format!("{addresses:#}\n").as_bytes())
    }
}

/// Writes a file beside its place and moves it there when it is on the disk.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let staged = path.with_extension("staged");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    write().with_context(|| path.display().to_string()).map_err(Failure::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_used_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = Home::open(dir.path()).expect("the first");
        assert!(matches!(Home::open(dir.path()), Err(Failure::InUse(_))));
        drop(held);
        assert!(Home::open(dir.path()).is_ok());
    }

    #[test]
    fn addresses_of_an_earlier_run_are_gone_at_the_next_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::open(dir.path()).expect("the first");
        home.write_addresses(&serde_json::json!({ "pid": 1 })).expect("written");
        assert!(dir.path().join("addresses.json").exists());
        drop(home);
        let _home = Home::open(dir.path()).expect("the next");
        assert!(!dir.path().join("addresses.json").exists());
    }
}
