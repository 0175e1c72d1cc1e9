//! A batch in the making: every rule and every refusal.
use std::collections::BTreeMap;

use seedbank_types::{
    AccountId, AccountRecord, Amount, Body, CommunityId, Entry, Epoch, Genesis, Height, MEMO_BYTES_MAX, Order,
    OrderKind, PAYMENT_EXPIRY_EPOCHS_MAX, Payment, RESERVED_ORDERS_ACCOUNT, Refusal, Rule, ServerSet, SignedOrder,
    SignedPayment,
};

use crate::{LedgerState, View};

/// What genesis fixes for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Signatures are bound to it.
    pub community: CommunityId,
    /// Which power signs orders.
    pub quorum: Rule,
    /// Who receives fees.
    pub fee_account: AccountId,
    /// Least fee.
    pub minimum_fee: Amount,
    /// Least first amount of a new account.
    pub opening_minimum: Amount,
}

impl From<&Genesis> for Rules {
    fn from(genesis: &Genesis) -> Self {
        Self {
            community: genesis.community(),
            quorum: genesis.quorum,
            fee_account: genesis.fee_account,
            minimum_fee: genesis.minimum_fee,
            opening_minimum: genesis.opening_minimum,
        }
    }
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its height.
    pub height: Height,
    /// Its epoch.
    pub epoch: Epoch,
}

/// All that a batch does, to be stored in one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Records that differ from before, ascending by id.
    pub records: Vec<AccountRecord>,
    /// The state after the batch.
    pub state: LedgerState,
}

/// A batch is invalid because of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} of the batch is refused: {refusal}")]
pub struct InvalidEntry {
    /// Its place in the body.
    pub index: usize,
    /// Why.
    pub refusal: Refusal,
}

/// Applies a whole body; one refused entry makes it invalid. `is_checked` says whether this
/// server has verified this very signature before, so that none is verified twice. To know the
/// payment's id is not enough: the id does not cover the signature, and servers would disagree.
pub fn apply<V: View>(
    rules: &Rules,
    state: &LedgerState,
    view: &V,
    place: Place,
    body: &Body,
    is_checked: impl Fn(&SignedPayment) -> bool,
) -> Result<Changes, InvalidEntry> {
    let mut batch = Batch::new(rules, state, view, place);
    for (index, entry) in body.entries.iter().enumerate() {
        let pushed = match entry {
            Entry::Payment(payment) if is_checked(payment) => batch.push_checked(&payment.payment),
            entry => batch.push(entry),
        };
        pushed.map_err(|refusal| InvalidEntry { index, refusal })?;
    }
    Ok(batch.finish())
}

/// The rules that a payment keeps or breaks by itself, whatever anybody holds: those before the
/// sequence in the table of docs/protocol.md. `payer` is the account of its key.
pub fn check_terms(payment: &Payment, payer: &AccountId, rules: &Rules, epoch: Epoch) -> Result<(), Refusal> {
    let epoch = epoch.0;
    if *payer == payment.payee {
        return Err(Refusal::SameAccount);
    }
    if [*payer, payment.payee].contains(&RESERVED_ORDERS_ACCOUNT) {
        return Err(Refusal::ReservedAccount);
    }
    if payment.memo.len() > MEMO_BYTES_MAX {
        return Err(Refusal::MemoTooLong);
    }
    if payment.amount == Amount::ZERO {
        return Err(Refusal::ZeroAmount);
    }
    if payment.fee < rules.minimum_fee {
        return Err(Refusal::FeeTooLow { minimum: rules.minimum_fee.0 });
    }
    if payment.expires.0 < epoch {
        return Err(Refusal::Expired { epoch });
    }
    let latest = epoch.saturating_add(PAYMENT_EXPIRY_EPOCHS_MAX);
    if payment.expires.0 > latest {
        return Err(Refusal::ExpiresTooFar { latest });
    }
    Ok(())
}

/// Entries tried one after the other on copies of the records that they touch.
#[derive(Debug)]
pub struct Batch<'a, V> {
    rules: &'a Rules,
    before: &'a LedgerState,
    view: &'a V,
    place: Place,
    touched: BTreeMap<AccountId, Touched>,
    supply: Amount,
    next_servers: ServerSet,
}

#[derive(Debug, Clone, Copy)]
struct Touched {
    before: Option<AccountRecord>,
    now: AccountRecord,
}

impl<'a, V: View> Batch<'a, V> {
    /// A batch without entries.
    pub fn new(rules: &'a Rules, state: &'a LedgerState, view: &'a V, place: Place) -> Self {
        let (supply, next_servers) = (state.supply, state.next_servers.clone());
        Self { rules, before: state, view, place, touched: BTreeMap::new(), supply, next_servers }
    }

    /// Tries an entry, its signatures included; if it is refused, nothing has changed.
    pub fn push(&mut self, entry: &Entry) -> Result<(), Refusal> {
        match entry {
            Entry::Payment(payment) => {
                payment.check(&self.rules.community)?;
                self.push_checked(&payment.payment)
            }
            Entry::Order(order) => self.push_order(order),
        }
    }

    /// Tries a payment whose signature this server has verified before.
    pub fn push_checked(&mut self, payment: &Payment) -> Result<(), Refusal> {
        let payer = self.check_payment(payment)?;
        let paid = payment.amount.checked_add(payment.fee);
        let left = paid.and_then(|paid| payer.balance.checked_sub(paid));
        let short = Refusal::InsufficientBalance { balance: payer.balance.0 };
        // A genesis may give an account any sequence, so the last one can be reached.
        let spent = Refusal::WrongSequence { expected: payer.sequence };
        let sequence = payer.sequence.checked_add(1).ok_or(spent)?;
        let debited = AccountRecord { balance: left.ok_or(short)?, sequence, ..payer };
        let payee = self.credited(payment.payee, payment.amount, &debited)?;
        let fee_account = self.rules.fee_account;
        let fee = match payment.fee {
            Amount::ZERO => None,
            fee if fee_account == payee.id => Some(add(payee, fee)?),
            fee => Some(self.credited(fee_account, fee, &debited)?),
        };
        // From here on nothing can fail.
        self.put(debited);
        self.put(payee);
        if let Some(record) = fee {
            self.put(record);
        }
        Ok(())
    }

    /// The entries' effect. The sum of balances is checked against the supply.
    ///
    /// # Panics
    /// If money came from nowhere or vanished: a broken rule must never be stored.
    #[must_use]
    pub fn finish(self) -> Changes {
        let changed = || self.touched.values().filter(|touched| touched.before != Some(touched.now));
        let sum_before: u128 =
            changed().map(|touched| touched.before.map_or(0, |record| u128::from(record.balance.0))).sum();
        let sum_now: u128 = changed().map(|touched| u128::from(touched.now.balance.0)).sum();
        assert_eq!(
            sum_now + u128::from(self.before.supply.0),
            sum_before + u128::from(self.supply.0),
            "batch {} would break the supply",
            self.place.height
        );
        let opened = changed().filter(|touched| touched.before.is_none()).map(|_| 1_u64).sum::<u64>();
        let records: Vec<AccountRecord> = changed().map(|touched| touched.now).collect();
        let state = LedgerState {
            height: self.place.height,
            digest: self.before.digest_after(self.place.height, self.supply, &records),
            supply: self.supply,
            count: self.before.count + opened,
            last_change: if records.is_empty() { self.before.last_change } else { self.place.height },
            signers: self.before.signers.clone(),
            servers: self.before.servers.clone(),
            next_servers: self.next_servers,
        };
        Changes { records, state }
    }

    /// All rules that need no arithmetic on balances; gives the payer's record.
    fn check_payment(&self, payment: &Payment) -> Result<AccountRecord, Refusal> {
        let payer = payment.payer();
        check_terms(payment, &payer, self.rules, self.place.epoch)?;
        let record = self.record(&payer).unwrap_or(AccountRecord::empty(payer));
        if payment.sequence != record.sequence {
            return Err(Refusal::WrongSequence { expected: record.sequence });
        }
        let opens = self.record(&payment.payee).is_none();
        if opens && payment.amount < self.rules.opening_minimum {
            return Err(Refusal::BelowOpeningMinimum { minimum: self.rules.opening_minimum.0 });
        }
        Ok(record)
    }

    /// The record of `id` after a credit, given that `debited` is the payer's record by then.
    fn credited(&self, id: AccountId, amount: Amount, debited: &AccountRecord) -> Result<AccountRecord, Refusal> {
        let record = if id == debited.id { Some(*debited) } else { self.record(&id) };
        add(record.unwrap_or(AccountRecord::empty(id)), amount)
    }

    fn push_order(&mut self, signed: &SignedOrder) -> Result<(), Refusal> {
        signed.check(&self.rules.community, &self.before.servers, self.rules.quorum)?;
        let order = &signed.order;
        let counter = self.check_order(order)?;
        let spent = Refusal::OrderWrongSequence { expected: counter.sequence };
        let sequence = counter.sequence.checked_add(1).ok_or(spent)?;
        match &order.kind {
            OrderKind::Issue { account, amount } => self.issue(*account, *amount)?,
            OrderKind::Retire { amount } => self.retire(*amount)?,
            OrderKind::Servers(servers) if *servers == self.next_servers => return Err(Refusal::ServersUnchanged),
            OrderKind::Servers(servers) => self.next_servers = servers.clone(),
        }
        self.put(AccountRecord { sequence, ..counter });
        Ok(())
    }

    fn check_order(&self, order: &Order) -> Result<AccountRecord, Refusal> {
        let counter = self.record(&RESERVED_ORDERS_ACCOUNT).unwrap_or(AccountRecord::empty(RESERVED_ORDERS_ACCOUNT));
        if order.sequence != counter.sequence {
            return Err(Refusal::OrderWrongSequence { expected: counter.sequence });
        }
        if order.last_epoch < self.place.epoch {
            return Err(Refusal::OrderExpired { epoch: self.place.epoch.0 });
        }
        Ok(counter)
    }

    fn issue(&mut self, account: AccountId, amount: Amount) -> Result<(), Refusal> {
        if account == RESERVED_ORDERS_ACCOUNT {
            return Err(Refusal::ReservedAccount);
        }
        if amount == Amount::ZERO {
            return Err(Refusal::ZeroAmount);
        }
        let supply = self.supply.checked_add(amount).ok_or(Refusal::SupplyOverflow)?;
        let record = add(self.record(&account).unwrap_or(AccountRecord::empty(account)), amount)?;
        self.supply = supply;
        self.put(record);
        Ok(())
    }

    fn retire(&mut self, amount: Amount) -> Result<(), Refusal> {
        if amount == Amount::ZERO {
            return Err(Refusal::ZeroAmount);
        }
        let account = self.rules.fee_account;
        let record = self.record(&account).unwrap_or(AccountRecord::empty(account));
        let short = Refusal::FeeAccountShort { balance: record.balance.0 };
        let left = record.balance.checked_sub(amount).ok_or(short)?;
        self.supply = self.supply.checked_sub(amount).ok_or(short)?;
        self.put(AccountRecord { balance: left, ..record });
        Ok(())
    }

    fn record(&self, id: &AccountId) -> Option<AccountRecord> {
        self.touched.get(id).map_or_else(|| self.view.account(id), |touched| Some(touched.now))
    }

    fn put(&mut self, record: AccountRecord) {
        let view = self.view;
        self.touched
            .entry(record.id)
            .and_modify(|touched| touched.now = record)
            .or_insert_with(|| Touched { before: view.account(&record.id), now: record });
    }
}

fn add(record: AccountRecord, amount: Amount) -> Result<AccountRecord, Refusal> {
    let balance = record.balance.checked_add(amount).ok_or(Refusal::BalanceOverflow)?;
    Ok(AccountRecord { balance, ..record })
}
