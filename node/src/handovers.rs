//! How one set of servers named the next: kept when it is certified, given to whoever asks, and told.
use std::collections::BTreeSet;

use seedbank_ledger::LedgerState;
use seedbank_mesh::message::HANDOVERS_MAX;
use seedbank_store::{Store, StoreError};
use seedbank_types::{Certificate, Epoch, Handover, Hash, Reader, ServerKey, ServerSet};

/// Where the epochs of all handovers are kept in the store, ascending.
const EPOCHS: &str = "handovers";
/// A community that changes its servers more often than this in all its life keeps the newest.
const EPOCHS_MAX: usize = 4096;

/// A change of servers: which set handed over to which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: ServerSet,
    pub(crate) next: ServerSet,
}

fn place(epoch: Epoch) -> String {
    format!("handover/{epoch}")
}

/// Notes the change that a certificate vouches for, if there is one. It is on the disk before the certificate
/// is, so that no certificate is known whose handover is not.
///
/// A certificate is stored while the state is still the one after its own epoch's end.
pub(crate) fn note(store: &Store, certificate: &Certificate) -> Result<(), StoreError> {
    let (state, checkpoint) = (store.ledger_state(), &certificate.checkpoint);
    let is_of_state = state.servers.hash() == checkpoint.servers;
    if !is_of_state || state.signers == state.servers {
        return Ok(());
    }
    let mut epochs = epochs(store)?;
    if epochs.last().is_some_and(|last| *last >= checkpoint.epoch) {
        return Ok(());
    }
    store.meta_put(&place(checkpoint.epoch), &[state.signers.encode(), state.servers.encode()].concat())?;
    epochs.push(checkpoint.epoch);
    store.meta_put(EPOCHS, &encode_epochs(&epochs))
}

/// The values under which handovers are noted that lead from `first` on, as [`note`] would have done.
pub(crate) fn values_of(
    store: &Store,
    first: &ServerSet,
    handovers: &[Handover],
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let (mut from, mut values, mut epochs) = (first, Vec::new(), epochs(store)?);
    for handover in handovers {
        let epoch = handover.certificate.checkpoint.epoch;
        if epochs.last().is_none_or(|last| *last < epoch) {
            values.push((place(epoch), [from.encode(), handover.next.encode()].concat()));
            epochs.push(epoch);
        }
        from = &handover.next;
    }
    if !values.is_empty() {
        values.push((EPOCHS.to_owned(), encode_epochs(&epochs)));
    }
    Ok(values)
}

/// The newest ones, as they are kept.
fn encode_epochs(epochs: &[Epoch]) -> Vec<u8> {
    let surplus = epochs.len().saturating_sub(EPOCHS_MAX);
    epochs.iter().skip(surplus).flat_map(|epoch| epoch.0.to_be_bytes()).collect()
}

/// The epochs at whose ends the servers changed.
fn epochs(store: &Store) -> Result<Vec<Epoch>, StoreError> {
    let bytes = store.meta(EPOCHS)?.unwrap_or_default();
    let (epochs, _rest) = bytes.as_chunks::<8>();
    Ok(epochs.iter().map(|epoch| Epoch(u64::from_be_bytes(*epoch))).collect())
}

/// The change at the end of an epoch.
pub(crate) fn change_at(store: &Store, epoch: Epoch) -> Result<Option<Change>, StoreError> {
    let Some(bytes) = store.meta(&place(epoch))? else { return Ok(None) };
    let mut reader = Reader::new("handover's sets", &bytes);
    let change = Change { from: ServerSet::read(&mut reader)?, next: ServerSet::read(&mut reader)? };
    reader.finish()?;
    Ok(Some(change))
}

/// All handovers from the first time that a set handed over, the next one first.
pub(crate) fn from(store: &Store, set: &Hash) -> Result<Vec<Handover>, StoreError> {
    let mut handovers = Vec::new();
    for epoch in epochs(store)? {
        let Some(Change { from, next }) = change_at(store, epoch)? else { continue };
        if handovers.is_empty() && from.hash() != *set {
            continue;
        }
        let Some(certificate) = store.certificate(epoch)? else { break };
        handovers.push(Handover { certificate, next });
        if handovers.len() == HANDOVERS_MAX {
            break;
        }
    }
    Ok(handovers)
}

/// Keys of former sets that are no server's now and none's of the next epoch: the newest ones, at most `most`.
pub(crate) fn departed(store: &Store, most: usize) -> Result<Vec<ServerKey>, StoreError> {
    let state = store.ledger_state();
    let stay: BTreeSet<ServerKey> =
        [&state.signers, &state.servers, &state.next_servers].iter().flat_map(|set| set.keys()).collect();
    let mut departed = Vec::new();
    for epoch in epochs(store)?.into_iter().rev() {
        let Some(Change { from, .. }) = change_at(store, epoch)? else { continue };
        let new: Vec<_> = from.keys().filter(|key| !stay.contains(key) && !departed.contains(key)).collect();
        departed.extend(new);
        if departed.len() >= most {
            departed.truncate(most);
            break;
        }
    }
    Ok(departed)
}

/// Whether a key was a server's, and is none's any more.
pub(crate) fn has_left(store: &Store, state: &LedgerState, key: &ServerKey) -> bool {
    if [&state.servers, &state.next_servers].iter().any(|set| set.number(key).is_some()) {
        return false;
    }
    let departed = departed(store, EPOCHS_MAX).unwrap_or_else(|error| {
        tracing::error!(%error, "changes of servers cannot be read");
        Vec::new()
    });
    state.signers.number(key).is_some() || departed.contains(key)
}

/// What a change is, for people: `1 added (8a88e3dd), 1 removed (ed4928c6)`.
pub(crate) fn words(from: &ServerSet, next: &ServerSet) -> String {
    let shorts = |keys: Vec<ServerKey>| keys.iter().map(ServerKey::short).collect::<Vec<_>>().join(", ");
    let missing_in = |one: &ServerSet, other: &ServerSet| -> Vec<ServerKey> {
        one.keys().filter(|key| other.number(key).is_none()).collect()
    };
    let weighted = from
        .members()
        .iter()
        .filter(|(key, power)| next.members().iter().any(|(other, weight)| other == key && weight != power));
    let weighted = weighted.map(|(key, _)| *key).collect();
    let parts =
        [(missing_in(next, from), "added"), (missing_in(from, next), "removed"), (weighted, "with other power")];
    let parts = parts.into_iter().filter(|(keys, _)| !keys.is_empty());
    let parts: Vec<String> = parts.map(|(keys, what)| format!("{} {what} ({})", keys.len(), shorts(keys))).collect();
    if parts.is_empty() { "nothing changes".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use seedbank_types::ServerSecret;

    use super::*;

    fn set(powers: &[(u8, u64)]) -> ServerSet {
        let member = |(byte, power): &(u8, u64)| (ServerSecret::from_bytes(&[*byte; 32]).public(), *power);
        ServerSet::new(powers.iter().map(member)).expect("a set")
    }

    #[test]
    fn a_change_is_told_by_what_came_went_and_weighs_otherwise() {
        let short = |byte| ServerSecret::from_bytes(&[byte; 32]).public().short();
        let told = words(&set(&[(1, 1), (2, 1), (3, 1)]), &set(&[(2, 1), (3, 5), (4, 1)]));
        let expected = format!("1 added ({}), 1 removed ({}), 1 with other power ({})", short(4), short(1), short(3));
        assert_eq!(told, expected);
        assert_eq!(words(&set(&[(1, 1)]), &set(&[(1, 1)])), "nothing changes");
    }
}
