//! Clients that pay: honest ones, and some that try to pay twice with the same money.
use seedbank_quorum::{CheckedPayment, Input};
use seedbank_types::{AccountSecret, Amount, Epoch, Payment};

use super::{Happening, World};

const ACCOUNTS: u8 = 20;
/// After so long without progress a client pays again.
const PATIENCE_US: u64 = 3_000_000;

/// What the owner of an account knows of it.
#[derive(Debug, Clone, Copy, Default)]
struct Wallet {
    /// Sequence of the next payment.
    next: u64,
    /// Payments applied, as seen last.
    applied: u64,
    /// Since when that has been so.
    since_us: u64,
}

/// All who pay.
pub(super) struct Payers {
    secrets: Vec<AccountSecret>,
    wallets: Vec<Wallet>,
}

impl Payers {
    pub(super) fn new() -> Self {
        let secrets: Vec<AccountSecret> =
            (1..=ACCOUNTS).map(|n| AccountSecret::from_bytes(&[n; 32]).expect("small numbers are keys")).collect();
        Self { wallets: vec![Wallet::default(); secrets.len()], secrets }
    }

    pub(super) fn secrets(&self) -> &[AccountSecret] {
        &self.secrets
    }
}

impl World {
    /// A client pays and tells all servers.
    pub(super) fn pay(&mut self) {
        let count = self.payers.secrets.len();
        let (from, to) = (self.random.index(count), self.random.index(count));
        if from != to {
            let sequence = self.next_sequence(from);
            let payment = self.payment(from, to, sequence);
            let cheats = self.random.chance(self.plan.double_spend_percent);
            let other = if cheats { self.payment(from, (to + 1) % count, sequence) } else { None };
            let told_other = self.random.next_u64();
            for machine in 0..self.servers.len() {
                let is_other = told_other >> machine & 1 == 1;
                let paid = other.as_ref().filter(|_| is_other).or(payment.as_ref());
                if let Some(paid) = paid.cloned() {
                    self.deliver(None, machine, Input::Payments(vec![paid]));
                }
            }
        }
        self.schedule_us(1_000_000 / self.plan.payments_per_second, 0, 0, Happening::Pay);
    }

    fn payment(&mut self, from: usize, to: usize, sequence: u64) -> Option<CheckedPayment> {
        let amount = Amount(1 + self.random.below(50));
        let payment = Payment {
            payer_key: self.payers.secrets[from].public().to_bytes(),
            payee: self.payers.secrets[to].public().id(),
            amount,
            fee: Amount(1),
            sequence,
            expires: Epoch(1_000),
            memo: Vec::new(),
        };
        let signed = payment.sign(&self.community, &self.payers.secrets[from]);
        (from != to).then(|| CheckedPayment::check(signed, &self.community).expect("well signed"))
    }

    /// A client goes on from its last payment; if nothing of it is applied for long, that was lost on
    /// the way and it begins again at the gap. It asks the honest server that has applied most.
    fn next_sequence(&mut self, from: usize) -> u64 {
        let payer = self.payers.secrets[from].public().id();
        let records = self.honest().filter_map(|server| server.disk.content().accounts().get(&payer));
        let applied = records.map(|record| record.sequence).max().unwrap_or(0);
        let (wallet, now_us) = (self.payers.wallets[from], self.now_us);
        let is_stuck = applied == wallet.applied && now_us > wallet.since_us + PATIENCE_US;
        let sequence = if is_stuck { applied } else { wallet.next.max(applied) };
        let since_us = if is_stuck || applied != wallet.applied { now_us } else { wallet.since_us };
        self.payers.wallets[from] = Wallet { next: sequence + 1, applied, since_us };
        sequence
    }
}
