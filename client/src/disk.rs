//! Writing files so that a reader, or a crash, never sees half of one.
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::errors::Failure;

/// Only the owner reads it.
pub(crate) const SECRET: u32 = 0o600;
/// Anybody reads it.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file in one step, replacing what is there: staged beside it, flushed, renamed.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let written = stage(path, bytes, mode)
        .and_then(|staged| std::fs::rename(&staged, path).inspect_err(|_error| unstage(&staged)));
    written.and_then(|()| flush_directory(path)).map_err(|error| Failure::disk("write", path, error))
}

/// Like [`write()`], but never replaces a file: false if there is one.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, Failure> {
    let linked = stage(path, bytes, mode).and_then(|staged| {
        let linked = std::fs::hard_link(&staged, path);
        std::fs::remove_file(&staged)?;
        linked
    });
    match linked.and_then(|()| flush_directory(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::disk("write", path, error)),
    }
}

/// The file's bytes, `None` if there is no such file; a file longer than `max` is an error.
pub(crate) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error: io::Error| Failure::disk("read", path, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(Failure::damaged(path, format!("it is longer than {max} bytes")));
    }
    Ok(Some(bytes))
}

/// Makes a directory that only the owner enters, and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::disk("make the directory", path, error))
}

/// Flushes a file that is complete and gives it its name.
pub(crate) fn rename_flushed(from: &Path, to: &Path) -> Result<(), Failure> {
    let moved = File::open(from).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(from, to));
    moved.and_then(|()| flush_directory(to)).map_err(|error| Failure::disk("write", to, error))
}

/// Removes a file; that there is none is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::disk("remove", path, error)),
        _ => Ok(()),
    }
}

fn stage(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&staged)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.inspect_err(|_error| unstage(&staged))?;
    Ok(staged)
}

/// Takes away what was staged in vain; the error that led here is the one to be told.
fn unstage(staged: &Path) {
    if let Err(error) = std::fs::remove_file(staged) {
        tracing::debug!(%error, "a staged file stays");
    }
}

/// A new name is on disk only when its directory is.
fn flush_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_secrets_are_the_owners() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("wallet");
        write(&path, b"one", SECRET).expect("writable");
        write(&path, b"two", SECRET).expect("writable");
        assert_eq!(read(&path, 10).expect("readable"), Some(b"two".to_vec()));
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(home.path()).expect("there").count(), 1, "nothing staged is left");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("taken");
        std::fs::create_dir(&path).expect("writable");
        assert!(write(&path, b"one", PUBLIC).is_err(), "a directory is not replaced");
        assert_eq!(std::fs::read_dir(home.path()).expect("there").count(), 1, "nothing staged is left");
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("wallet");
        assert!(write_new(&path, b"one", SECRET).expect("writable"));
        assert!(!write_new(&path, b"two", SECRET).expect("writable"));
        assert_eq!(read(&path, 10).expect("readable"), Some(b"one".to_vec()));
        assert_eq!(std::fs::read_dir(home.path()).expect("there").count(), 1, "nothing staged is left");
    }

    #[test]
    fn a_file_too_long_is_an_error_and_none_is_none() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("file");
        assert_eq!(read(&path, 2).expect("no error"), None);
        write(&path, b"three", PUBLIC).expect("writable");
        assert!(read(&path, 4).is_err());
    }
}
