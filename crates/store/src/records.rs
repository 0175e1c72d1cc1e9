//! All accounts at one moment, while batches go on.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rocksdb::{ReadOptions, Snapshot};
use seedbank_ledger::LedgerState;
use seedbank_types::{AccountId, AccountRecord};

use crate::StoreError;
use crate::columns::CLOSED;
use crate::store::{Inner, account_record, accounts_in, state_in};

/// Records that travel together.
const CHUNK_RECORDS: usize = 4_096;
/// Chunks that wait for the reader.
const CHUNKS_WAITING: usize = 2;
const READ_AHEAD_BYTES: usize = 2 << 20;

/// Records ascending by id, all of the same moment, and the ledger state of that moment.
///
/// A RocksDB iterator borrows its database, so a thread of its own holds it and the records come
/// through a bounded channel: this value can go anywhere.
///
/// As with [`seedbank_ledger::View`], a record that cannot be read has no safe answer: iteration
/// then panics.
#[derive(Debug)]
pub struct Records {
    state: LedgerState,
    /// `None` only while this is dropped.
    parts: Option<Receiver<Part>>,
    chunk: std::vec::IntoIter<AccountRecord>,
    has_ended: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Part {
    Start(LedgerState),
    Chunk(Vec<AccountRecord>),
    End,
    Failed(StoreError),
}

type Closed = BTreeMap<AccountId, Option<AccountRecord>>;

/// The reader has gone: nobody wants the rest.
struct Unwanted;

impl Records {
    pub(crate) fn start(inner: Arc<Inner>, is_closed: bool) -> Result<Self, StoreError> {
        let (sender, parts) = sync_channel(CHUNKS_WAITING);
        let dir = inner.db.path().to_owned();
        let thread = thread::Builder::new().name("store-records".to_owned()).spawn(move || {
            // If the reader has gone, there is nobody to tell.
            let _gone = send_all(&inner, &sender, is_closed);
        });
        let thread = thread.map_err(|error| StoreError::io(&dir, error))?;
        // The moment is fixed when this arrives, so before this function returns.
        let state = match parts.recv() {
            Ok(Part::Start(state)) => state,
            Ok(Part::Failed(error)) => return Err(error),
            other => return Err(StoreError::Read(format!("the reading thread began with {other:?}"))),
        };
        let chunk = Vec::new().into_iter();
        Ok(Self { state, parts: Some(parts), chunk, has_ended: false, thread: Some(thread) })
    }

    /// The state that the records belong to.
    #[must_use]
    pub const fn state(&self) -> &LedgerState {
        &self.state
    }

    fn next_chunk(&mut self) -> Option<Vec<AccountRecord>> {
        match self.parts.as_ref()?.recv() {
            Ok(Part::Chunk(chunk)) => Some(chunk),
            Ok(Part::End) => None,
            Ok(Part::Failed(error)) => panic!("the accounts cannot be read: {error}"),
            other => panic!("the thread that reads the accounts went wrong: {other:?}"),
        }
    }
}

impl Iterator for Records {
    type Item = AccountRecord;

    fn next(&mut self) -> Option<AccountRecord> {
        loop {
            if let Some(record) = self.chunk.next() {
                return Some(record);
            }
            if self.has_ended {
                return None;
            }
            match self.next_chunk() {
                Some(chunk) => self.chunk = chunk.into_iter(),
                None => self.has_ended = true,
            }
        }
    }
}

/// Waits for the thread, so that the database is free when its last user is dropped.
impl Drop for Records {
    fn drop(&mut self) {
        drop(self.parts.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was seen by the iteration, or nobody asked for the rest.
            let _seen = thread.join();
        }
    }
}

fn send_all(inner: &Inner, sender: &SyncSender<Part>, is_closed: bool) -> Result<(), Unwanted> {
    let snapshot = inner.db.snapshot();
    let send = |part| sender.send(part).map_err(|_gone| Unwanted);
    match state_in(&snapshot, &inner.db, is_closed) {
        Ok(state) => send(Part::Start(state))?,
        Err(error) => return send(Part::Failed(error)),
    }
    let before = match is_closed.then(|| changed_since_closing(inner, &snapshot)).transpose() {
        Ok(before) => before.unwrap_or_default(),
        Err(error) => return send(Part::Failed(error)),
    };
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(READ_AHEAD_BYTES);
    let column = match accounts_in(&snapshot, &inner.db) {
        Ok(name) => inner.column(name),
        Err(error) => return send(Part::Failed(error)),
    };
    let mut accounts = snapshot.raw_iterator_cf_opt(column, options);
    let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
    accounts.seek_to_first();
    while let Some((key, value)) = accounts.item() {
        match account_record(key, value) {
            Ok(record) => chunk.extend(before.get(&record.id).copied().unwrap_or(Some(record))),
            Err(error) => return send(Part::Failed(error)),
        }
        if chunk.len() == CHUNK_RECORDS {
            send(Part::Chunk(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_RECORDS))))?;
        }
        accounts.next();
    }
    if let Err(error) = accounts.status() {
        return send(Part::Failed(StoreError::read(error)));
    }
    send(Part::Chunk(chunk))?;
    send(Part::End)
}

/// The accounts that changed since the newest closing header, as they were then; `None`: not there.
fn changed_since_closing(inner: &Inner, snapshot: &Snapshot<'_>) -> Result<Closed, StoreError> {
    let mut before = Closed::new();
    let mut closed = snapshot.raw_iterator_cf(inner.column(CLOSED));
    closed.seek_to_first();
    while let Some((key, value)) = closed.item() {
        let id =
            <[u8; 20]>::try_from(key).map_err(|error| StoreError::Damaged(format!("a closed account: {error}")))?;
        let record = if value.is_empty() { None } else { Some(account_record(key, value)?) };
        before.insert(AccountId(id), record);
        closed.next();
    }
    closed.status().map_err(StoreError::read)?;
    Ok(before)
}
