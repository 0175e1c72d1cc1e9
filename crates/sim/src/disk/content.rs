//! What is on a disk.
use std::collections::BTreeMap;
use std::rc::Rc;

use seedbank_ledger::{LedgerState, View};
use seedbank_quorum::{Chain, Commit, DecidedBatch, Guard, LastClosed, Recovered, Write};
use seedbank_types::{AccountId, AccountRecord, Certificate, Checkpoint, Epoch, Evidence, Genesis, Header, Height};

use crate::Random;

/// Intents that are handed to a server that starts.
const INTENTS_RECOVERED: usize = 4;

/// Everything a server has stored.
#[derive(Debug, Clone)]
pub struct Content {
    genesis: Rc<Genesis>,
    accounts: BTreeMap<AccountId, AccountRecord>,
    closed_accounts: BTreeMap<AccountId, AccountRecord>,
    /// Sum of all balances, kept with every change.
    sum: u128,
    state: LedgerState,
    last_closed: Option<(Header, LedgerState)>,
    batches: Vec<Rc<DecidedBatch>>,
    log: Vec<(Height, Vec<u8>)>,
    log_started: bool,
    intents: BTreeMap<Epoch, Checkpoint>,
    certificates: BTreeMap<Epoch, Certificate>,
    evidence: Vec<Evidence>,
    guard: Guard,
}

impl Content {
    /// The disk of a server that never ran.
    #[must_use]
    pub fn new(genesis: &Rc<Genesis>, accounts: BTreeMap<AccountId, AccountRecord>) -> Self {
        Self {
            state: Chain::genesis(genesis).state,
            genesis: genesis.clone(),
            closed_accounts: BTreeMap::new(),
            sum: accounts.values().map(|record| u128::from(record.balance.0)).sum(),
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

    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Log { height, entry } => {
                self.log_started = true;
                // An empty one only says that there is a log.
                if !entry.is_empty() {
                    self.log.push((height, entry));
                }
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

    pub(super) const fn start_log(&mut self) {
        self.log_started = true;
    }

    fn commit(&mut self, commit: Commit) {
        let Commit { header, body, decision, changes, closing, .. } = commit;
        assert_eq!(header.height, self.state.height.next(), "a batch out of order");
        for record in changes.records {
            let before = self.accounts.insert(record.id, record).map_or(0, |before| u128::from(before.balance.0));
            self.sum = self.sum + u128::from(record.balance.0) - before;
        }
        self.log.retain(|(height, _)| *height > header.height);
        if closing {
            self.closed_accounts = self.accounts.clone();
            self.last_closed = Some((header.clone(), changes.state.clone()));
        }
        self.state = changes.state;
        self.batches.push(Rc::new(DecidedBatch { header, body, decision }));
    }

    pub(super) fn recover(&self) -> Recovered {
        let closing = self.last_closed.as_ref();
        let first_open = closing.map_or(0, |(last, _)| usize::try_from(last.height.0).expect("few batches"));
        let open: Vec<Header> = self.batches[first_open..].iter().map(|batch| batch.header.clone()).collect();
        let certificate = closing.and_then(|(header, _)| self.certificates.get(&header.epoch)).cloned();
        let closing_header = closing.map(|(header, _)| header);
        Recovered {
            chain: Chain::recover(&self.genesis, self.state.clone(), closing_header, &open, certificate),
            last_closed: closing.map(|(header, state)| LastClosed::new(header, state)),
            log: self.log.iter().map(|(_, entry)| entry.clone()).collect(),
            log_started: self.log_started,
            guard: self.guard,
            intents: self.intents.values().rev().take(INTENTS_RECOVERED).rev().cloned().collect(),
            evidence: self.evidence.clone(),
        }
    }

    /// The log is lost: what an operator does about one that cannot be read.
    pub fn lose_log(&mut self) {
        self.log.clear();
        self.log_started = false;
    }

    /// What `seedbankd speak-again` does: its operator takes it upon him that the key has said no more.
    pub fn speak_again(&mut self) {
        self.guard = self.guard.lifted();
        self.log.clear();
        self.log_started = true;
    }

    /// Becomes the disk of a server that decided the same and said nothing.
    pub(crate) fn forget_own_words(&mut self) {
        self.guard = Guard::default();
        self.log.clear();
        self.intents.clear();
    }

    /// Flips a bit in the log; false if there is none.
    pub(crate) fn flip_in_log(&mut self, random: &mut Random) -> bool {
        let Some(last) = self.log.len().checked_sub(1) else { return false };
        let entry = &mut self.log[random.index(last + 1)].1;
        let byte = random.index(entry.len());
        entry[byte] ^= 1 << random.below(8);
        true
    }

    /// Flips a bit in the sequence of an account, where no sum shows it.
    pub(crate) fn flip_in_account(&mut self, random: &mut Random) {
        let id = *self.accounts.keys().nth(random.index(self.accounts.len())).expect("below the number of accounts");
        for accounts in [&mut self.accounts, &mut self.closed_accounts] {
            if let Some(record) = accounts.get_mut(&id) {
                record.sequence ^= 1 << 5;
            }
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

    /// Sum of all balances, as it was kept with every change.
    #[must_use]
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// All decided batches, from height 1.
    #[must_use]
    pub fn batches(&self) -> &[Rc<DecidedBatch>] {
        &self.batches
    }

    /// State after the last batch.
    #[must_use]
    pub const fn state(&self) -> &LedgerState {
        &self.state
    }

    /// The log, with the height of each entry.
    #[must_use]
    pub fn log(&self) -> &[(Height, Vec<u8>)] {
        &self.log
    }

    /// What was meant to be signed, by epoch.
    #[must_use]
    pub const fn intents(&self) -> &BTreeMap<Epoch, Checkpoint> {
        &self.intents
    }

    /// All certificates, by epoch.
    #[must_use]
    pub const fn certificates(&self) -> &BTreeMap<Epoch, Certificate> {
        &self.certificates
    }

    /// Below what this server says nothing.
    #[must_use]
    pub const fn guard(&self) -> Guard {
        self.guard
    }

    /// Proofs of lies.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }
}

impl View for Content {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        self.accounts.get(id).copied()
    }
}
