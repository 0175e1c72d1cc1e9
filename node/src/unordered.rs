//! Payments that were handed in here and are not ordered yet. Gossip may miss a server that is just
//! connecting, and the server that leads may be that one: so they are told again, directly.
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use seedbank_types::{PaymentId, SignedPayment};

/// Payments kept at once; of more, gossip alone must do.
const PAYMENTS_MAX: usize = 10_000;
/// A payment that is not ordered after this time is told again, and each time after twice as long.
const PATIENCE_FIRST: Duration = Duration::from_millis(300);
/// While the others take longer, so many times as long as they do: telling again what only waits for
/// its turn would make all wait longer.
const PATIENCE_TIMES: u32 = 3;
/// The time that payments take is a mean in which the last one weighs this part.
const NEWEST_WEIGHT: u32 = 64;
const PATIENCE_LAST: Duration = Duration::from_secs(10);
/// Most payments told at once, as many as one request takes.
const TOLD_AT_ONCE: usize = 500;
/// How long nothing is told after that. Servers that are busy must not be made busier.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Waiting {
    payment: SignedPayment,
    added: Instant,
    patience: Duration,
    is_told: bool,
}

/// Payments to tell again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// All of them.
    pub(crate) payments: Vec<SignedPayment>,
    /// Those that were told again before, in vain: perhaps whoever leads is not reached from here.
    pub(crate) in_vain: Vec<SignedPayment>,
}

/// The payments, and when each is to be told again.
#[derive(Debug, Default)]
pub(crate) struct Unordered {
    waiting: BTreeMap<PaymentId, Waiting>,
    due: VecDeque<(Instant, PaymentId)>,
    /// How long payments took lately.
    usual: Duration,
    /// When something was told last.
    told: Option<Instant>,
}

impl Unordered {
    pub(crate) fn add(&mut self, now: Instant, id: PaymentId, payment: SignedPayment) {
        if self.waiting.len() < PAYMENTS_MAX && !self.waiting.contains_key(&id) {
            let patience = self.patience();
            self.waiting.insert(id, Waiting { payment, added: now, patience, is_told: false });
            self.due_at(now + patience, id);
        }
    }

    /// How long a payment may take before anybody should worry.
    fn patience(&self) -> Duration {
        PATIENCE_FIRST.max(self.usual * PATIENCE_TIMES).min(PATIENCE_LAST)
    }

    /// It was ordered or refused.
    pub(crate) fn remove(&mut self, now: Instant, id: &PaymentId) {
        let Some(waiting) = self.waiting.remove(id) else { return };
        self.usual = (self.usual * (NEWEST_WEIGHT - 1) + (now - waiting.added)) / NEWEST_WEIGHT;
        if self.waiting.is_empty() {
            self.due.clear();
        }
    }

    /// When [`Unordered::take_due`] may have something.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (due, _) = self.due.front()?;
        Some(self.told.map_or(*due, |told| (told + PAUSE).max(*due)))
    }

    /// The payments to tell again now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Due {
        let mut told = Due::default();
        if self.due().is_none_or(|due| due > now) {
            return told;
        }
        let patience = self.patience();
        while told.payments.len() < TOLD_AT_ONCE && self.due.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, id)) = self.due.pop_front() else { break };
            let Some(waiting) = self.waiting.get_mut(&id) else { continue };
            let worrying = waiting.added + patience;
            if worrying > now {
                // All payments take longer since it came in.
                self.due_at(worrying, id);
                continue;
            }
            waiting.patience = (waiting.patience * 2).min(PATIENCE_LAST);
            let next = now + waiting.patience;
            if std::mem::replace(&mut waiting.is_told, true) {
                told.in_vain.push(waiting.payment.clone());
            }
            told.payments.push(waiting.payment.clone());
            self.due_at(next, id);
        }
        if !told.payments.is_empty() {
            self.told = Some(now);
        }
        told
    }

    /// A server has connected: the oldest payments, for it alone.
    pub(crate) fn oldest(&self) -> Vec<SignedPayment> {
        let oldest = self.due.iter().filter_map(|(_, id)| self.waiting.get(id));
        oldest.take(TOLD_AT_ONCE).map(|waiting| waiting.payment.clone()).collect()
    }

    /// Keeps the list in order of time. Most come last.
    fn due_at(&mut self, due: Instant, id: PaymentId) {
        let place = self.due.partition_point(|(other, _)| *other <= due);
        self.due.insert(place, (due, id));
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::{AccountId, Amount, Epoch, Payment};

    use super::*;

    fn payment(sequence: u64) -> SignedPayment {
        let payment = Payment {
            payer_key: [2; 33],
            payee: AccountId([1; 20]),
            amount: Amount(5),
            fee: Amount(1),
            sequence,
            expires: Epoch(9),
            memo: vec![],
        };
        SignedPayment { payment, signature: [7; 64] }
    }

    fn id(number: u8) -> PaymentId {
        PaymentId([number; 32])
    }

    #[test]
    fn a_payment_is_told_again_with_growing_pauses_until_it_is_ordered() {
        let (mut unordered, start) = (Unordered::default(), Instant::now());
        unordered.add(start, id(1), payment(1));
        let (mut now, mut pauses) = (start, Vec::new());
        for _ in 0..8 {
            let due = unordered.due().expect("it waits");
            assert_eq!(unordered.take_due(due - Duration::from_millis(1)), Due::default());
            let in_vain = if pauses.is_empty() { vec![] } else { vec![payment(1)] };
            pauses.push((due - now).as_millis());
            now = due;
            assert_eq!(unordered.take_due(now), Due { payments: vec![payment(1)], in_vain });
        }
        assert_eq!(pauses, [300, 600, 1200, 2400, 4800, 9600, 10_000, 10_000]);
        unordered.remove(now, &id(1));
        assert_eq!((unordered.due(), unordered.waiting.is_empty()), (None, true));
    }

    #[test]
    fn payments_are_told_in_the_order_in_which_they_are_due() {
        let (mut unordered, start) = (Unordered::default(), Instant::now());
        unordered.add(start, id(1), payment(1));
        unordered.add(start + Duration::from_millis(400), id(2), payment(2));
        assert_eq!(unordered.take_due(start + PATIENCE_FIRST).payments, [payment(1)]);
        unordered.add(start + Duration::from_millis(450), id(3), payment(3));
        assert_eq!(unordered.oldest(), [payment(2), payment(3), payment(1)]);
        unordered.remove(start + Duration::from_millis(451), &id(2));
        assert_eq!(unordered.take_due(start + Duration::from_secs(2)).payments, [payment(3), payment(1)]);
    }

    #[test]
    fn while_payments_take_long_they_are_told_again_later() {
        let (mut unordered, mut now) = (Unordered::default(), Instant::now());
        for _ in 0..1_000 {
            unordered.add(now, id(1), payment(1));
            now += Duration::from_secs(1);
            unordered.remove(now, &id(1));
        }
        unordered.add(now, id(2), payment(2));
        assert_eq!(unordered.take_due(now + Duration::from_millis(2_900)), Due::default());
        assert_eq!(unordered.take_due(now + Duration::from_secs(3)).payments, [payment(2)]);
    }

    #[test]
    fn a_payment_is_not_told_again_if_all_take_longer_since_it_came_in() {
        let (mut unordered, mut now) = (Unordered::default(), Instant::now());
        unordered.add(now, id(2), payment(2));
        let first = now;
        for _ in 0..1_000 {
            unordered.add(now, id(1), payment(1));
            now += Duration::from_secs(1);
            unordered.remove(now, &id(1));
        }
        unordered.add(now, id(3), payment(3));
        unordered.waiting.get_mut(&id(2)).expect("it waits").added = now - Duration::from_secs(2);
        assert!(now > first + PATIENCE_FIRST && unordered.take_due(now) == Due::default());
        assert_eq!(unordered.take_due(now + Duration::from_secs(1)).payments, [payment(2)]);
    }

    #[test]
    fn servers_have_a_pause_between_two_tellings() {
        let (mut unordered, now) = (Unordered::default(), Instant::now());
        for number in 0..=u8::MAX {
            unordered.add(now, id(number), payment(u64::from(number)));
        }
        let due = now + PATIENCE_FIRST;
        assert_eq!(unordered.take_due(due).payments.len(), 256);
        let other = PaymentId(*b"not one of those of equal bytes.");
        unordered.add(now, other, payment(300));
        assert_eq!((unordered.take_due(due).payments.len(), unordered.due()), (0, Some(due + PAUSE)));
        assert_eq!(unordered.take_due(due + PAUSE).payments, [payment(300)]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut unordered, now) = (Unordered::default(), Instant::now());
        for number in 0..u64::try_from(PAYMENTS_MAX).expect("small") + 5 {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&number.to_be_bytes());
            unordered.add(now, PaymentId(name), payment(number));
        }
        assert_eq!(unordered.waiting.len(), PAYMENTS_MAX);
        assert_eq!(unordered.take_due(now + Duration::from_secs(1)).payments.len(), TOLD_AT_ONCE);
    }
}
