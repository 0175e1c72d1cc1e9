//! Payments and orders that wait to be ordered.
//!
//! Each account has a line of its own, and a batch takes one payment of each account in turn, then a
//! second of each. When there is no room, the account that holds the most places gives its last one
//! back; see section 6 of docs/protocol.md. So whoever has one payment waiting is neither pushed out
//! nor held up by somebody with thousands, whatever fees they pay.
mod checked;
mod line;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use seedbank_ledger::{Batch, Changes, LedgerState, Place, Rules, View, check_terms};
use seedbank_types::{
    AccountId, AccountRecord, Amount, Body, CommunityId, Entry, Epoch, Payment, PaymentId, RESERVED_ORDERS_ACCOUNT,
    Refusal, SignedOrder, SignedPayment,
};

pub use self::checked::CheckedPayment;
use self::line::{Claim, Line};

/// Payments that may wait at once.
pub(crate) const PAYMENTS_MAX: usize = 100_000;
/// Their bytes together.
pub(crate) const PAYMENTS_BYTES_MAX: usize = 18 << 20;
/// Payments of one account that may wait at once.
const PAYMENTS_PER_ACCOUNT_MAX: u64 = 1_000;
/// Orders that may wait at once.
pub(crate) const ORDERS_MAX: usize = 64;
/// A limit that every entry exceeds, so that a selection stops after the first.
const ONE_ENTRY_BYTES: usize = 5;

/// The waiting payments by account, and the orders.
#[derive(Debug)]
pub(crate) struct Pool {
    lines: BTreeMap<AccountId, Line>,
    /// Accounts that have something to be ordered, by turn.
    turns: BTreeMap<u64, AccountId>,
    /// All accounts; the last one gives back a place when there is no room.
    claims: BTreeSet<Claim>,
    by_id: BTreeMap<PaymentId, AccountId>,
    payments_max: usize,
    bytes: usize,
    ready: usize,
    /// Counts arrivals and turns.
    moments: u64,
    evicted: Vec<PaymentId>,
    orders: BTreeMap<PaymentId, SignedOrder>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(PAYMENTS_MAX)
    }
}

impl Pool {
    pub(crate) fn new(payments_max: usize) -> Self {
        Self {
            lines: BTreeMap::new(),
            turns: BTreeMap::new(),
            claims: BTreeSet::new(),
            by_id: BTreeMap::new(),
            payments_max,
            bytes: 0,
            ready: 0,
            moments: 0,
            evicted: Vec::new(),
            orders: BTreeMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Bytes of the payments that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Payments that could be ordered now; others wait for one before them.
    pub(crate) const fn ready(&self) -> usize {
        self.ready
    }

    /// Orders that wait.
    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn contains(&self, id: &PaymentId) -> bool {
        self.by_id.contains_key(id) || self.orders.contains_key(id)
    }

    /// Payments that gave way to others since this was asked last.
    pub(crate) fn take_evicted(&mut self) -> Vec<PaymentId> {
        std::mem::take(&mut self.evicted)
    }

    /// Whether these very bytes, signature included, were verified before.
    pub(crate) fn is_checked(&self, payment: &SignedPayment) -> bool {
        let line = self.lines.get(&payment.payment.payer());
        line.and_then(|line| line.at(payment.payment.sequence)).is_some_and(|waiting| waiting.signed() == payment)
    }

    /// Takes a payment in. `Ok(false)`: it waits already.
    pub(crate) fn admit<V: View>(
        &mut self,
        payment: CheckedPayment,
        rules: &Rules,
        view: &V,
        epoch: Epoch,
    ) -> Result<bool, Refusal> {
        let (id, account) = (payment.id(), payment.payer());
        let line = self.lines.get(&account);
        if let Some(waiting) = line.and_then(|line| line.at(payment.payment().sequence)) {
            let expected = waiting.payment().sequence.saturating_add(1);
            return if waiting.id() == id { Ok(false) } else { Err(Refusal::WrongSequence { expected }) };
        }
        check_terms(payment.payment(), &account, rules, epoch)?;
        let record = view.account(&account).unwrap_or(AccountRecord::empty(account));
        judge(&payment, line, &record, rules, view)?;
        self.put(payment, record.sequence);
        self.make_room();
        match self.by_id.contains_key(&id) {
            true => Ok(true),
            false => {
                self.evicted.retain(|evicted| *evicted != id);
                Err(Refusal::Busy)
            }
        }
    }

    fn put(&mut self, payment: CheckedPayment, made: u64) {
        self.moments += 1;
        let (moment, account) = (self.moments, payment.payer());
        self.bytes += payment.signed().size_bytes();
        self.by_id.insert(payment.id(), account);
        self.lines.entry(account).or_insert_with(|| Line::new(made, moment));
        self.change(account, |line| line.put(Box::new(payment), moment));
    }

    /// Whoever claims most gives back its last payment, for which no other waits.
    fn make_room(&mut self) {
        while self.len() > self.payments_max || self.bytes > PAYMENTS_BYTES_MAX {
            let Some(account) = self.claims.last().map(Claim::account) else { return };
            let last = self.change(account, Line::take_last).flatten().expect("who claims a place has one");
            self.forget(&last);
            self.evicted.push(last.id());
        }
    }

    /// Changes an account's line and with it all that is known of it elsewhere. `None`: nothing waits.
    fn change<T>(&mut self, account: AccountId, change: impl FnOnce(&mut Line) -> T) -> Option<T> {
        let line = self.lines.get_mut(&account)?;
        let before = (line.claim(account), line.turn_if_ready(), line.ready());
        let value = change(line);
        let after = (line.claim(account), line.turn_if_ready(), line.ready());
        if line.is_empty() {
            self.lines.remove(&account);
        }
        if before.0 != after.0 {
            before.0.map(|claim| self.claims.remove(&claim));
            self.claims.extend(after.0);
        }
        if before.1 != after.1 {
            before.1.map(|turn| self.turns.remove(&turn));
            self.turns.extend(after.1.map(|turn| (turn, account)));
        }
        self.ready = self.ready - before.2 + after.2;
        Some(value)
    }

    /// A payment has left its line.
    fn forget(&mut self, payment: &CheckedPayment) {
        self.bytes -= payment.signed().size_bytes();
        self.by_id.remove(&payment.id());
    }

    /// The sequence that the account's next payment must carry, counting those that wait.
    pub(crate) fn next_sequence(&self, record: &AccountRecord) -> u64 {
        self.lines.get(&record.id).map_or(record.sequence, |line| line.next_after(record.sequence))
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

    /// Chooses entries that are acceptable one after the other, up to `bytes_max`: orders, then one
    /// payment of each account in turn, then a second of each, and so on.
    pub(crate) fn select<V: View>(
        &self,
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        place: Place,
        bytes_max: usize,
    ) -> Selected {
        let batch = Batch::new(rules, state, view, place);
        let mut chosen = Selection { batch, entries: Vec::new(), ids: Vec::new(), bytes: 4, bytes_max };
        self.orders.iter().for_each(|(id, order)| chosen.try_order(*id, order));
        let mut going_on = Vec::new();
        for account in self.turns.values() {
            if chosen.is_full() {
                break;
            }
            let Some(line) = self.lines.get(account) else { continue };
            let mut payments = line.ready_payments();
            if payments.next().is_some_and(|payment| chosen.try_payment(payment)) {
                going_on.push(payments);
            }
        }
        while !chosen.is_full() && !going_on.is_empty() {
            going_on.retain_mut(|payments| {
                !chosen.is_full() && payments.next().is_some_and(|payment| chosen.try_payment(payment))
            });
        }
        Selected { body: Body { entries: chosen.entries }, ids: chosen.ids, changes: chosen.batch.finish() }
    }

    /// Whether anything could be ordered now.
    pub(crate) fn has_ready<V: View>(&self, rules: &Rules, state: &LedgerState, view: &V, place: Place) -> bool {
        if self.turns.is_empty() && self.orders.is_empty() {
            return false;
        }
        !self.select(rules, state, view, place, ONE_ENTRY_BYTES).ids.is_empty()
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
        let decided = self.take_decided(entries, &rules.community);
        let mut refused = Vec::new();
        for record in records {
            if record.id == RESERVED_ORDERS_ACCOUNT {
                refused.extend(self.drop_passed_orders(record.sequence));
            }
            if !self.lines.contains_key(&record.id) {
                continue;
            }
            let overtaken = self.pass(record, &decided);
            if !overtaken.is_empty() {
                refused.extend(overtaken);
                refused.extend(self.drop_impossible_head(record, rules, state, view, epoch));
            }
            refused.extend(self.drop_unaffordable(record));
        }
        refused
    }

    /// Takes the decided orders out; the decided payments by payer's key and sequence.
    fn take_decided<'a>(
        &mut self,
        entries: &'a [Entry],
        community: &CommunityId,
    ) -> BTreeMap<(&'a [u8; 33], u64), &'a Payment> {
        let payments = entries.iter().filter_map(|entry| match entry {
            Entry::Payment(signed) => Some(((&signed.payment.payer_key, signed.payment.sequence), &signed.payment)),
            Entry::Order(signed) => {
                self.orders.remove(&signed.order.id(community));
                None
            }
        });
        payments.collect()
    }

    /// The account has made payments: drops those that waited under their numbers, and gives the others'
    /// refusals.
    fn pass(
        &mut self,
        record: &AccountRecord,
        decided: &BTreeMap<(&[u8; 33], u64), &Payment>,
    ) -> Vec<(PaymentId, Refusal)> {
        self.moments += 1;
        let turn = self.moments;
        let passed = self.change(record.id, |line| {
            if line.made() == record.sequence {
                return Vec::new();
            }
            line.turn = turn;
            line.pass(record.sequence)
        });
        let mut overtaken = Vec::new();
        for payment in passed.unwrap_or_default() {
            self.forget(&payment);
            let slot = (&payment.payment().payer_key, payment.payment().sequence);
            if decided.get(&slot).is_none_or(|decided| *decided != payment.payment()) {
                overtaken.push((payment.id(), Refusal::WrongSequence { expected: record.sequence }));
            }
        }
        overtaken
    }

    /// Orders whose turn is over because others were decided in their place.
    fn drop_passed_orders(&mut self, expected: u64) -> Vec<(PaymentId, Refusal)> {
        let passed = self.orders.iter().filter(|(_, order)| order.order.sequence < expected);
        let passed: Vec<PaymentId> = passed.map(|(id, _)| *id).collect();
        self.orders.retain(|_, order| order.order.sequence >= expected);
        passed.into_iter().map(|id| (id, Refusal::OrderWrongSequence { expected })).collect()
    }

    /// The account's first waiting payment may have rested on one that was not ordered, for instance
    /// because that one was to open its payee.
    fn drop_impossible_head<V: View>(
        &mut self,
        record: &AccountRecord,
        rules: &Rules,
        state: &LedgerState,
        view: &V,
        epoch: Epoch,
    ) -> Option<(PaymentId, Refusal)> {
        let head = self.lines.get(&record.id)?.at(record.sequence)?;
        let place = Place { height: state.height.next(), epoch };
        let refusal = Batch::new(rules, state, view, place).push_checked(head.payment()).err()?;
        let head = self.change(record.id, Line::take_first).flatten()?;
        self.forget(&head);
        Some((head.id(), refusal))
    }

    /// The account holds less than its waiting payments move: the last of them go.
    fn drop_unaffordable(&mut self, record: &AccountRecord) -> Vec<(PaymentId, Refusal)> {
        let mut dropped = Vec::new();
        let holds = u128::from(record.balance.0);
        while self.lines.get(&record.id).is_some_and(|line| line.moves() > holds) {
            let last = self.change(record.id, Line::take_last).flatten().expect("an empty line moves nothing");
            self.forget(&last);
            let before = self.lines.get(&record.id).map_or(0, Line::moves);
            dropped.push((last.id(), short(record.balance, before)));
        }
        dropped
    }

    /// Drops what has expired now that `epoch` is open.
    pub(crate) fn expire(&mut self, epoch: Epoch) -> Vec<(PaymentId, Refusal)> {
        self.orders.retain(|_, order| order.order.last_epoch >= epoch);
        let is_over = |line: &Line| line.all().any(|payment| payment.payment().expires < epoch);
        let over: Vec<AccountId> =
            self.lines.iter().filter(|(_, line)| is_over(line)).map(|(account, _)| *account).collect();
        let mut expired = Vec::new();
        for account in over {
            let taken = self.change(account, |line| line.take_expired(epoch));
            for payment in taken.unwrap_or_default() {
                self.forget(&payment);
                expired.push((payment.id(), Refusal::Expired { epoch: epoch.0 }));
            }
        }
        expired
    }
}

/// What a payment's terms alone do not tell: its turn, and whether the payer can pay it beside all
/// that waits already. Accounts that hold nothing could else fill the pool.
fn judge<V: View>(
    checked: &CheckedPayment,
    line: Option<&Line>,
    record: &AccountRecord,
    rules: &Rules,
    view: &V,
) -> Result<(), Refusal> {
    let payment = checked.payment();
    let is_near = payment.sequence.checked_sub(record.sequence).is_some_and(|ahead| ahead < PAYMENTS_PER_ACCOUNT_MAX);
    if !is_near || record.sequence == u64::MAX {
        let expected = line.map_or(record.sequence, |line| line.next_after(record.sequence));
        let is_next = payment.sequence == expected && record.sequence != u64::MAX;
        let full = Refusal::TooManyWaiting { limit: PAYMENTS_PER_ACCOUNT_MAX };
        return Err(if is_next { full } else { Refusal::WrongSequence { expected } });
    }
    if payment.amount < rules.opening_minimum && view.account(&payment.payee).is_none() {
        let opens = |other: &CheckedPayment| {
            let other = other.payment();
            other.payee == payment.payee && other.sequence < payment.sequence && other.amount >= rules.opening_minimum
        };
        if !line.is_some_and(|line| line.all().any(opens)) {
            return Err(Refusal::BelowOpeningMinimum { minimum: rules.opening_minimum.0 });
        }
    }
    let waiting = line.map_or(0, Line::moves);
    let is_covered = waiting + checked.moves() <= u128::from(record.balance.0);
    if is_covered { Ok(()) } else { Err(short(record.balance, waiting)) }
}

/// What is left of a balance beside waiting payments is not enough.
fn short(balance: Amount, waiting: u128) -> Refusal {
    let left = u128::from(balance.0).saturating_sub(waiting);
    Refusal::InsufficientBalance { balance: u64::try_from(left).unwrap_or(balance.0) }
}

/// What was chosen for a batch.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) body: Body,
    /// The entries' names.
    pub(crate) ids: Vec<PaymentId>,
    /// What they change.
    pub(crate) changes: Changes,
}

struct Selection<'a, V> {
    batch: Batch<'a, V>,
    entries: Vec<Entry>,
    ids: Vec<PaymentId>,
    bytes: usize,
    bytes_max: usize,
}

impl<V: View> Selection<'_, V> {
    fn try_order(&mut self, id: PaymentId, order: &SignedOrder) {
        let entry = Entry::Order(order.clone());
        if self.batch.push(&entry).is_ok() {
            self.bytes += 5 + order.encode().len();
            self.entries.push(entry);
            self.ids.push(id);
        }
    }

    /// False if it cannot be ordered, and nothing after it either.
    fn try_payment(&mut self, payment: &CheckedPayment) -> bool {
        let is_good = self.batch.push_checked(payment.payment()).is_ok();
        if is_good {
            self.bytes += 5 + payment.signed().size_bytes();
            self.entries.push(Entry::Payment(payment.signed().clone()));
            self.ids.push(payment.id());
        }
        is_good
    }

    const fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }
}
