//! Results of signature checks, remembered: for the simulator only, where one thread is many servers.
use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Hash;

/// Results that are remembered at once.
const RESULTS_MAX: usize = 1 << 17;

thread_local! {
    static RESULTS: RefCell<Option<BTreeMap<Hash, bool>>> = const { RefCell::new(None) };
}

/// From now on this thread remembers which signatures it has checked (anew), or checks all of them.
pub fn memoise_signatures(on: bool) {
    RESULTS.with_borrow_mut(|results| *results = on.then(BTreeMap::new));
}

/// What was signed here with a key needs no check.
pub(crate) fn signed(parts: &[&[u8]]) {
    RESULTS.with_borrow_mut(|results| {
        if let Some(results) = results {
            results.insert(Hash::of(parts), true);
        }
    });
}

/// The result of a check of key, message and signature.
pub(crate) fn checked(parts: &[&[u8]], check: impl FnOnce() -> bool) -> bool {
    RESULTS.with_borrow_mut(|results| {
        let Some(results) = results else { return check() };
        if results.len() >= RESULTS_MAX {
            results.clear();
        }
        *results.entry(Hash::of(parts)).or_insert_with(check)
    })
}
