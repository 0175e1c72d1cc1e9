//! The quorum's writes, in the store's words.
use seedbank_quorum::Write;
use seedbank_store::{Commit, Store, StoreError};
use seedbank_types::{Certificate, Height};

use crate::handovers;
use crate::recovery::GUARD;

/// Writes in order; neighbouring entries of the log are one write, together with the batch that follows them.
pub(super) fn write(store: &Store, writes: &[Write]) -> Result<(), StoreError> {
    let mut log: Vec<(Height, &[u8])> = Vec::new();
    for write in writes {
        if let Write::Log { height, entry } = write {
            log.push((*height, entry));
            continue;
        }
        match write {
            Write::Commit(commit) => write_commit(store, commit, &std::mem::take(&mut log))?,
            write => {
                write_log(store, &mut log)?;
                write_one(store, write)?;
            }
        }
    }
    write_log(store, &mut log)
}

fn write_log(store: &Store, log: &mut Vec<(Height, &[u8])>) -> Result<(), StoreError> {
    if log.is_empty() {
        return Ok(());
    }
    let appended = store.append_log_all(log).map(drop);
    log.clear();
    appended
}

fn write_commit(store: &Store, commit: &seedbank_quorum::Commit, log: &[(Height, &[u8])]) -> Result<(), StoreError> {
    let (header, body, decision) = (&commit.header, &commit.body[..], commit.decision.encode());
    let (ids, closing, changes) = (&commit.ids[..], commit.closing, &commit.changes);
    store.commit_with_log(&Commit { header, body, ids, decision: &decision, closing, changes }, log)
}

fn write_one(store: &Store, write: &Write) -> Result<(), StoreError> {
    match write {
        Write::Log { .. } | Write::Commit(_) => Ok(()),
        Write::Intent(checkpoint) => store.put_intent(checkpoint),
        Write::Certificate(certificate) => put_certificate(store, certificate),
        Write::Evidence(evidence) => store.put_evidence(evidence).map(drop),
        Write::Guard(guard) => store.meta_put(GUARD, &guard.encode()),
    }
}

/// A closing body may carry fewer signatures than were collected here: the better one stays.
fn put_certificate(store: &Store, certificate: &Certificate) -> Result<(), StoreError> {
    handovers::note(store, certificate)?;
    let before = store.certificate(certificate.checkpoint.epoch)?;
    let better = before.filter(|before| {
        before.checkpoint == certificate.checkpoint && before.signatures.len() >= certificate.signatures.len()
    });
    if better.is_some() { Ok(()) } else { store.put_certificate(certificate) }
}
