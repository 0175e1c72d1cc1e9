//! One machine: the real quorum over a simulated disk.
use std::collections::BTreeMap;

use seedbank_quorum::{Cut, CutOrder, Effect, Input, Now, Quorum, QuorumError, Settings};
use seedbank_snapshot::{BucketTable, write_full};
use seedbank_types::{
    AccountId, AccountRecord, Amount, CommunityId, FileRef, Genesis, Hash, Height, InfoHash, ServerKey, ServerSecret,
};

use crate::liar::Liar;
use crate::{Disk, Mutation};

/// Bodies that a server keeps for others.
const BODIES_MAX: usize = 64;

/// A server that runs or has crashed, or the second machine of one that lies.
pub struct Server {
    /// Its key.
    pub key: ServerKey,
    /// Its number by key; a second machine has that of the first.
    pub number: usize,
    /// What it has stored.
    pub disk: Disk,
    /// `None` while it is crashed.
    pub quorum: Option<Quorum>,
    /// Counts starts, so that what was under way at a crash never arrives.
    pub life: u64,
    /// What it does to others, if it lies.
    pub liar: Option<Liar>,
    /// Whether its memory or disk was changed behind its back, so that it may say what is wrong.
    pub is_damaged: bool,
    /// By how much its wall clock is wrong, in milliseconds.
    pub clock_off_ms: i64,
    /// When its last store is synced, in microseconds.
    pub(crate) synced_at_us: u64,
    bodies: BTreeMap<Hash, (u64, Vec<u8>)>,
    offered: u64,
    secret: ServerSecret,
}

impl Server {
    /// A server that has not started.
    #[must_use]
    pub fn new(secret: ServerSecret, number: usize, disk: Disk, liar: Option<Liar>) -> Self {
        Self {
            key: secret.public(),
            number,
            disk,
            quorum: None,
            life: 0,
            liar,
            is_damaged: false,
            clock_off_ms: 0,
            synced_at_us: 0,
            bodies: BTreeMap::new(),
            offered: 0,
            secret,
        }
    }

    /// Whether what it says has to be true.
    #[must_use]
    pub const fn is_honest(&self) -> bool {
        self.liar.is_none() && !self.is_damaged
    }

    /// Starts from what is on the disk.
    pub(crate) fn boot(&mut self, genesis: &Genesis, mutation: Option<Mutation>) -> Result<(), QuorumError> {
        let settings = settings(genesis, self.secret.clone(), mutation);
        self.life += 1;
        self.quorum = Some(Quorum::new(settings, self.disk.recover())?);
        Ok(())
    }

    /// Loses everything that is not on the disk.
    pub(crate) fn crash(&mut self) {
        self.quorum = None;
        self.life += 1;
        self.bodies.clear();
    }

    /// One input to the quorum; nothing if the server is crashed.
    pub(crate) fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        match &mut self.quorum {
            Some(quorum) => quorum.handle(now, input, &self.disk),
            None => Vec::new(),
        }
    }

    /// Keeps a body for others; the oldest leaves.
    pub(crate) fn offer(&mut self, digest: Hash, body: Vec<u8>) {
        self.offered += 1;
        self.bodies.insert(digest, (self.offered, body));
        if self.bodies.len() > BODIES_MAX {
            let oldest = self.bodies.iter().min_by_key(|(_, (offered, _))| *offered).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.bodies.remove(&digest));
        }
    }

    /// A body that it has.
    #[must_use]
    pub fn body(&self, digest: &Hash) -> Option<Vec<u8>> {
        self.bodies.get(digest).map(|(_, body)| body.clone())
    }

    /// Root and snapshot file of the accounts at the newest closing header.
    pub(crate) fn cut(&self, community: CommunityId, order: &CutOrder) -> Cut {
        cut(community, self.disk.content().closed_accounts(), order)
    }
}

/// Root and snapshot file of accounts. The file is really written; its name is not SHA-1, which
/// decides nothing.
pub(crate) fn cut(community: CommunityId, accounts: &BTreeMap<AccountId, AccountRecord>, order: &CutOrder) -> Cut {
    let count = accounts.len() as u64;
    let table = BucketTable::from_records(count, accounts.values().copied()).expect("sorted by the map");
    let file = snapshot_file(community, order.last_change, &table, accounts);
    let mut info_hash = [0; 20];
    info_hash.copy_from_slice(&Hash::of(&[&file]).0[..20]);
    Cut {
        epoch: order.epoch,
        root: table.root(),
        count,
        supply: Amount(accounts.values().map(|record| record.balance.0).sum()),
        snapshot: FileRef { info_hash: InfoHash(info_hash), length: file.len() as u64 },
        delta: FileRef::NONE,
    }
}

pub(crate) fn snapshot_file(
    community: CommunityId,
    last_change: Height,
    table: &BucketTable,
    accounts: &BTreeMap<AccountId, AccountRecord>,
) -> Vec<u8> {
    let mut file = Vec::new();
    write_full(community, last_change, table, accounts.values().copied(), &mut file).expect("the table's own records");
    file
}

#[cfg(feature = "mutations")]
fn settings(genesis: &Genesis, secret: ServerSecret, mutation: Option<Mutation>) -> Settings {
    let mut settings = Settings::new(genesis, secret);
    settings.mutation = mutation.and_then(Mutation::of_quorum);
    settings
}

#[cfg(not(feature = "mutations"))]
fn settings(genesis: &Genesis, secret: ServerSecret, _disk_only: Option<Mutation>) -> Settings {
    Settings::new(genesis, secret)
}
