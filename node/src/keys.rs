//! The server's secret key in a file.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, anyhow};
use seedbank_types::ServerSecret;

use crate::exit::Failure;

/// Bits that nobody but the owner may have.
const OTHERS_MODE: u32 = 0o077;
const KEY_FILE_BYTES_MAX: u64 = 256;

/// Writes a new key and prints its public half.
pub(crate) fn new(out: &Path) -> Result<(), Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::unexpected(anyhow!("no randomness: {error}")))?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(out);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::usage(anyhow!("{} exists already: a key is never overwritten; name another file", out.display()))
        }
        _ => Failure::disk(anyhow!("{}: {error}", out.display())),
    })?;
    let text = format!("{}\n", hex::encode(bytes));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| out.display().to_string()).map_err(Failure::Disk)?;
    let public = ServerSecret::from_bytes(&bytes).public();
    writeln!(std::io::stdout(), "{public}").map_err(Failure::disk)
}

/// A secret key with the lock on its file, which no other process of this machine gets meanwhile.
#[derive(Debug)]
pub(crate) struct LockedKey {
    pub(crate) secret: ServerSecret,
    _lock: File,
}

/// Reads and locks a key file.
pub(crate) fn open(path: &Path) -> Result<LockedKey, Failure> {
    let file = open_private(path)?;
    lock(&file, "the key", path)?;
    let secret = read_secret(&file, path)?;
    Ok(LockedKey { secret, _lock: file })
}

/// Reads a key file that a running server may hold, to sign what is no statement of the quorum: an order.
pub(crate) fn read(path: &Path) -> Result<ServerSecret, Failure> {
    read_secret(&open_private(path)?, path)
}

/// Opens a key file that nobody but its owner may read.
fn open_private(path: &Path) -> Result<File, Failure> {
    let failed = |error| Failure::usage(anyhow!("key file {}: {error}", path.display()));
    let missing = format!("make one with `seedbankd key new --out {}`, or name yours with --key", path.display());
    let file = File::open(path).map_err(|error| Failure::unreadable("key file", path, &error, &missing))?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & OTHERS_MODE != 0 {
        let why = format!("others may read it (mode {:o}); run: chmod 600 {}", mode & 0o777, path.display());
        return Err(Failure::usage(anyhow!("key file {}: {why}", path.display())));
    }
    Ok(file)
}

fn read_secret(file: &File, path: &Path) -> Result<ServerSecret, Failure> {
    let failed = |error| Failure::usage(anyhow!("key file {}: {error}", path.display()));
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_not_hex| {
        Failure::usage(anyhow!("key file {}: it must hold 64 hex digits and nothing else", path.display()))
    })?;
    Ok(ServerSecret::from_bytes(&bytes))
}

/// Takes the lock of a file, which ends with the process whatever happens to it.
pub(crate) fn lock(file: &File, what: &str, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Failure::InUse(format!(
            "{what} ({}) is in use by another process: stop that one first",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Failure::disk(anyhow!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).expect("writable");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
    }

    #[test]
    fn a_key_is_never_overwritten_and_only_the_owner_reads_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        new(&path).expect("written");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&path).expect("there");
        assert!(matches!(new(&path), Err(Failure::Usage(_))));
        assert_eq!(std::fs::read(&path).expect("there"), before);
        drop(open(&path).expect("a key"));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        write(&path, &"01".repeat(32), 0o644);
        let error = open(&path).expect_err("refused").to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_key_file_of_another_shape_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        for text in ["", "0102", &"zz".repeat(32), &"01".repeat(33)] {
            write(&path, text, 0o600);
            assert!(matches!(open(&path), Err(Failure::Usage(_))), "{text:?}");
        }
    }

    #[test]
    fn a_key_is_used_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        new(&path).expect("written");
        let held = open(&path).expect("the first");
        assert!(matches!(open(&path), Err(Failure::InUse(_))));
        drop(held);
        assert!(open(&path).is_ok());
    }
}
