//! What must hold, one function each; every string is one finding.
use std::collections::BTreeMap;

use seedbank_types::{AccountId, Address, PaymentId};

use super::history::{Deed, Ending, Entry, History, Place, ServerEnd, Told};
use super::ledger::{Ledger, places};

pub(super) type Rule = fn(&History, &Ending) -> Vec<String>;

/// Whoever names a place of a payment, whenever, names the same one.
pub(super) fn one_place(history: &History, ending: &Ending) -> Vec<String> {
    let mut first: BTreeMap<PaymentId, &Place> = BTreeMap::new();
    let mut findings = Vec::new();
    for (id, place) in all_places(history, ending) {
        let known = *first.entry(id).or_insert(place);
        if known != place {
            findings.push(format!("payment {id} is at {known:?} and at {place:?}"));
        }
    }
    findings
}

/// Two headers of one height would be a fork.
pub(super) fn one_header(history: &History, ending: &Ending) -> Vec<String> {
    let mut first: BTreeMap<u64, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for (_, Place { height, header }) in all_places(history, ending) {
        let known = *first.entry(*height).or_insert(header);
        if known != header {
            findings.push(format!("height {height} has the headers {known} and {header}"));
        }
    }
    findings
}

/// What any server ever called final is in the ledger of every server.
pub(super) fn nothing_is_lost(history: &History, ending: &Ending) -> Vec<String> {
    let told: BTreeMap<PaymentId, &Place> = told_places(history).collect();
    let missing = |server: &ServerEnd| {
        let name = server.name.clone();
        let lost = told.iter().filter(|(id, _)| !server.places.contains_key(*id));
        lost.map(|(id, place)| format!("payment {id} was final at {place:?}, and {name} does not have it"))
            .collect::<Vec<_>>()
    };
    ending.servers.iter().flat_map(missing).collect()
}

/// Each account's payments are ordered by sequence, each sequence once, without gaps.
pub(super) fn nothing_is_doubled(history: &History, ending: &Ending) -> Vec<String> {
    let places = places(ending);
    let mut paid: BTreeMap<AccountId, Vec<(u64, u64, PaymentId)>> = BTreeMap::new();
    for transfer in history.transfers() {
        if let Some(place) = places.get(&transfer.id) {
            paid.entry(transfer.payer).or_default().push((transfer.sequence, place.height, transfer.id));
        }
    }
    paid.into_iter().flat_map(|(payer, payments)| out_of_order(payer, payments)).collect()
}

fn out_of_order(payer: AccountId, mut payments: Vec<(u64, u64, PaymentId)>) -> Vec<String> {
    payments.sort_unstable();
    let (payer, mut findings, mut last_height) = (Address(payer), Vec::new(), 0);
    for (expected, (sequence, height, id)) in (0..).zip(&payments) {
        if *sequence != expected {
            findings.push(format!("{payer}: payment {id} has sequence {sequence} where {expected} is due"));
        }
        if *height < last_height {
            findings.push(format!("{payer}: payment {id} is at height {height}, below the one before it"));
        }
        last_height = *height;
    }
    findings
}

/// What a server refused for ever is in no ledger.
pub(super) fn refused_stays_out(history: &History, ending: &Ending) -> Vec<String> {
    let places = places(ending);
    let broken = history.entries.iter().filter_map(|entry| match &entry.deed {
        Deed::Told { payment, server, told: Told::Refused { code, for_ever: true } } => {
            let place = places.get(payment)?;
            Some(format!("server {server} refused payment {payment} for ever ({code}), and it is at {place:?}"))
        }
        _ => None,
    });
    broken.collect()
}

/// In the end every account holds what the payments make of its first balance, and the supply is what it was.
pub(super) fn balances_fit(history: &History, ending: &Ending) -> Vec<String> {
    let ledger = Ledger::new(history, ending);
    let supply = history.opening.supply;
    let mut findings = Vec::new();
    for server in &ending.servers {
        let name = &server.name;
        if server.supply != supply {
            findings.push(format!("{name}: the supply was {supply} and is {}", server.supply));
        }
        for account in history.opening.balances.keys() {
            let expected = ledger.at(account, u64::MAX);
            let found = server.accounts.get(account).map(|(balance, sequence)| (i128::from(*balance), *sequence));
            if found != Some(expected) {
                let account = Address(*account);
                findings.push(format!("{name}: {account} holds {found:?}, by its payments it is {expected:?}"));
            }
        }
    }
    findings
}

/// A balance that was told for a height is the balance at that height: not older, not newer.
pub(super) fn reads_fit(history: &History, ending: &Ending) -> Vec<String> {
    let ledger = Ledger::new(history, ending);
    let heights: BTreeMap<u64, u64> = certificates(history).map(|(epoch, height, _)| (epoch, height)).collect();
    let broken = history.entries.iter().filter_map(|entry| {
        let (who, account, found, height) = match &entry.deed {
            Deed::Read { server, account, balance, sequence, height } => {
                (format!("server {server}"), account, (*balance, *sequence), *height)
            }
            Deed::Verified { account, balance, sequence, epoch } => {
                (format!("the snapshot of epoch {epoch}"), account, (*balance, *sequence), *heights.get(epoch)?)
            }
            _ => return None,
        };
        let expected = ledger.at(account, height);
        let account = Address(*account);
        ((i128::from(found.0), found.1) != expected)
            .then(|| format!("{who} told of {account} {found:?} at height {height}; it is {expected:?}"))
    });
    broken.collect()
}

/// A server never tells a lower height than it has told before, whoever asks; a light client never an
/// older epoch. Only what had ended before the next began counts as before.
pub(super) fn reads_never_go_back(history: &History, _ending: &Ending) -> Vec<String> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<Source, Marks> = BTreeMap::new();
    let mut entries: Vec<&Entry> = history.entries.iter().collect();
    entries.sort_by_key(|entry| entry.begin_us);
    for entry in entries {
        let Some((source, mark)) = mark(entry) else { continue };
        let marks = seen.entry(source).or_default();
        let before = marks.newest_before(entry.begin_us);
        if is_read(&entry.deed) && mark < before {
            findings.push(format!("{source:?} told {before} and then {mark}: {:?}", entry.deed));
        }
        marks.add(entry.end_us, mark);
    }
    findings
}

/// Who tells something that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// The height of a server.
    Height { server: usize },
    /// The certified epoch of a server.
    Epoch { server: usize },
    /// The epoch of a light client.
    LightClient { client: u32 },
}

/// What a source has told.
#[derive(Debug, Default)]
struct Marks {
    /// Answers that had not ended when the last question began, by their end.
    open: Vec<(u64, u64)>,
    newest: u64,
}

impl Marks {
    /// The greatest that was told before `begin_us`; questions come in the order of their beginnings.
    fn newest_before(&mut self, begin_us: u64) -> u64 {
        let (ended, open) = self.open.drain(..).partition(|(end_us, _)| *end_us <= begin_us);
        self.open = open;
        let ended: Vec<(u64, u64)> = ended;
        self.newest = ended.into_iter().map(|(_, mark)| mark).fold(self.newest, u64::max);
        self.newest
    }

    fn add(&mut self, end_us: u64, mark: u64) {
        self.open.push((end_us, mark));
    }
}

fn mark(entry: &Entry) -> Option<(Source, u64)> {
    Some(match &entry.deed {
        Deed::Told { server, told: Told::Final(place), .. } => (Source::Height { server: *server }, place.height),
        Deed::Read { server, height, .. } => (Source::Height { server: *server }, *height),
        Deed::Certificate { server, epoch, .. } => (Source::Epoch { server: *server }, *epoch),
        Deed::Verified { epoch, .. } => (Source::LightClient { client: entry.client }, *epoch),
        _ => return None,
    })
}

/// Where a payment is may be low; what is read must be at least as new as all that was told.
const fn is_read(deed: &Deed) -> bool {
    matches!(deed, Deed::Read { .. } | Deed::Certificate { .. } | Deed::Verified { .. })
}

/// One certificate an epoch, and the same ledger everywhere in the end.
pub(super) fn servers_agree(history: &History, ending: &Ending) -> Vec<String> {
    let mut findings = Vec::new();
    let mut known: BTreeMap<u64, &str> = BTreeMap::new();
    let last = ending.servers.iter().map(|server| (server.checkpoint.0, server.checkpoint.1.as_str()));
    for (epoch, hash) in certificates(history).map(|(epoch, _, hash)| (epoch, hash)).chain(last) {
        let first = *known.entry(epoch).or_insert(hash);
        if first != hash {
            findings.push(format!("epoch {epoch} has the checkpoints {first} and {hash}"));
        }
    }
    let Some((first, others)) = ending.servers.split_first() else { return findings };
    for other in others {
        let of = |server: &ServerEnd| (server.supply, server.checkpoint.clone(), server.places.clone());
        if of(first) != of(other) {
            findings.push(format!("{} and {} differ in payments, supply or checkpoint", first.name, other.name));
        }
    }
    findings
}

fn certificates(history: &History) -> impl Iterator<Item = (u64, u64, &str)> {
    history.entries.iter().filter_map(|entry| match &entry.deed {
        Deed::Certificate { epoch, height, hash, .. } => Some((*epoch, *height, hash.as_str())),
        _ => None,
    })
}

fn told_places(history: &History) -> impl Iterator<Item = (PaymentId, &Place)> {
    history.entries.iter().filter_map(|entry| match &entry.deed {
        Deed::Told { payment, told: Told::Final(place), .. } | Deed::Final { payment, place } => {
            Some((*payment, place))
        }
        _ => None,
    })
}

fn all_places<'a>(history: &'a History, ending: &'a Ending) -> impl Iterator<Item = (PaymentId, &'a Place)> {
    let held = ending.servers.iter().flat_map(|server| server.places.iter().map(|(id, place)| (*id, place)));
    told_places(history).chain(held)
}
