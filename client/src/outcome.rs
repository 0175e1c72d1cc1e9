//! What several servers' words about one payment come to. Pure.
use std::collections::BTreeMap;

use seedbank_types::{Epoch, Hash, Height, PaymentState, Refusal, Rule};

/// One server's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said<T> {
    /// The server's power.
    pub(crate) power: u64,
    pub(crate) what: T,
}

/// What the servers' words come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) state: PaymentState,
    /// Whether servers of the rule's power say so; else it is the word of some, who may lag behind or lie.
    pub(crate) is_quorums: bool,
}

/// The state of a payment, and whether a quorum stands behind it.
pub(crate) fn word(said: &[Said<PaymentState>], rule: Rule, total: u64, certified: Option<Height>) -> Word {
    let state = combine(said, rule, total, certified);
    let power = said.iter().filter(|said| says_so(&said.what, &state)).map(|said| said.power).sum();
    Word { state, is_quorums: rule.is_quorum(power, total) }
}

/// Reasons may differ between servers that refuse for good: their balances are of other moments.
fn says_so(one: &PaymentState, state: &PaymentState) -> bool {
    match (one, state) {
        (PaymentState::Refused(one), PaymentState::Refused(_)) => !one.is_passing(),
        (
            PaymentState::Final { height, header } | PaymentState::Certified { height, header, .. },
            PaymentState::Final { height: agreed, header: with }
            | PaymentState::Certified { height: agreed, header: with, .. },
        ) => (height, header) == (agreed, with),
        (one, state) => one == state,
    }
}

/// The state of a payment by the servers' words. `certified` is the height up to which the client itself
/// has verified a certificate: a server's claim alone certifies nothing.
pub(crate) fn combine(said: &[Said<PaymentState>], rule: Rule, total: u64, certified: Option<Height>) -> PaymentState {
    if let Some(((height, header), epoch)) = agreed(said, rule, total) {
        return match epoch {
            Some(epoch) if certified.is_some_and(|certified| certified >= height) => {
                PaymentState::Certified { height, header, epoch }
            }
            _ => PaymentState::Final { height, header },
        };
    }
    let any = |wanted: fn(&PaymentState) -> bool| said.iter().any(|said| wanted(&said.what));
    if any(|state| !matches!(state, PaymentState::Unknown | PaymentState::Refused(_))) {
        return PaymentState::Sent;
    }
    refusal(said).map_or(PaymentState::Unknown, PaymentState::Refused)
}

/// The batch that servers of the rule's power name, and the epoch if any of them says it is certified.
fn agreed(said: &[Said<PaymentState>], rule: Rule, total: u64) -> Option<((Height, Hash), Option<Epoch>)> {
    let mut batches: BTreeMap<(Height, Hash), (u64, Option<Epoch>)> = BTreeMap::new();
    for one in said {
        let (batch, epoch) = match one.what {
            PaymentState::Final { height, header } => ((height, header), None),
            PaymentState::Certified { height, header, epoch } => ((height, header), Some(epoch)),
            _ => continue,
        };
        let entry = batches.entry(batch).or_default();
        *entry = (entry.0.saturating_add(one.power), entry.1.max(epoch));
    }
    let agreed = batches.into_iter().find(|(_, (power, _))| rule.is_quorum(*power, total));
    agreed.map(|(batch, (_, epoch))| (batch, epoch))
}

/// The refusal that says most: one for good rather than one that may pass.
fn refusal(said: &[Said<PaymentState>]) -> Option<Refusal> {
    let refusals = said.iter().filter_map(|said| match said.what {
        PaymentState::Refused(refusal) => Some(refusal),
        _ => None,
    });
    refusals.min_by_key(Refusal::is_passing)
}

/// The number that the next payment must carry. Where nobody lies, the highest word is that of the server
/// that knows most; where some may, the highest that servers of more power than may lie say or exceed.
pub(crate) fn next_sequence(said: &[Said<u64>], rule: Rule, total: u64) -> Option<u64> {
    let mut descending: Vec<_> = said.to_vec();
    descending.sort_by_key(|said| std::cmp::Reverse(said.what));
    if rule == Rule::Majority {
        return descending.first().map(|said| said.what);
    }
    let mut power = 0_u64;
    for one in &descending {
        power = power.saturating_add(one.power);
        // The others are no quorum without these, so these are not all liars.
        if !rule.is_quorum(total.saturating_sub(power), total) {
            return Some(one.what);
        }
    }
    descending.last().map(|said| said.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINAL: PaymentState = PaymentState::Final { height: Height(5), header: Hash([5; 32]) };
    const ELSEWHERE: PaymentState = PaymentState::Final { height: Height(6), header: Hash([6; 32]) };
    const CERTIFIED: PaymentState =
        PaymentState::Certified { height: Height(5), header: Hash([5; 32]), epoch: Epoch(2) };

    fn state(said: &[PaymentState], certified: Option<u64>) -> PaymentState {
        let said: Vec<_> = said.iter().map(|what| Said { power: 1, what: *what }).collect();
        combine(&said, Rule::Majority, 3, certified.map(Height))
    }

    #[test]
    fn final_needs_the_same_batch_from_a_quorum() {
        assert_eq!(state(&[FINAL], None), PaymentState::Sent);
        assert_eq!(state(&[FINAL, ELSEWHERE], None), PaymentState::Sent);
        assert_eq!(state(&[FINAL, PaymentState::Sent, FINAL], None), FINAL);
    }

    #[test]
    fn certified_needs_a_certificate_that_the_client_verified() {
        assert_eq!(state(&[CERTIFIED, FINAL], None), FINAL);
        assert_eq!(state(&[CERTIFIED, FINAL], Some(4)), FINAL);
        assert_eq!(state(&[CERTIFIED, FINAL], Some(5)), CERTIFIED);
        assert_eq!(state(&[FINAL, FINAL], Some(5)), FINAL, "no server names the epoch yet");
    }

    #[test]
    fn refused_only_if_nobody_took_it() {
        let poor = PaymentState::Refused(Refusal::InsufficientBalance { balance: 3 });
        let busy = PaymentState::Refused(Refusal::Busy);
        assert_eq!(state(&[poor, PaymentState::Sent], None), PaymentState::Sent);
        assert_eq!(state(&[busy, poor, PaymentState::Unknown], None), poor);
        assert_eq!(state(&[busy, busy], None), busy);
        assert_eq!(state(&[PaymentState::Unknown], None), PaymentState::Unknown);
        assert_eq!(state(&[], None), PaymentState::Unknown);
    }

    #[test]
    fn one_servers_refusal_or_ignorance_is_no_quorums_word() {
        let word = |said: &[PaymentState]| {
            let said: Vec<_> = said.iter().map(|what| Said { power: 1, what: *what }).collect();
            word(&said, Rule::Majority, 3, None).is_quorums
        };
        let poor = |balance| PaymentState::Refused(Refusal::InsufficientBalance { balance });
        let busy = PaymentState::Refused(Refusal::Busy);
        assert!(!word(&[poor(3)]));
        assert!(!word(&[poor(3), busy, PaymentState::Unknown]));
        assert!(word(&[poor(3), poor(4)]));
        assert!(!word(&[busy, busy]), "busy servers refuse nothing for good");
        assert!(!word(&[PaymentState::Unknown]));
        assert!(word(&[PaymentState::Unknown, PaymentState::Unknown]));
        assert!(word(&[FINAL, CERTIFIED]));
    }

    #[test]
    fn no_third_of_the_servers_can_raise_the_sequence_where_they_may_lie() {
        let said = |values: &[u64]| values.iter().map(|what| Said { power: 1, what: *what }).collect::<Vec<_>>();
        assert_eq!(next_sequence(&said(&[7, 8, 7]), Rule::Majority, 3), Some(8));
        assert_eq!(next_sequence(&said(&[7, 900, 8, 8]), Rule::TwoThirds, 4), Some(8));
        assert_eq!(next_sequence(&said(&[900]), Rule::TwoThirds, 4), Some(900), "nobody else to ask");
        assert_eq!(next_sequence(&[], Rule::Majority, 3), None);
    }
}
