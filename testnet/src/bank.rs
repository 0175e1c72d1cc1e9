//! A bank checker, as Jepsen has one: from what clients did and were told, and from what the servers
//! hold in the end, it finds out whether anything was lost, doubled, or taken back.
//!
//! Pure: it knows no servers and no clock, so its teeth can be tested with made-up histories.
mod history;
mod ledger;
mod rules;
#[cfg(test)]
mod tests;

pub use history::{Deed, Ending, Entry, History, Opening, Place, ServerEnd, Told, Transfer};

use serde::Serialize;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: &'static str,
    /// How, with names and numbers.
    pub words: String,
}

/// Holds a history against every rule.
#[must_use]
pub fn check(history: &History, ending: &Ending) -> Vec<Finding> {
    let rules: [(&'static str, rules::Rule); 9] = [
        ("a payment has one place", rules::one_place),
        ("a height has one header", rules::one_header),
        ("nothing final is lost", rules::nothing_is_lost),
        ("nothing is doubled", rules::nothing_is_doubled),
        ("what is refused for ever stays out", rules::refused_stays_out),
        ("balances are those of the payments", rules::balances_fit),
        ("reads are those of their height", rules::reads_fit),
        ("reads never go back", rules::reads_never_go_back),
        ("servers agree", rules::servers_agree),
    ];
    let broken = |(name, rule): (&'static str, rules::Rule)| {
        rule(history, ending).into_iter().map(move |words| Finding { rule: name, words })
    };
    rules.into_iter().flat_map(broken).collect()
}
