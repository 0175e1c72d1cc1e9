//! A server's disk: what was stored and synced, and nothing else, outlives a crash.
use std::collections::BTreeMap;

use seedbank_ledger::{LedgerState, View};
use seedbank_quorum::{Chain, Commit, DecidedBatch, Guard, LastClosed, Recovered, Write};
use seedbank_types::{AccountId, AccountRecord, Certificate, Checkpoint, Epoch, Evidence, Genesis, Header, Height};

/// Everything a server has stored.
#[derive(Debug, Clone)]
pub struct Disk {
    genesis: Genesis,
    accounts: BTreeMap<AccountId, AccountRecord>,
    closed_accounts: BTreeMap<AccountId, AccountRecord>,
    state: LedgerState,
    last_closed: Option<(Header, LedgerState)>,
    batches: Vec<DecidedBatch>,
    log: Vec<(Height, Vec<u8>)>,
    log_started: bool,
    intents: BTreeMap<Epoch, Checkpoint>,
    certificates: BTreeMap<Epoch, Certificate>,
    evidence: Vec<Evidence>,
    guard: Guard,
}

impl Disk {
    /// The disk of a server that never ran.
    #[must_use]
    pub fn new(genesis: &Genesis, accounts: BTreeMap<AccountId, AccountRecord>) -> Self {
        Self {
            state: Chain::genesis(genesis).state,
            genesis: genesis.clone(),
            closed_accounts: BTreeMap::new(),
            accounts,
            last_closed: None,
            batches: Vec::new(),
            log: Vec::new(),
            log_started: false,
            intents: BTreeMap::new(),
            certificates: BTreeMap::new(),
            evidence: Vec::new(),
            guard: Guard::default(),
        }
    }

    /// Carries out one store.
    pub fn store(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Log { height, entry } => {
                    self.log_started = true;
                    self.log.push((height, entry));
                }
                Write::Commit(commit) => self.commit(*commit),
                Write::Intent(checkpoint) => {
                    let before = self.intents.insert(checkpoint.epoch, checkpoint);
                    assert!(before.is_none(), "a second intent for one epoch");
                }
                Write::Certificate(certificate) => {
                    self.certificates.insert(certificate.checkpoint.epoch, certificate);
                }
                Write::Evidence(evidence) => self.evidence.push(*evidence),
                Write::Guard(guard) => self.guard = guard,
            }
        }
    }

    fn commit(&mut self, commit: Commit) {
        let Commit { header, body, decision, changes, closing, .. } = commit;
        assert_eq!(header.height, self.state.height.next(), "a batch out of order");
        self.accounts.extend(changes.records.iter().map(|record| (record.id, *record)));
        self.log.retain(|(height, _)| *height > header.height);
        if closing {
            self.closed_accounts = self.accounts.clone();
            self.last_closed = Some((header.clone(), changes.state.clone()));
        }
        self.state = changes.state;
        self.batches.push(DecidedBatch { header, body, decision });
    }

    /// What the server finds when it starts again.
    #[must_use]
    pub fn recover(&self) -> Recovered {
        let closing = self.last_closed.as_ref();
        let open = self.batches.iter().map(|batch| &batch.header);
        let open: Vec<Header> =
            open.filter(|header| closing.is_none_or(|(last, _)| header.height > last.height)).cloned().collect();
        let certificate = closing.and_then(|(header, _)| self.certificates.get(&header.epoch)).cloned();
        let closing_header = closing.map(|(header, _)| header);
        Recovered {
            chain: Chain::recover(&self.genesis, self.state.clone(), closing_header, &open, certificate),
            last_closed: closing.map(|(header, state)| LastClosed::new(header, state)),
            log: self.log.iter().map(|(_, entry)| entry.clone()).collect(),
            log_started: self.log_started,
            guard: self.guard,
            intents: self.intents.values().cloned().collect(),
            evidence: self.evidence.clone(),
        }
    }

    /// The accounts as they are now.
    #[must_use]
    pub const fn accounts(&self) -> &BTreeMap<AccountId, AccountRecord> {
        &self.accounts
    }

    /// The accounts as they were after the newest closing header.
    #[must_use]
    pub const fn closed_accounts(&self) -> &BTreeMap<AccountId, AccountRecord> {
        &self.closed_accounts
    }

    /// All decided batches, from height 1.
    #[must_use]
    pub fn batches(&self) -> &[DecidedBatch] {
        &self.batches
    }

    /// State after the last batch.
    #[must_use]
    pub const fn state(&self) -> &LedgerState {
        &self.state
    }

    /// All certificates, by epoch.
    #[must_use]
    pub const fn certificates(&self) -> &BTreeMap<Epoch, Certificate> {
        &self.certificates
    }
}

impl View for Disk {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        self.accounts.get(id).copied()
    }
}
