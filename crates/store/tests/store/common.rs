//! A small community and a chain of batches on top of a store.
use std::path::{Path, PathBuf};

use seedbank_ledger::{Changes, Place, Rules, apply};
use seedbank_store::{Commit, Store, StoreError};
use seedbank_types::{
    AccountId, AccountRecord, Amount, Body, Certificate, Checkpoint, Entry, Epoch, FileRef, Genesis, Hash, Header,
    Height, NumberedSignature, Payment, PaymentId, RESERVED_ORDERS_ACCOUNT, Rule, ServerKey, ServerSecret, ServerSet,
    SignedPayment, TimeMs,
};
use tempfile::TempDir;

pub(crate) const BALANCE: u64 = 1_000_000;

/// Not a point of the curve, but the store and a ledger that trusts its caller do not mind.
pub(crate) fn key(number: u32) -> [u8; 33] {
    let mut key = [2; 33];
    key[1..5].copy_from_slice(&number.to_be_bytes());
    key
}

pub(crate) fn id(number: u32) -> AccountId {
    AccountId::of_key_bytes(&key(number))
}

pub(crate) fn secret(number: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[number; 32])
}

pub(crate) fn server(number: u8) -> ServerKey {
    secret(number).public()
}

/// The reserved account and `count` accounts with 1,000,000 each.
pub(crate) fn accounts(count: u32) -> Vec<AccountRecord> {
    let filled = (0..count).map(|number| AccountRecord { id: id(number), balance: Amount(BALANCE), sequence: 0 });
    let mut records: Vec<_> = filled.chain([AccountRecord::empty(RESERVED_ORDERS_ACCOUNT)]).collect();
    records.sort();
    records
}

/// Account 0 takes the fees; 1 is the least fee, 5 the least first amount.
pub(crate) fn genesis(accounts: &[AccountRecord]) -> Genesis {
    Genesis {
        created: TimeMs(1_000),
        epoch_ms: 60_000,
        full_interval: 1,
        quorum: Rule::Majority,
        decimals: 2,
        name: "Test".into(),
        symbol: "T".into(),
        fee_account: id(0),
        minimum_fee: Amount(1),
        opening_minimum: Amount(5),
        root: Hash([5; 32]),
        count: accounts.len() as u64,
        supply: Amount(accounts.iter().map(|record| record.balance.0).sum()),
        servers: ServerSet::new([(server(1), 1), (server(2), 1), (server(3), 1)]).expect("three good keys"),
    }
}

pub(crate) fn payment(payer: u32, payee: u32, amount: u64, sequence: u64) -> Entry {
    let payment = Payment {
        payer_key: key(payer),
        payee: id(payee),
        amount: Amount(amount),
        fee: Amount(1),
        sequence,
        expires: Epoch(1_000),
        memo: b"memo".to_vec(),
    };
    Entry::Payment(SignedPayment { payment, signature: [0; 64] })
}

/// A directory that goes away with the test, and the store's place in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let path = dir.path().join("store");
    (dir, path)
}

/// A batch with all that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
    pub(crate) closing: bool,
    pub(crate) changes: Changes,
}

impl Batch {
    pub(crate) fn commit(&self, store: &Store) -> Result<(), StoreError> {
        self.commit_with_log(store, &[])
    }

    pub(crate) fn commit_with_log(&self, store: &Store, log: &[(Height, &[u8])]) -> Result<(), StoreError> {
        let Self { header, body, closing, changes } = self;
        let ids = &self.ids()[..];
        store.commit_with_log(&Commit { header, body, ids, decision: b"decided", closing: *closing, changes }, log)
    }

    /// Names of the entries; none of what cannot be read or closes an epoch.
    pub(crate) fn ids(&self) -> Vec<PaymentId> {
        let entries = Body::decode(&self.body).map(|body| body.entries).unwrap_or_default();
        entries.iter().map(|entry| entry.id(&self.header.community)).collect()
    }
}

/// A store with as many accounts, and its batches.
pub(crate) struct Chain {
    pub(crate) dir: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) store: Store,
}

impl Chain {
    pub(crate) fn new(count: u32) -> Self {
        let (dir, path) = place();
        let accounts = accounts(count);
        let store = Store::create(&path, &genesis(&accounts), accounts).expect("they fit the genesis");
        Self { dir, path, store }
    }

    pub(crate) fn reopen(self) -> Self {
        let Self { dir, path, store } = self;
        drop(store);
        let store = Store::open(&path).expect("nothing is wrong with it");
        Self { dir, path, store }
    }

    pub(crate) fn batch(&self, entries: Vec<Entry>) -> Batch {
        batch(&self.store, entries)
    }

    pub(crate) fn pay(&self, entries: Vec<Entry>) -> Batch {
        let batch = self.batch(entries);
        batch.commit(&self.store).expect("it is the next batch");
        batch
    }

    pub(crate) fn close(&self) -> Batch {
        let batch = closing(&self.store);
        batch.commit(&self.store).expect("it is the next batch");
        batch
    }
}

pub(crate) fn epoch(store: &Store) -> Epoch {
    store.last_closing().map_or(Epoch(1), |(epoch, ..)| epoch.next())
}

/// The next batch with these entries.
pub(crate) fn batch(store: &Store, entries: Vec<Entry>) -> Batch {
    let (state, rules) = (store.ledger_state(), Rules::from(store.genesis()));
    let place = Place { height: state.height.next(), epoch: epoch(store) };
    let body = Body { entries };
    let changes = apply(&rules, &state, store, place, &body, |_| true).expect("the test's payments are good");
    let header = header(store, &body.encode(), body.payments_root(&store.community()));
    Batch { header, body: body.encode(), closing: false, changes }
}

/// The next batch, closing its epoch.
pub(crate) fn closing(store: &Store) -> Batch {
    let body = epoch(store).0.to_be_bytes().to_vec();
    let state = store.ledger_state().after_closing();
    let header = header(store, &body, Hash::ZERO);
    Batch { header, body, closing: true, changes: Changes { records: vec![], state } }
}

fn header(store: &Store, body: &[u8], payments_root: Hash) -> Header {
    let state = store.ledger_state();
    Header {
        community: store.community(),
        height: state.height.next(),
        epoch: epoch(store),
        time: TimeMs(2_000 + state.height.0),
        proposer: server(1),
        previous: store.last_header(),
        previous_state: state.digest,
        payments_root,
        body_digest: Body::digest(body),
        body_length: u32::try_from(body.len()).expect("a short body"),
        next_servers: state.next_servers.hash(),
        previous_checkpoint: Hash::ZERO,
    }
}

/// A checkpoint that differs from others of its epoch by `mark`.
pub(crate) fn checkpoint(store: &Store, epoch: u64, mark: u8) -> Checkpoint {
    Checkpoint {
        community: store.community(),
        epoch: Epoch(epoch),
        height: Height(epoch * 10),
        time: TimeMs(epoch * 60_000),
        root: Hash([mark; 32]),
        count: 1,
        supply: Amount(1),
        closing_header: Hash::ZERO,
        previous: Hash::ZERO,
        servers: Hash::ZERO,
        snapshot: FileRef::NONE,
        delta: FileRef::NONE,
    }
}

pub(crate) fn certificate(checkpoint: &Checkpoint, signers: &[u8]) -> Certificate {
    let signatures = signers
        .iter()
        .map(|&number| NumberedSignature { number, signature: checkpoint.sign(&secret(number + 1)) })
        .collect();
    Certificate { checkpoint: checkpoint.clone(), signatures }
}

/// What a power cut would leave: the files as they are while the database is open.
pub(crate) fn image(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("the store's directory") {
        let entry = entry.expect("a readable directory");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a readable file");
    }
}

/// A small generator (xorshift64*): the same seed gives the same run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }
}
