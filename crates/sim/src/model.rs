//! The ledger once more, as plainly as can be: what each header makes of the balances, and what its
//! epoch's checkpoint must therefore say. It shares no code with the servers but hashes and formats.
use std::collections::BTreeMap;
use std::rc::Rc;

use seedbank_ledger::LedgerState;
use seedbank_quorum::CutOrder;
use seedbank_snapshot::{BucketTable, Expected, verify_full};
use seedbank_types::{
    AccountId, AccountRecord, Amount, Body, Checkpoint, CommunityId, Entry, Epoch, Genesis, Hash, Header, Height,
    ServerSet, SignedPayment, TimeMs, tree,
};

use crate::server::{cut, snapshot_file};

/// What is true after a header.
#[derive(Debug, Clone)]
pub struct Truth {
    /// All accounts.
    pub accounts: Rc<BTreeMap<AccountId, AccountRecord>>,
    /// Those that differ from what was before, by id.
    pub changed: Vec<AccountRecord>,
    /// The running digest.
    pub digest: Hash,
    /// Of the header, if it closed an epoch: what is to be signed.
    pub checkpoint: Option<Rc<Checkpoint>>,
    height: Height,
    time: TimeMs,
    last_change: Height,
    epoch: Epoch,
    epoch_start: TimeMs,
    open_headers: Vec<Hash>,
    /// Hash of the checkpoint of the last closed epoch.
    previous_checkpoint: Hash,
}

/// All headers that any honest server decided, with what they make true. There can be several for
/// one height where servers are allowed to lie successfully.
#[derive(Debug)]
pub struct Model {
    community: CommunityId,
    genesis: Rc<Genesis>,
    truths: BTreeMap<Hash, Truth>,
}

impl Model {
    pub(crate) fn new(genesis: &Rc<Genesis>, accounts: &BTreeMap<AccountId, AccountRecord>) -> Self {
        let community = genesis.community();
        let truth = Truth {
            accounts: Rc::new(accounts.clone()),
            changed: Vec::new(),
            digest: Hash::of(&[b"seedbank/state/1", &community.0, &genesis.root.0]),
            checkpoint: None,
            height: Height(0),
            time: genesis.created,
            last_change: Height(0),
            epoch: Epoch(1),
            epoch_start: genesis.created,
            open_headers: Vec::new(),
            previous_checkpoint: Hash::ZERO,
        };
        let truths = BTreeMap::from([(community.into(), truth)]);
        Self { community, genesis: genesis.clone(), truths }
    }

    /// What is true after a header that was decided.
    #[must_use]
    pub fn after(&self, header: &Hash) -> Option<&Truth> {
        self.truths.get(header)
    }

    /// Works a decided header out, if it is new; panics if it breaks a rule.
    pub(crate) fn decide(&mut self, header: &Header, body: &[u8]) {
        let hash = header.hash();
        if self.truths.contains_key(&hash) {
            return;
        }
        let before = self.truths.get(&header.previous).expect("servers decide what follows decided headers");
        let (height, got) = (before.height.next(), header.height);
        assert_eq!(got, height, "a header of another height was decided");
        assert_eq!(header.previous_state, before.digest, "a wrong digest was decided at height {height}");
        assert_eq!(header.body_digest, Body::digest(body), "another body was applied at height {height}");
        assert_eq!(header.epoch, before.epoch, "a header of another epoch was decided at height {height}");
        assert!(header.time > before.time, "time stood still at height {height}");
        let servers = self.genesis.servers.hash();
        assert_eq!(header.next_servers, servers, "the servers changed at height {height} without an order");
        let truth = if header.time >= before.epoch_start.plus_ms(self.genesis.epoch_ms) {
            self.close(before, header, hash)
        } else {
            self.pay(before, header, hash, body)
        };
        self.truths.insert(hash, truth);
    }

    fn close(&self, before: &Truth, header: &Header, hash: Hash) -> Truth {
        let leaves = before.open_headers.iter().map(|hash| tree::leaf(&hash.0)).collect();
        assert_eq!(header.payments_root, tree::root(leaves), "the headers of epoch {} are others", before.epoch);
        assert_eq!(header.previous_checkpoint, before.previous_checkpoint, "epoch {}'s checkpoint", before.epoch);
        let checkpoint = self.checkpoint(before, header, hash);
        Truth {
            changed: Vec::new(),
            height: header.height,
            time: header.time,
            epoch: before.epoch.next(),
            epoch_start: header.time,
            open_headers: Vec::new(),
            previous_checkpoint: checkpoint.hash(),
            checkpoint: Some(Rc::new(checkpoint)),
            ..before.clone()
        }
    }

    fn checkpoint(&self, before: &Truth, header: &Header, hash: Hash) -> Checkpoint {
        let order = CutOrder { epoch: header.epoch, height: header.height, last_change: before.last_change };
        let cut = cut(self.community, &before.accounts, &order);
        let checkpoint = Checkpoint {
            community: self.community,
            epoch: header.epoch,
            height: header.height,
            time: header.time,
            root: cut.root,
            count: cut.count,
            supply: self.genesis.supply,
            closing_header: hash,
            previous: before.previous_checkpoint,
            servers: self.servers().hash(),
            snapshot: cut.snapshot,
            delta: cut.delta,
        };
        self.check_file(before, &checkpoint);
        checkpoint
    }

    /// A stranger who has nothing but the checkpoint must be able to believe the file.
    fn check_file(&self, truth: &Truth, checkpoint: &Checkpoint) {
        let accounts = &truth.accounts;
        let table = BucketTable::from_records(accounts.len() as u64, accounts.values().copied()).expect("sorted");
        let file = snapshot_file(self.community, truth.last_change, &table, accounts);
        let expected = Expected::of_checkpoint(checkpoint);
        let verified = verify_full(&file[..], checkpoint.snapshot.length, &expected, |_record| ());
        assert!(verified.is_ok(), "the snapshot of epoch {} is not believed: {verified:?}", checkpoint.epoch);
    }

    fn servers(&self) -> &ServerSet {
        &self.genesis.servers
    }

    fn pay(&self, before: &Truth, header: &Header, hash: Hash, body: &[u8]) -> Truth {
        let height = header.height;
        let body = Body::decode(body).expect("a body that cannot be read was decided");
        assert!(!body.entries.is_empty(), "an empty batch was decided at height {height}");
        assert_eq!(header.payments_root, body.payments_root(&self.community), "payments root of height {height}");
        let mut after = (*before.accounts).clone();
        for entry in &body.entries {
            match entry {
                Entry::Payment(payment) => self.transfer(&mut after, payment, height),
                Entry::Order(_) => panic!("an order was decided that nobody gave"),
            }
        }
        let differs = |record: &&AccountRecord| before.accounts.get(&record.id) != Some(*record);
        let changed: Vec<AccountRecord> = after.values().filter(differs).copied().collect();
        let mut open_headers = before.open_headers.clone();
        open_headers.push(hash);
        Truth {
            digest: self.digest(before.digest, height, &changed),
            accounts: Rc::new(after),
            changed,
            checkpoint: None,
            height,
            time: header.time,
            last_change: height,
            open_headers,
            ..before.clone()
        }
    }

    fn transfer(&self, accounts: &mut BTreeMap<AccountId, AccountRecord>, signed: &SignedPayment, height: Height) {
        let payment = &signed.payment;
        let mut credit = |id: AccountId, amount: Amount| {
            accounts.entry(id).or_insert_with(|| AccountRecord::empty(id)).balance.0 += amount.0;
        };
        credit(payment.payee, payment.amount);
        credit(self.genesis.fee_account, payment.fee);
        let payer = accounts.get_mut(&payment.payer()).expect("a payment of nobody was decided");
        assert_eq!(payer.sequence, payment.sequence, "a payment was applied twice or too early at height {height}");
        let paid = payment.amount.0 + payment.fee.0;
        assert!(payer.balance.0 >= paid, "a payment that was not covered was decided at height {height}");
        payer.balance.0 -= paid;
        payer.sequence += 1;
    }

    fn digest(&self, before: Hash, height: Height, changed: &[AccountRecord]) -> Hash {
        let records: Vec<u8> = changed.iter().flat_map(AccountRecord::encode).collect();
        let supply = self.genesis.supply.0.to_be_bytes();
        Hash::of(&[b"seedbank/state/1", &before.0, &height.0.to_be_bytes(), &supply, &records])
    }
}

impl Truth {
    /// Panics if a server computed something else.
    pub(crate) fn agrees(&self, records: &[AccountRecord], state: &LedgerState) {
        assert_eq!(records, self.changed, "a server computed other balances at height {}", self.height);
        assert_eq!(state.digest, self.digest, "a server computed another digest at height {}", self.height);
        assert_eq!(state.height, self.height, "a server counts heights otherwise");
        assert_eq!(state.last_change, self.last_change, "a server remembers another last change");
        assert_eq!(state.count, self.accounts.len() as u64, "a server counts accounts otherwise");
    }
}
