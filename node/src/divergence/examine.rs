//! The comparison: what the quorum certified, with the decided batches after it applied, against this database.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::iter::Peekable;
use std::path::Path;

use anyhow::{Context, bail};
use seedbank_api::{Differing, Findings};
use seedbank_ledger::{LedgerState, Place, Rules, View, apply};
use seedbank_snapshot::{Expected, FullFile, bucket_bits, bucket_of, verify_full};
use seedbank_store::Store;
use seedbank_types::{AccountId, AccountRecord, Body, Certificate, Checkpoint, Height};

/// Records that are named; of more, only the number.
const FIRST_MAX: usize = 16;

/// Compares at the height at which this database stands.
pub(super) fn examine(store: &Store, checkpoint: &Checkpoint, path: &Path) -> anyhow::Result<Findings> {
    let expected = Expected::of_checkpoint(checkpoint);
    let open = || File::open(path).with_context(|| path.display().to_string());
    let length = open()?.metadata()?.len();
    verify_full(open()?, length, &expected, |_record| ()).context("the file is not what was certified")?;
    let file = RefCell::new(FullFile::open(open()?, &expected)?);
    let mut truth = Truth { file, changed: BTreeMap::new() };
    let own = store.records()?;
    let height = own.state().height;
    replay(&mut truth, store, checkpoint, height)?;
    let Truth { file, changed } = truth;
    let (mut file, mut failed) = (file.into_inner(), None);
    let records = file.records()?.map_while(|record| record.map_err(|error| failed = Some(error)).ok());
    let certified = overlaid(records, &changed);
    let (mut count, mut first, mut buckets) = (0, Vec::new(), BTreeSet::new());
    let bits = bucket_bits(checkpoint.count);
    for differing in differences(own, certified) {
        count += 1;
        buckets.insert(bucket_of(&differing.id, bits));
        if first.len() < FIRST_MAX {
            first.push(differing);
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Findings { epoch: checkpoint.epoch, height, buckets: buckets.len() as u64, records: count, first }),
    }
}

/// The certified accounts, and what the batches after them changed.
struct Truth {
    file: RefCell<FullFile<File>>,
    changed: BTreeMap<AccountId, AccountRecord>,
}

/// A file that was verified a moment ago and cannot be read now has no safe answer, as with the store.
impl View for Truth {
    fn account(&self, id: &AccountId) -> Option<AccountRecord> {
        let changed = self.changed.get(id).copied();
        changed.or_else(|| self.file.borrow_mut().account(id).expect("verified a moment ago"))
    }
}

/// Applies the decided batches that this server holds. Each was proven by its quorum before it was stored.
fn replay(truth: &mut Truth, store: &Store, checkpoint: &Checkpoint, to: Height) -> anyhow::Result<()> {
    let rules = Rules::from(store.genesis());
    if to < checkpoint.height {
        bail!("this database ends at height {to}, before what was certified");
    }
    let (count, supply) = (checkpoint.count, checkpoint.supply);
    let mut state = LedgerState { count, supply, ..store.ledger_state() };
    for height in (checkpoint.height.next().0..=to.0).map(Height) {
        let (Some(header), Some(body)) = (store.header(height)?, store.body(height)?) else {
            bail!("batch {height} is not here any more");
        };
        if body.is_empty() || Certificate::decode(&body).is_ok() {
            continue; // It closes an epoch and changes no record.
        }
        let place = Place { height, epoch: header.epoch };
        let changes = apply(&rules, &state, &*truth, place, &Body::decode(&body)?, |_payment| true)
            .with_context(|| format!("batch {height} does not follow from the certified balances"))?;
        truth.changed.extend(changes.records.iter().map(|record| (record.id, *record)));
        state = LedgerState { count: changes.state.count, supply: changes.state.supply, ..state };
    }
    Ok(())
}

/// Records ascending, with the changed ones in their places.
fn overlaid<'a>(
    records: impl Iterator<Item = AccountRecord> + 'a,
    changed: &'a BTreeMap<AccountId, AccountRecord>,
) -> impl Iterator<Item = AccountRecord> + 'a {
    let pairs = Pairs { one: records.peekable(), other: changed.values().copied().peekable() };
    pairs.filter_map(|(record, changed)| changed.or(record))
}

/// The accounts whose records differ, ascending.
fn differences(
    own: impl Iterator<Item = AccountRecord>,
    certified: impl Iterator<Item = AccountRecord>,
) -> impl Iterator<Item = Differing> {
    let pairs = Pairs { one: own.peekable(), other: certified.peekable() };
    pairs
        .filter(|(own, certified)| own != certified)
        .filter_map(|(own, certified)| Some(Differing { id: own.or(certified)?.id, own, certified }))
}

/// Two ascending lists, account by account.
struct Pairs<A: Iterator, B: Iterator> {
    one: Peekable<A>,
    other: Peekable<B>,
}

impl<A: Iterator<Item = AccountRecord>, B: Iterator<Item = AccountRecord>> Iterator for Pairs<A, B> {
    type Item = (Option<AccountRecord>, Option<AccountRecord>);

    fn next(&mut self) -> Option<Self::Item> {
        let ids = [self.one.peek().map(|record| record.id), self.other.peek().map(|record| record.id)];
        let least = ids.into_iter().flatten().min()?;
        Some((self.one.next_if(|record| record.id == least), self.other.next_if(|record| record.id == least)))
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::Amount;

    use super::*;

    fn record(id: u8, balance: u64) -> AccountRecord {
        AccountRecord { id: AccountId([id; 20]), balance: Amount(balance), sequence: 0 }
    }

    #[test]
    fn differing_missing_and_surplus_records_are_found_in_order() {
        let own = [record(1, 5), record(2, 5), record(4, 5)];
        let certified = [record(1, 5), record(2, 6), record(3, 5)];
        let found: Vec<_> = differences(own.into_iter(), certified.into_iter()).collect();
        let expected =
            [(2, Some(record(2, 5)), Some(record(2, 6))), (3, None, Some(record(3, 5))), (4, Some(record(4, 5)), None)];
        let expected = expected.map(|(id, own, certified)| Differing { id: AccountId([id; 20]), own, certified });
        assert_eq!(found, expected);
    }

    #[test]
    fn what_batches_changed_stands_in_its_place() {
        let changed = [record(2, 9), record(3, 1)].map(|record| (record.id, record)).into();
        let all: Vec<_> = overlaid([record(1, 5), record(2, 5)].into_iter(), &changed).collect();
        assert_eq!(all, [record(1, 5), record(2, 9), record(3, 1)]);
    }
}
