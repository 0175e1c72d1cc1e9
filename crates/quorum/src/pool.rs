//! Payments and orders that wait to be ordered.
use std::collections::{BTreeMap, BTreeSet};

use seedbank_ledger::{Batch, Changes, LedgerState, Place, Rules, View};
use seedbank_types::{
    AccountId, AccountRecord, CommunityId, Entry, Epoch, Payment, PaymentId, RESERVED_ORDERS_ACCOUNT, Refusal,
    SignedOrder, SignedPayment,
};

/// Payments that may wait at once.
pub(crate) const PAYMENTS_MAX: usize = 100_000;
/// Payments of one account that may wait at once.
const PAYMENTS_PER_ACCOUNT_MAX: u64 = 1_000;
/// Orders that may wait at once.
pub(crate) const ORDERS_MAX: usize = 64;

/// A payment whose key and signature were verified on this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPayment {
    signed: SignedPayment,
    id: PaymentId,
}

impl CheckedPayment {
    /// Verifies key and signature; the only way to make one. Costs about 50 µs: do it off the main loop.
    pub fn check(signed: SignedPayment, community: &CommunityId) -> Result<Self, Refusal> {
        Self::check_unless(signed, community, |_, _| false)
    }

    /// The same, unless `is_known` says that this server has verified this very signature over this
    /// id before. To know the id is not enough: it does not cover the signature.
    pub fn check_unless(
        signed: SignedPayment,
        community: &CommunityId,
        is_known: impl FnOnce(&PaymentId, &[u8; 64]) -> bool,
    ) -> Result<Self, Refusal> {
        let id = signed.payment.id(community);
        if !is_known(&id, &signed.signature) {
            signed.check(community)?;
        }
        Ok(Self { signed, id })
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.id
    }

    /// The payment.
    #[must_use]
    pub const fn signed(&self) -> &SignedPayment {
        &self.signed
    }

    fn slot(&self) -> (AccountId, u64) {
        (self.signed.payment.payer(), self.signed.payment.sequence)
    }
}

/// A limit that every entry exceeds, so that a selection stops after the first.
const ONE_ENTRY_BYTES: usize = 5;

/// The waiting payments: by account and sequence, and by arrival.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    by_slot: BTreeMap<(AccountId, u64), (u64, CheckedPayment)>,
    by_arrival: BTreeMap<u64, (AccountId, u64)>,
    by_id: BTreeMap<PaymentId, (AccountId, u64)>,
    arrivals: u64,
    orders: BTreeMap<PaymentId, SignedOrder>,
}

impl Pool {
    pub(crate) fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Orders that wait.
    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn contains(&self, id: &PaymentId) -> bool {
        self.by_id.contains_key(id) || self.orders.contains_key(id)
    }

    /// Whether these very bytes, signature included, were verified before.
    pub(crate) fn is_checked(&self, community: &CommunityId, payment: &SignedPayment) -> bool {
        let slot = (payment.payment.payer(), payment.payment.sequence);
        self.by_slot
            .get(&slot)
            .is_some_and(|(_, waiting)| waiting.signed == *payment && waiting.id == payment.payment.id(community))
    }

    /// Takes a payment in. `Ok(false)`: it waits already.
    pub(crate) fn admit<V: View>(
        &mut self,
        payment: CheckedPayment,
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        epoch: Epoch,
    ) -> Result<bool, Refusal> {
        let slot = payment.slot();
        if let Some((_, waiting)) = self.by_slot.get(&slot) {
            let expected = waiting.signed.payment.sequence.saturating_add(1);
            return if waiting.id == payment.id { Ok(false) } else { Err(Refusal::WrongSequence { expected }) };
        }
        self.judge(&payment.signed.payment, rules, state, view, epoch)?;
        if self.by_slot.len() >= PAYMENTS_MAX {
            return Err(Refusal::Busy);
        }
        self.arrivals += 1;
        self.by_arrival.insert(self.arrivals, slot);
        self.by_id.insert(payment.id, slot);
        self.by_slot.insert(slot, (self.arrivals, payment));
        Ok(true)
    }

    /// The account's next payment is judged by the ledger; a later one by what does not depend on
    /// those before it. It must be affordable now, or accounts that hold nothing could fill the pool.
    fn judge<V: View>(
        &self,
        payment: &Payment,
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        epoch: Epoch,
    ) -> Result<(), Refusal> {
        let payer = payment.payer();
        let record = view.account(&payer).unwrap_or(AccountRecord::empty(payer));
        let place = Place { height: state.height.next(), epoch };
        let ahead = payment.sequence.checked_sub(record.sequence);
        match Batch::new(rules, state, view, place).push_checked(payment) {
            Err(Refusal::WrongSequence { .. })
                if ahead.is_some_and(|ahead| (1..PAYMENTS_PER_ACCOUNT_MAX).contains(&ahead)) =>
            {
                let paid = payment.amount.checked_add(payment.fee);
                let is_covered = paid.is_some_and(|paid| paid <= record.balance);
                if is_covered { Ok(()) } else { Err(Refusal::InsufficientBalance { balance: record.balance.0 }) }
            }
            Err(Refusal::WrongSequence { .. }) => Err(Refusal::WrongSequence { expected: self.next_sequence(&record) }),
            judged => judged,
        }
    }

    /// The sequence that the account's next payment must carry, counting those that wait.
    pub(crate) fn next_sequence(&self, record: &AccountRecord) -> u64 {
        let mut next = record.sequence;
        for ((_, sequence), _) in self.by_slot.range((record.id, record.sequence)..=(record.id, u64::MAX)) {
            if *sequence != next {
                break;
            }
            next = next.saturating_add(1);
        }
        next
    }

    /// Takes an order in that a quorum has signed; one that comes too early waits for its turn.
    pub(crate) fn admit_order<V: View>(
        &mut self,
        order: SignedOrder,
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        epoch: Epoch,
    ) -> Result<bool, Refusal> {
        let place = Place { height: state.height.next(), epoch };
        let counter = view.account(&RESERVED_ORDERS_ACCOUNT).map_or(0, |record| record.sequence);
        match Batch::new(rules, state, view, place).push(&Entry::Order(order.clone())) {
            Err(Refusal::OrderWrongSequence { .. }) if order.order.sequence > counter => {}
            judged => judged?,
        }
        let id = order.order.id(&rules.community);
        if self.orders.contains_key(&id) {
            return Ok(false);
        }
        if self.orders.len() >= ORDERS_MAX {
            return Err(Refusal::Busy);
        }
        self.orders.insert(id, order);
        Ok(true)
    }

    /// Chooses entries that are acceptable one after the other, oldest first, up to `bytes_max`.
    pub(crate) fn select<V: View>(
        &self,
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        place: Place,
        bytes_max: usize,
    ) -> (Vec<Entry>, Changes) {
        let mut batch = Batch::new(rules, state, view, place);
        let mut chosen = Selection { entries: Vec::new(), bytes: 4, bytes_max };
        for order in self.orders.values() {
            let entry = Entry::Order(order.clone());
            if batch.push(&entry).is_ok() {
                chosen.take(entry, order.encode().len());
            }
        }
        let mut tried = BTreeSet::new();
        for (account, _) in self.by_arrival.values() {
            if chosen.is_full() {
                break;
            }
            if tried.insert(*account) {
                self.select_of_account(*account, &mut batch, &mut chosen);
            }
        }
        (chosen.entries, batch.finish())
    }

    fn select_of_account<V: View>(&self, account: AccountId, batch: &mut Batch<'_, V>, chosen: &mut Selection) {
        for (_, payment) in self.by_slot.range((account, 0)..=(account, u64::MAX)).map(|(_, waiting)| waiting) {
            if chosen.is_full() || batch.push_checked(&payment.signed.payment).is_err() {
                break;
            }
            chosen.take(Entry::Payment(payment.signed.clone()), payment.signed.encode().len());
        }
    }

    /// Whether anything could be ordered now.
    pub(crate) fn has_ready<V: View>(&self, rules: &Rules, state: &LedgerState, view: &V, place: Place) -> bool {
        if self.by_slot.is_empty() && self.orders.is_empty() {
            return false;
        }
        !self.select(rules, state, view, place, ONE_ENTRY_BYTES).0.is_empty()
    }

    /// Drops what a decided batch has made impossible; gives what was refused thereby.
    pub(crate) fn after_batch<V: View>(
        &mut self,
        entries: &[Entry],
        records: &[AccountRecord],
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        epoch: Epoch,
    ) -> Vec<(PaymentId, Refusal)> {
        let decided: BTreeSet<PaymentId> = entries.iter().map(|entry| entry.id(&rules.community)).collect();
        decided.iter().for_each(|id| {
            self.orders.remove(id);
        });
        let mut refused = Vec::new();
        for record in records {
            if record.id == RESERVED_ORDERS_ACCOUNT {
                refused.extend(self.drop_passed_orders(record.sequence));
            }
            let passed = self.by_slot.range((record.id, 0)..(record.id, record.sequence));
            let passed: Vec<(AccountId, u64)> = passed.map(|(slot, _)| *slot).collect();
            for slot in passed {
                let id = self.remove(slot);
                if !decided.contains(&id) {
                    refused.push((id, Refusal::WrongSequence { expected: record.sequence }));
                }
            }
            refused.extend(self.drop_impossible_head(record, rules, state, view, epoch));
        }
        refused
    }

    /// Orders whose turn is over because others were decided in their place.
    fn drop_passed_orders(&mut self, expected: u64) -> Vec<(PaymentId, Refusal)> {
        let passed = self.orders.iter().filter(|(_, order)| order.order.sequence < expected);
        let passed: Vec<PaymentId> = passed.map(|(id, _)| *id).collect();
        self.orders.retain(|_, order| order.order.sequence >= expected);
        passed.into_iter().map(|id| (id, Refusal::OrderWrongSequence { expected })).collect()
    }

    /// The account's first waiting payment may have become impossible, for instance unaffordable.
    fn drop_impossible_head<V: View>(
        &mut self,
        record: &AccountRecord,
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        epoch: Epoch,
    ) -> Option<(PaymentId, Refusal)> {
        let slot = (record.id, record.sequence);
        let (_, head) = self.by_slot.get(&slot)?;
        let place = Place { height: state.height.next(), epoch };
        let refusal = Batch::new(rules, state, view, place).push_checked(&head.signed.payment).err()?;
        Some((self.remove(slot), refusal))
    }

    /// Drops what has expired now that `epoch` is open.
    pub(crate) fn expire(&mut self, epoch: Epoch) -> Vec<(PaymentId, Refusal)> {
        self.orders.retain(|_, order| order.order.last_epoch >= epoch);
        let expired = self.by_slot.iter().filter(|(_, (_, waiting))| waiting.signed.payment.expires < epoch);
        let expired: Vec<(AccountId, u64)> = expired.map(|(slot, _)| *slot).collect();
        expired.into_iter().map(|slot| (self.remove(slot), Refusal::Expired { epoch: epoch.0 })).collect()
    }

    fn remove(&mut self, slot: (AccountId, u64)) -> PaymentId {
        let (arrival, payment) = self.by_slot.remove(&slot).expect("callers take the slot from the map itself");
        self.by_arrival.remove(&arrival);
        self.by_id.remove(&payment.id);
        payment.id
    }
}

struct Selection {
    entries: Vec<Entry>,
    bytes: usize,
    bytes_max: usize,
}

impl Selection {
    fn take(&mut self, entry: Entry, bytes: usize) {
        self.bytes += 5 + bytes;
        self.entries.push(entry);
    }

    const fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }
}
