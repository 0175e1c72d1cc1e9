//! One server: the real quorum over a simulated disk.
use std::collections::BTreeMap;

use seedbank_quorum::{Cut, CutOrder, Effect, Input, Now, Quorum, Settings};
use seedbank_snapshot::BucketTable;
use seedbank_types::{FileRef, Genesis, Hash, InfoHash, ServerKey, ServerSecret};

use crate::Disk;

/// A server that runs or has crashed.
pub struct Server {
    /// Its key.
    pub key: ServerKey,
    /// What it has stored.
    pub disk: Disk,
    /// `None` while it is crashed.
    pub quorum: Option<Quorum>,
    /// Counts starts, so that what was under way at a crash never arrives.
    pub life: u64,
    /// Bodies that it hands to others.
    pub bodies: BTreeMap<Hash, Vec<u8>>,
    secret: ServerSecret,
}

impl Server {
    /// A server that has not started.
    #[must_use]
    pub fn new(secret: ServerSecret, disk: Disk) -> Self {
        Self { key: secret.public(), disk, quorum: None, life: 0, bodies: BTreeMap::new(), secret }
    }

    /// Starts from what is on the disk.
    pub fn boot(&mut self, genesis: &Genesis) {
        let settings = Settings::new(genesis, self.secret.clone());
        self.quorum = Some(Quorum::new(settings, self.disk.recover()).expect("small powers"));
        self.life += 1;
    }

    /// Loses everything that is not on the disk.
    pub fn crash(&mut self) {
        self.quorum = None;
        self.life += 1;
        self.bodies.clear();
    }

    /// One input to the quorum; nothing if the server is crashed.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        match &mut self.quorum {
            Some(quorum) => quorum.handle(now, input, &self.disk),
            None => Vec::new(),
        }
    }

    /// Root and file reference of the accounts at the newest closing header.
    #[must_use]
    pub fn cut(&self, order: &CutOrder) -> Cut {
        let accounts = self.disk.closed_accounts();
        let table =
            BucketTable::from_records(accounts.len() as u64, accounts.values().copied()).expect("sorted by the map");
        let root = table.root();
        let mut info_hash = [0; 20];
        info_hash.copy_from_slice(&Hash::of(&[&root.0, &order.last_change.0.to_be_bytes()]).0[..20]);
        let supply = accounts.values().map(|record| record.balance.0).sum();
        Cut {
            epoch: order.epoch,
            root,
            count: accounts.len() as u64,
            supply: seedbank_types::Amount(supply),
            snapshot: FileRef { info_hash: InfoHash(info_hash), length: accounts.len() as u64 * 36 },
            delta: FileRef::NONE,
        }
    }
}
