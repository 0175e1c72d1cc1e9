//! All payments, signed before the clock starts.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use seedbank_types::{AccountId, AccountSecret, Amount, CommunityId, Epoch, Payment, PaymentId, SignedPayment};
use tokio::time::sleep;

use crate::accounts::Accounts;
use crate::founding::{DECIMALS, MINIMUM_FEE};
use crate::testnet::Testnet;

/// A payment moves 1 to this many minor units, so that no account runs dry.
const AMOUNT_MAX: u32 = 5;
/// Epochs that a payment may wait to be ordered.
const EXPIRES_IN_EPOCHS: u64 = 1_000;
/// What one account may spend: less than it holds at first, whatever it is paid.
const PAYMENTS_PER_PAYER_MAX: u32 = 16_000;
/// Signatures that are checked to learn what one check costs here.
const CHECKS: usize = 500;
const PROGRESS_PAUSE: Duration = Duration::from_secs(1);

/// Who pays whom: the payers in turn, each another payee every time.
pub(super) struct Plan {
    community: CommunityId,
    secrets: Vec<AccountSecret>,
    people: Vec<AccountId>,
    fee: Amount,
    count: u32,
}

/// The payments in the order in which they are handed in.
pub(super) struct Signed {
    pub(super) payments: Vec<(PaymentId, SignedPayment)>,
    /// What it costs to check key and signature of one payment, on one core.
    pub(super) check: Duration,
}

impl Plan {
    /// All `people` are paid; those that have keys pay.
    pub(super) fn new(testnet: &Testnet, people: u32, count: u32) -> Result<Self> {
        let accounts: &Accounts = testnet.accounts();
        let payers = accounts.with_keys().min(people);
        ensure!(
            count / payers < PAYMENTS_PER_PAYER_MAX,
            "{count} payments of {payers} payers are too many: each has money for {PAYMENTS_PER_PAYER_MAX}"
        );
        Ok(Self {
            community: testnet.community(),
            secrets: (0..payers).map(|number| accounts.secret(number)).collect::<Result<_>>()?,
            people: (0..people).map(|number| accounts.id(number)).collect::<Result<_>>()?,
            fee: Amount::parse_or_zero(MINIMUM_FEE, DECIMALS)?,
            count,
        })
    }

    fn sign(&self, number: u32) -> Result<(PaymentId, SignedPayment)> {
        let payers = u32::try_from(self.secrets.len())?;
        let people = u32::try_from(self.people.len())?;
        let (payer, turn) = (number % payers, number / payers);
        let payee = (payer + 1 + turn % (people - 1)) % people;
        let secret = &self.secrets[payer as usize];
        let payment = Payment {
            payer_key: secret.public().to_bytes(),
            payee: self.people[payee as usize],
            amount: Amount(u64::from(1 + number % AMOUNT_MAX)),
            fee: self.fee,
            sequence: u64::from(turn),
            expires: Epoch(EXPIRES_IN_EPOCHS),
            memo: Vec::new(),
        };
        let id = payment.id(&self.community);
        let signature = secret.sign(&id.0);
        Ok((id, SignedPayment { payment, signature }))
    }
}

/// Signs on all cores; `progress` hears now and then how many are done.
pub(super) async fn sign(plan: Plan, mut progress: impl FnMut(usize)) -> Result<Signed> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (plan, done) = (Arc::new(plan), Arc::new(AtomicUsize::new(0)));
    let part = plan.count.div_ceil(u32::try_from(threads)?);
    let parts: Vec<_> = (0..plan.count)
        .step_by(part as usize)
        .map(|first| {
            let (plan, done) = (Arc::clone(&plan), Arc::clone(&done));
            tokio::task::spawn_blocking(move || sign_part(&plan, first, part, &done))
        })
        .collect();
    while !parts.iter().all(tokio::task::JoinHandle::is_finished) {
        sleep(PROGRESS_PAUSE).await;
        progress(done.load(Ordering::Relaxed));
    }
    let mut payments = Vec::with_capacity(plan.count as usize);
    for part in parts {
        payments.extend(part.await.context("the signing died")??);
    }
    let check = cost_of_check(&payments, &plan.community)?;
    Ok(Signed { payments, check })
}

fn sign_part(plan: &Plan, first: u32, count: u32, done: &AtomicUsize) -> Result<Vec<(PaymentId, SignedPayment)>> {
    let numbers = first..plan.count.min(first.saturating_add(count));
    let sign = |number| {
        done.fetch_add(1, Ordering::Relaxed);
        plan.sign(number)
    };
    numbers.map(sign).collect()
}

fn cost_of_check(payments: &[(PaymentId, SignedPayment)], community: &CommunityId) -> Result<Duration> {
    let start = Instant::now();
    let some = &payments[..payments.len().min(CHECKS)];
    for (_, payment) in some {
        payment.check(community).context("a payment that was just signed")?;
    }
    Ok(start.elapsed() / u32::try_from(some.len())?)
}

impl Signed {
    pub(super) fn ids(&self) -> impl Iterator<Item = PaymentId> + '_ {
        self.payments.iter().map(|(id, _)| *id)
    }
}
