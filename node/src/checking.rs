//! Keys and signatures of payments: each verified once, on as many threads as there are cores.
mod batches;

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use seedbank_quorum::CheckedPayment;
use seedbank_types::{AccountPublicKey, Body, CommunityId, Entry, Hash, KeyError, PaymentId, Refusal, SignedPayment};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Payments that one thread takes at once: some milliseconds of work, so that many requests advance together.
const PART_PAYMENTS: usize = 64;
/// Verified signatures of which it is remembered that they were: at least this many, at most twice as many.
const KNOWN_MIN: usize = 1 << 16;
/// Decoded keys that are remembered, each about 150 bytes.
const KEYS_MAX: usize = 1 << 15;

/// Verifies payments off the runtime's threads; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Checker {
    community: CommunityId,
    known: Arc<Mutex<Known>>,
    keys: Arc<Mutex<Keys>>,
    /// One for each core: more threads would only hold each other and the quorum up.
    cores: Arc<Semaphore>,
}

type Checked = Result<CheckedPayment, Refusal>;

impl Checker {
    pub(crate) fn new(community: CommunityId) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { community, known: Arc::default(), keys: Arc::default(), cores: Arc::new(Semaphore::new(cores)) }
    }

    /// Verifies payments, after all that were given before them. One answer for each, in order.
    pub(crate) async fn check(&self, payments: Vec<SignedPayment>) -> Vec<Checked> {
        let parts = parts(payments).into_iter().map(|part| {
            let (checker, cores) = (self.clone(), Arc::clone(&self.cores));
            (
                part.len(),
                tokio::spawn(async move {
                    let Ok(_core) = cores.acquire_owned().await else { return vec![Err(Refusal::Busy); part.len()] };
                    let count = part.len();
                    all_of(count, tokio::task::spawn_blocking(move || checker.check_part(part))).await
                }),
            )
        });
        collect(parts.collect()).await
    }

    /// Verifies the payments of a body at once, because votes wait for it. Those that are good, in its order.
    pub(crate) async fn check_body(&self, body: &[u8]) -> Vec<CheckedPayment> {
        // A closing body is a certificate, and what cannot be read is refused by the quorum.
        let entries = Body::decode(body).map(|body| body.entries).unwrap_or_default();
        let payments = entries.into_iter().filter_map(|entry| match entry {
            Entry::Payment(payment) => Some(payment),
            Entry::Order(_) => None,
        });
        let parts = parts(payments.collect()).into_iter().map(|part| {
            let checker = self.clone();
            (part.len(), tokio::task::spawn_blocking(move || checker.check_part(part)))
        });
        collect(parts.collect()).await.into_iter().flatten().collect()
    }

    fn check_part(&self, payments: Vec<SignedPayment>) -> Vec<Checked> {
        payments.into_iter().map(|payment| self.check_one(payment)).collect()
    }

    fn check_one(&self, payment: SignedPayment) -> Checked {
        let mut is_new = false;
        let is_known = |id: &PaymentId, signature: &[u8; 64]| {
            is_new = !self.known().contains(&mark(id, signature));
            !is_new
        };
        let checked = CheckedPayment::check_unless(payment, &self.community, is_known, |key| self.key(key))?;
        if is_new {
            self.known().insert(mark(&checked.id(), &checked.signed().signature));
        }
        Ok(checked)
    }

    /// Decodes a payer's key, or remembers it: who pays once pays again.
    fn key(&self, bytes: &[u8; 33]) -> Result<AccountPublicKey, KeyError> {
        if let Some(key) = self.keys().0.get(bytes) {
            return Ok(*key);
        }
        let key = AccountPublicKey::from_bytes(bytes)?;
        self.keys().remember(*bytes, key);
        Ok(key)
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parts(payments: Vec<SignedPayment>) -> Vec<Vec<SignedPayment>> {
    let (mut rest, mut parts) = (payments.into_iter().peekable(), Vec::new());
    while rest.peek().is_some() {
        parts.push(rest.by_ref().take(PART_PAYMENTS).collect());
    }
    parts
}

async fn collect(parts: Vec<(usize, JoinHandle<Vec<Checked>>)>) -> Vec<Checked> {
    let mut all = Vec::new();
    for (count, part) in parts {
        all.extend(all_of(count, part).await);
    }
    all
}

async fn all_of(count: usize, part: JoinHandle<Vec<Checked>>) -> Vec<Checked> {
    part.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the check of payments died");
        vec![Err(Refusal::Busy); count]
    })
}

/// What is remembered of a verified signature.
fn mark(id: &PaymentId, signature: &[u8; 64]) -> Hash {
    Hash::of(&[&id.0, signature])
}

/// The newest verified signatures, in two halves: when the younger is full, the older is forgotten.
#[derive(Debug, Default)]
struct Known {
    younger: HashSet<[u8; 32]>,
    older: HashSet<[u8; 32]>,
}

impl Known {
    fn contains(&self, mark: &Hash) -> bool {
        self.younger.contains(&mark.0) || self.older.contains(&mark.0)
    }

    fn insert(&mut self, mark: Hash) {
        if self.younger.len() >= KNOWN_MIN {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(mark.0);
    }
}

/// Decoded keys of payers; when there are too many, all are forgotten.
#[derive(Debug, Default)]
struct Keys(HashMap<[u8; 33], AccountPublicKey>);

impl Keys {
    fn remember(&mut self, bytes: [u8; 33], key: AccountPublicKey) {
        if self.0.len() >= KEYS_MAX {
            self.0.clear();
        }
        self.0.insert(bytes, key);
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::{AccountId, AccountSecret, Amount, Epoch, Payment};

    use super::*;

    const COMMUNITY: CommunityId = CommunityId([7; 32]);

    fn payments(count: u64) -> Vec<SignedPayment> {
        let secret = AccountSecret::from_bytes(&[1; 32]).expect("a valid key");
        let payment = |sequence| Payment {
            payer_key: secret.public().to_bytes(),
            payee: AccountId([1; 20]),
            amount: Amount(5),
            fee: Amount(1),
            sequence,
            expires: Epoch(9),
            memo: vec![],
        };
        (0..count).map(|sequence| payment(sequence).sign(&COMMUNITY, &secret)).collect()
    }

    #[tokio::test]
    async fn every_payment_has_its_answer_in_its_place() {
        let mut payments = payments(150);
        payments[70].signature[3] ^= 1;
        let checked = Checker::new(COMMUNITY).check(payments.clone()).await;
        assert_eq!(checked.len(), 150);
        for (index, (checked, payment)) in checked.iter().zip(&payments).enumerate() {
            match checked {
                Ok(checked) => assert_eq!(checked.signed(), payment),
                Err(refusal) => assert_eq!((index, *refusal), (70, Refusal::BadSignature)),
            }
        }
    }

    #[tokio::test]
    async fn a_known_payment_with_another_signature_is_verified_again() {
        let (checker, payments) = (Checker::new(COMMUNITY), payments(1));
        assert!(checker.check(payments.clone()).await[0].is_ok());
        let mut forged = payments.clone();
        forged[0].signature[0] ^= 1;
        assert_eq!(checker.check(forged).await, [Err(Refusal::BadSignature)]);
        assert!(checker.check(payments).await[0].is_ok());
    }

    #[tokio::test]
    async fn the_good_payments_of_a_body_are_given_in_its_order() {
        let mut payments = payments(3);
        payments[1].signature[0] ^= 1;
        let body = Body { entries: payments.iter().cloned().map(Entry::Payment).collect() };
        let good = Checker::new(COMMUNITY).check_body(&body.encode()).await;
        assert_eq!(good.iter().map(|one| one.signed().payment.sequence).collect::<Vec<_>>(), [0, 2]);
        assert!(Checker::new(COMMUNITY).check_body(b"no body").await.is_empty());
    }

    #[test]
    fn keys_are_remembered_but_not_without_bound() {
        let checker = Checker::new(COMMUNITY);
        let key = AccountSecret::from_bytes(&[1; 32]).expect("a valid key").public();
        assert_eq!((checker.key(&key.to_bytes()), checker.key(&key.to_bytes())), (Ok(key), Ok(key)));
        assert_eq!((checker.key(&[9; 33]), checker.keys().0.len()), (Err(KeyError::NotAPoint), 1));
        for number in 0..2 * KEYS_MAX {
            let mut bytes = [0; 33];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            checker.keys().remember(bytes, key);
        }
        assert!(checker.keys().0.len() <= KEYS_MAX);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stays() {
        let mut known = Known::default();
        let mark = |number: usize| Hash::of(&[&number.to_be_bytes()]);
        (0..3 * KNOWN_MIN).for_each(|number| known.insert(mark(number)));
        assert_eq!(known.younger.len() + known.older.len(), 2 * KNOWN_MIN);
        assert!(known.contains(&mark(3 * KNOWN_MIN - 1)) && known.contains(&mark(KNOWN_MIN)));
        assert!(!known.contains(&mark(KNOWN_MIN - 1)));
    }
}
