//! Storage of one file for the BitTorrent engine: read in place, or written as it comes.
//!
//! The engine's own storage opens files for writing and makes paths of names in the metainfo;
//! this one does neither: the path is the caller's.
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, bail};
use librqbit::{
    ManagedTorrentShared, TorrentMetadata,
    storage::{BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage},
};
use seedbank_types::InfoHash;
use tokio::sync::mpsc;

use crate::service::TorrentEvent;

/// What may be done with the file.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Only read; a failing read is told.
    Read(mpsc::Sender<TorrentEvent>),
    /// Created if it is not there, and written.
    Write,
}

/// Opens the storage of one torrent.
#[derive(Debug, Clone)]
pub(crate) struct OneFileFactory {
    pub(crate) info_hash: InfoHash,
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
}

impl OneFileFactory {
    fn closed(&self) -> OneFile {
        OneFile { place: self.clone(), file: RwLock::new(None) }
    }
}

impl StorageFactory for OneFileFactory {
    type Storage = OneFile;

    fn create(&self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<OneFile> {
        Ok(self.closed())
    }

    fn clone_box(&self) -> BoxStorageFactory {
        self.clone().boxed()
    }
}

/// The file of one torrent; closed before `init` and after `take`.
#[derive(Debug)]
pub(crate) struct OneFile {
    place: OneFileFactory,
    file: RwLock<Option<Arc<File>>>,
}

impl OneFile {
    fn open(&self) -> anyhow::Result<()> {
        let file = match self.place.access {
            Access::Read(_) => File::open(&self.place.path),
            Access::Write => {
                OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.place.path)
            }
        };
        let file = file.with_context(|| format!("cannot open {}", self.place.path.display()))?;
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(file));
        Ok(())
    }

    fn file(&self) -> anyhow::Result<Arc<File>> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.clone().context("the torrent was stopped, its file is closed")
    }

    fn writable(&self) -> anyhow::Result<Arc<File>> {
        match self.place.access {
            Access::Read(_) => bail!("{} is seeded in place and never written", self.place.path.display()),
            Access::Write => self.file(),
        }
    }

    /// Tells that a file that was there and right cannot be read any more.
    fn tell(&self, error: &std::io::Error) {
        if let Access::Read(events) = &self.place.access {
            let event = TorrentEvent::Unreadable {
                info_hash: self.place.info_hash,
                path: self.place.path.clone(),
                why: error.to_string(),
            };
            if events.try_send(event).is_err() {
                tracing::warn!(path = %self.place.path.display(), %error, "a seeded file cannot be read");
            }
        }
    }
}

impl TorrentStorage for OneFile {
    fn init(&mut self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<()> {
        self.open()
    }

    fn pread_exact(&self, _: usize, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        self.file()?.read_exact_at(buffer, offset).inspect_err(|error| self.tell(error))?;
        Ok(())
    }

    fn pwrite_all(&self, _: usize, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.writable()?.write_all_at(bytes, offset)?)
    }

    fn remove_file(&self, _: usize, _: &Path) -> anyhow::Result<()> {
        bail!("{} belongs to the caller", self.place.path.display())
    }

    fn remove_directory_if_empty(&self, _: &Path) -> anyhow::Result<()> {
        bail!("{} belongs to the caller", self.place.path.display())
    }

    fn ensure_file_length(&self, _: usize, length: u64) -> anyhow::Result<()> {
        let file = self.file()?;
        if file.metadata()?.len() != length {
            self.writable()?.set_len(length)?;
        }
        Ok(())
    }

    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        let file = self.file.write().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(Self { place: self.place.clone(), file: RwLock::new(file) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(path: &Path, access: Access) -> OneFile {
        let place = OneFileFactory { info_hash: InfoHash::ZERO, path: path.to_owned(), access };
        let storage = place.closed();
        storage.open().expect("the file is there, or may be made");
        storage
    }

    #[test]
    fn a_seeded_file_is_never_written() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        std::fs::write(&path, b"hello").expect("space for 5 bytes");
        let storage = storage(&path, Access::Read(mpsc::channel(1).0));
        storage.pwrite_all(0, 0, b"x").expect_err("read-only");
        storage.ensure_file_length(0, 9).expect_err("read-only");
        storage.ensure_file_length(0, 5).expect("it has that length");
        storage.remove_file(0, &path).expect_err("the caller's");
        assert_eq!(std::fs::read(&path).expect("still there"), b"hello");
    }

    #[test]
    fn an_unreadable_seeded_file_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        std::fs::write(&path, b"hello").expect("space for 5 bytes");
        let (events, mut told) = mpsc::channel(1);
        let storage = storage(&path, Access::Read(events));
        storage.pread_exact(0, 3, &mut [0; 4]).expect_err("past the end");
        assert!(matches!(told.try_recv(), Ok(TorrentEvent::Unreadable { .. })));
    }

    #[test]
    fn a_fetched_file_is_written_where_the_caller_said() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        let storage = storage(&path, Access::Write);
        storage.ensure_file_length(0, 3).expect("space for 3 bytes");
        storage.pwrite_all(0, 1, b"x").expect("space for 3 bytes");
        assert_eq!(std::fs::read(&path).expect("was made"), b"\0x\0");
    }

    #[test]
    fn what_was_taken_is_closed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let storage = storage(&directory.path().join("file"), Access::Write);
        let taken = storage.take().expect("always possible");
        storage.pwrite_all(0, 0, b"x").expect_err("closed");
        taken.pwrite_all(0, 0, b"x").expect("open");
    }
}
