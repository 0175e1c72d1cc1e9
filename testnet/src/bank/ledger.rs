//! What the accounts must hold at each height, from nothing but the payments and their places.
use std::collections::BTreeMap;

use seedbank_types::{AccountId, PaymentId};

use super::history::{Ending, History, Opening, Place, Transfer};

/// What one payment does to one account.
#[derive(Debug, Clone, Copy)]
struct Step {
    height: u64,
    /// In minor units; wide enough for any sum.
    change: i128,
    /// 1 for the payer, else 0.
    payments: u64,
}

/// The payments of the bank, ordered.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    opening: &'a Opening,
    steps: BTreeMap<AccountId, Vec<Step>>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(history: &'a History, ending: &Ending) -> Self {
        let places = places(ending);
        let mut ledger = Self { opening: &history.opening, steps: BTreeMap::new() };
        for transfer in history.transfers() {
            if let Some(place) = places.get(&transfer.id) {
                ledger.add(transfer, place.height);
            }
        }
        ledger
    }

    fn add(&mut self, transfer: &Transfer, height: u64) {
        let Transfer { payer, payee, amount, fee, .. } = transfer;
        let (amount, fee) = (i128::from(*amount), i128::from(*fee));
        let mut step = |account: AccountId, change, payments| {
            self.steps.entry(account).or_default().push(Step { height, change, payments });
        };
        step(*payer, -amount - fee, 1);
        step(*payee, amount, 0);
        step(self.opening.fee_account, fee, 0);
    }

    /// Balance and sequence of an account after the batch of a height.
    pub(crate) fn at(&self, account: &AccountId, height: u64) -> (i128, u64) {
        let first = self.opening.balances.get(account).copied().unwrap_or_default();
        let steps = self.steps.get(account).into_iter().flatten().filter(|step| step.height <= height);
        steps
            .fold((i128::from(first), 0), |(balance, sequence), step| (balance + step.change, sequence + step.payments))
    }
}

/// Where each payment is that any server holds; of two places, that of the first server.
pub(crate) fn places(ending: &Ending) -> BTreeMap<PaymentId, &Place> {
    let mut places = BTreeMap::new();
    for (id, place) in ending.servers.iter().flat_map(|server| &server.places) {
        places.entry(*id).or_insert(place);
    }
    places
}
