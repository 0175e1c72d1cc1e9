//! A small community: five people, three servers.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use seedbank_ledger::{Batch, LedgerState, Place, Rules};
use seedbank_types::{
    AccountId, AccountRecord, AccountSecret, Amount, CommunityId, Entry, Epoch, Hash, Height, NumberedSignature, Order,
    OrderKind, Payment, RESERVED_ORDERS_ACCOUNT, Refusal, Rule, ServerSecret, ServerSet, SignedOrder,
};

pub(crate) type Accounts = BTreeMap<AccountId, AccountRecord>;

/// Who takes the fees.
pub(crate) const FEES: u8 = 1;
pub(crate) const ANNA: u8 = 2;
pub(crate) const BERT: u8 = 3;
/// Has no account at first.
pub(crate) const CARA: u8 = 9;

/// Made once: each costs a multiplication on the curve.
static PEOPLE: LazyLock<Vec<(AccountSecret, AccountId)>> = LazyLock::new(|| {
    let secrets = (1..=50).map(|person| AccountSecret::from_bytes(&[person; 32]));
    let secrets = secrets.map(|secret| secret.expect("small numbers are below the group order"));
    secrets.map(|secret| (secret.clone(), secret.public().id())).collect()
});

/// The key of a person, numbered from 1 to 50.
pub(crate) fn secret(person: u8) -> &'static AccountSecret {
    &PEOPLE[usize::from(person) - 1].0
}

pub(crate) fn id(person: u8) -> AccountId {
    PEOPLE[usize::from(person) - 1].1
}

pub(crate) fn server(number: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[number; 32])
}

pub(crate) fn servers(numbers: &[u8]) -> ServerSet {
    ServerSet::new(numbers.iter().map(|&number| (server(number).public(), 1))).expect("good keys")
}

/// Rules, state and accounts before a batch.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) state: LedgerState,
    pub(crate) accounts: Accounts,
    pub(crate) epoch: Epoch,
}

/// The fee account has 50, Anna and Bert have 1,000 each; least fee 2, opening minimum 10; epoch 5.
pub(crate) fn world() -> World {
    let balances = [(id(FEES), 50), (id(ANNA), 1_000), (id(BERT), 1_000), (RESERVED_ORDERS_ACCOUNT, 0)];
    let records = balances.map(|(id, balance)| AccountRecord { id, balance: Amount(balance), sequence: 0 });
    World::new(records, Rule::Majority)
}

impl World {
    pub(crate) fn new(records: impl IntoIterator<Item = AccountRecord>, quorum: Rule) -> Self {
        let accounts: Accounts = records.into_iter().map(|record| (record.id, record)).collect();
        let rules = Rules {
            community: CommunityId([7; 32]),
            quorum,
            fee_account: id(FEES),
            minimum_fee: Amount(2),
            opening_minimum: Amount(10),
        };
        let supply = Amount(accounts.values().map(|record| record.balance.0).sum());
        let count = accounts.len() as u64;
        let state = LedgerState::genesis(&rules.community, Hash([1; 32]), count, supply, servers(&[1, 2, 3]));
        Self { rules, state, accounts, epoch: Epoch(5) }
    }

    pub(crate) fn place(&self) -> Place {
        Place { height: Height(self.state.height.0 + 1), epoch: self.epoch }
    }

    pub(crate) fn batch(&self) -> Batch<'_, Accounts> {
        Batch::new(&self.rules, &self.state, &self.accounts, self.place())
    }

    /// What a batch of one entry says.
    pub(crate) fn try_one(&self, entry: &Entry) -> Result<(), Refusal> {
        let mut batch = self.batch();
        let said = batch.push(entry);
        if said.is_err() {
            let changes = batch.finish();
            assert!(changes.records.is_empty() && changes.state.supply == self.state.supply, "{said:?} left a trace");
            assert_eq!(changes.state.next_servers, self.state.next_servers, "{said:?} left a trace");
        }
        said
    }

    /// Applies entries that are all good and gives the records that differ.
    pub(crate) fn apply(&mut self, entries: &[Entry]) -> Accounts {
        let mut batch = self.batch();
        for entry in entries {
            batch.push(entry).expect("a good entry");
        }
        let changes = batch.finish();
        let differing: Accounts = changes.records.iter().map(|record| (record.id, *record)).collect();
        self.accounts.extend(differing.clone());
        self.state = changes.state;
        differing
    }

    pub(crate) fn balance(&self, person: u8) -> u64 {
        self.accounts[&id(person)].balance.0
    }

    pub(crate) fn sign(&self, payer: u8, payment: Payment) -> Entry {
        Entry::Payment(payment.sign(&self.rules.community, secret(payer)))
    }

    /// A signed payment with fee 2 and the payer's present sequence.
    pub(crate) fn payment(&self, payer: u8, payee: u8, amount: u64) -> Entry {
        self.sign(payer, self.draft(payer, payee, amount))
    }

    pub(crate) fn draft(&self, payer: u8, payee: u8, amount: u64) -> Payment {
        Payment {
            payer_key: secret(payer).public().to_bytes(),
            payee: id(payee),
            amount: Amount(amount),
            fee: Amount(2),
            sequence: self.accounts.get(&id(payer)).map_or(0, |record| record.sequence),
            expires: self.epoch,
            memo: vec![],
        }
    }

    /// An order with the right sequence, signed by these servers of the set in force.
    pub(crate) fn order(&self, kind: OrderKind, signers: &[u8]) -> Entry {
        let sequence = self.accounts.get(&RESERVED_ORDERS_ACCOUNT).map_or(0, |record| record.sequence);
        self.sign_order(Order { kind, sequence, last_epoch: self.epoch }, signers)
    }

    pub(crate) fn sign_order(&self, order: Order, signers: &[u8]) -> Entry {
        let message = order.signed_bytes(&self.rules.community);
        let mut signatures: Vec<_> = signers
            .iter()
            .map(|&signer| {
                // A stranger takes the place of a server that he is not.
                let number = self.state.servers.number(&server(signer).public()).unwrap_or(0);
                NumberedSignature { number, signature: server(signer).sign(&message) }
            })
            .collect();
        signatures.sort_by_key(|one| one.number);
        Entry::Order(SignedOrder { order, signatures })
    }
}

pub(crate) fn issue(account: AccountId, amount: u64) -> OrderKind {
    OrderKind::Issue { account, amount: Amount(amount) }
}

pub(crate) fn retire(amount: u64) -> OrderKind {
    OrderKind::Retire { amount: Amount(amount) }
}
