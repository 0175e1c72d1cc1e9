//! The quorum's write-ahead log: what a server must not forget before it speaks.
use rocksdb::{DB, IteratorMode, WriteBatch};
use seedbank_types::{Height, Reader};

use super::{Inner, Store, column, lock, meta};
use crate::StoreError;
use crate::columns::{META, QUORUM_LOG};

/// Longest entry of the quorum's log.
pub const LOG_ENTRY_BYTES_MAX: usize = 8 << 20;

/// Where the log is written on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Number of the next entry.
    next: u64,
    /// No entry is of a lower height, so that clearing does not search among what was cleared before.
    lowest: u64,
    is_started: bool,
}

impl Store {
    /// Appends an entry; it is on the disk when this returns. Gives the entry's number.
    pub fn append_log(&self, height: Height, bytes: &[u8]) -> Result<u64, StoreError> {
        self.append_log_all(&[(height, bytes)])
    }

    /// Appends entries in order, all or none, with one sync. Gives the number of the first.
    pub fn append_log_all(&self, entries: &[(Height, &[u8])]) -> Result<u64, StoreError> {
        let inner = &*self.inner;
        let mut place = lock(&inner.log);
        let first = place.next;
        let mut batch = WriteBatch::default();
        let after = inner.append_log(&mut batch, *place, entries, Height(0))?;
        inner.write(batch, true)?;
        *place = after;
        Ok(first)
    }

    /// All entries in the order in which they were appended: number, height, bytes.
    pub fn read_log(&self) -> Result<Vec<(u64, Height, Vec<u8>)>, StoreError> {
        let entries = self.inner.db.iterator_cf(self.inner.column(QUORUM_LOG), IteratorMode::Start);
        let mut log = Vec::new();
        for entry in entries {
            let (key, bytes) = entry.map_err(StoreError::read)?;
            let (height, number) = split_key(&key)?;
            log.push((number, height, bytes.into_vec()));
        }
        log.sort_by_key(|(number, ..)| *number);
        Ok(log)
    }

    /// Forgets the entries of lower heights. Not synced: after a crash some may be back.
    pub fn clear_log_below(&self, height: Height) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let mut place = lock(&inner.log);
        let mut batch = WriteBatch::default();
        let after = inner.clear_log(&mut batch, *place, height)?;
        inner.write(batch, false)?;
        *place = after;
        Ok(())
    }

    /// Whether the log was ever written. A server whose log was not may have spoken before it lost
    /// its database: it only observes at first.
    #[must_use]
    pub fn log_started(&self) -> bool {
        lock(&self.inner.log).is_started
    }
}

impl Inner {
    /// Appends entries of a height and of higher ones to what is written together; gives the place after them.
    pub(super) fn append_log(
        &self,
        batch: &mut WriteBatch,
        place: Place,
        entries: &[(Height, &[u8])],
        from: Height,
    ) -> Result<Place, StoreError> {
        let mut after = Place { is_started: place.is_started || !entries.is_empty(), ..place };
        for (height, bytes) in entries.iter().filter(|(height, _)| *height >= from) {
            if bytes.len() > LOG_ENTRY_BYTES_MAX {
                let (what, bytes) = ("entry of the quorum's log", bytes.len());
                return Err(StoreError::TooLong { what, bytes, most: LOG_ENTRY_BYTES_MAX });
            }
            batch.put_cf(self.column(QUORUM_LOG), key(*height, after.next), bytes);
            after = Place { next: after.next + 1, lowest: after.lowest.min(height.0), ..after };
        }
        if after.is_started && !place.is_started {
            batch.put_cf(self.column(META), meta::LOG_STARTED, []);
        }
        Ok(after)
    }

    /// Deletes the entries of lower heights that are on the disk.
    pub(super) fn clear_log(&self, batch: &mut WriteBatch, place: Place, height: Height) -> Result<Place, StoreError> {
        let log = self.column(QUORUM_LOG);
        let mut entries = self.db.raw_iterator_cf(log);
        entries.seek(key(Height(place.lowest), 0));
        while let Some(found) = entries.key().filter(|found| **found < key(height, 0)[..]) {
            batch.delete_cf(log, found);
            entries.next();
        }
        entries.status().map_err(StoreError::read)?;
        Ok(Place { lowest: place.lowest.max(height.0), ..place })
    }
}

/// Finds where to go on in a database that was just opened.
pub(super) fn place(db: &DB) -> Result<Place, StoreError> {
    let is_started = db.get_cf(column(db, META), meta::LOG_STARTED).map_err(StoreError::read)?.is_some();
    let mut place = Place { is_started, ..Place::default() };
    let mut entries = db.raw_iterator_cf(column(db, QUORUM_LOG));
    entries.seek_to_first();
    if let Some(first) = entries.key() {
        place.lowest = split_key(first)?.0.0;
    }
    while let Some(found) = entries.key() {
        place.next = place.next.max(split_key(found)?.1 + 1);
        entries.next();
    }
    entries.status().map_err(StoreError::read)?;
    Ok(place)
}

fn key(height: Height, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&height.0.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn split_key(key: &[u8]) -> Result<(Height, u64), StoreError> {
    let mut reader = Reader::new("key of the quorum's log", key);
    Ok((Height(reader.u64("height")?), reader.u64("number")?))
}
