//! Items kept for others (BEP44).
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::krpc::KrpcError;
use crate::place::Host;
use crate::saved::SavedItem;
use crate::{Distance, Id, Item, Time};

/// An item that nobody puts again is forgotten after this time.
pub(crate) const ITEM_LASTS: Duration = Duration::from_secs(2 * 60 * 60);

/// How much the store holds.
#[derive(Debug, Clone, Copy)]
struct ItemBounds {
    /// Items put from one host.
    host: usize,
    /// Items in all.
    all: usize,
}

/// The items that others put here, within bounds. Where there is no room, the nearest to the own ids stay: those
/// are the ones that are looked for here.
#[derive(Debug)]
pub(crate) struct ItemStore {
    own: [Id; 2],
    bounds: ItemBounds,
    items: BTreeMap<Id, Kept>,
    hosts: BTreeMap<Host, usize>,
    by_distance: BTreeSet<(Distance, Id)>,
    by_end: BTreeSet<(Time, Id)>,
}

#[derive(Debug)]
struct Kept {
    item: Item,
    /// In whose share it counts; in nobody's, if it is our own or was here before a restart.
    host: Option<Host>,
    expires: Time,
}

impl Default for ItemBounds {
    fn default() -> Self {
        Self { host: 1_000, all: 8_000 }
    }
}

impl ItemStore {
    /// An empty store of a node with these ids, for IPv4 and IPv6.
    pub(crate) fn new(own: [Id; 2]) -> Self {
        Self::bounded(own, ItemBounds::default())
    }

    const fn bounded(own: [Id; 2], bounds: ItemBounds) -> Self {
        Self {
            own,
            bounds,
            items: BTreeMap::new(),
            hosts: BTreeMap::new(),
            by_distance: BTreeSet::new(),
            by_end: BTreeSet::new(),
        }
    }

    /// Keeps an item that was proved genuine, or keeps it for longer. Our own come from the unspecified address.
    ///
    /// # Errors
    /// What to answer: 301 if another number is here than `cas` says, 302 if a newer item is here, or another one
    /// with the same number, and 202 if there is no room for it.
    pub(crate) fn put(&mut self, item: Item, cas: Option<i64>, from: IpAddr, now: Time) -> Result<(), KrpcError> {
        self.expire(now);
        let target = item.target();
        if let Some(kept) = self.items.get(&target) {
            check_replaces(&kept.item, &item, cas)?;
        }
        let host = if from.is_unspecified() { None } else { self.charged(&target, Host::of(from))? };
        self.make_room(&target)?;
        self.keep(target, Kept { item, host, expires: now + ITEM_LASTS });
        Ok(())
    }

    /// Keeps items that were here before a restart, as far as there is room.
    pub(crate) fn restore(&mut self, saved: Vec<SavedItem>, now: Time) {
        for SavedItem { item, remaining, .. } in saved {
            let target = item.target();
            if !self.items.contains_key(&target) && self.make_room(&target).is_ok() {
                self.keep(target, Kept { item, host: None, expires: now + remaining.min(ITEM_LASTS) });
            }
        }
    }

    /// The item under this target.
    pub(crate) fn get(&self, target: &Id, now: Time) -> Option<&Item> {
        self.items.get(target).filter(|kept| now < kept.expires).map(|kept| &kept.item)
    }

    /// Forgets what nobody has put again for too long.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some(&(_, target)) = self.by_end.first().filter(|(expires, _)| *expires <= now) {
            self.remove(&target);
        }
    }

    /// Goes by these ids from now on.
    pub(crate) fn rehome(&mut self, own: [Id; 2]) {
        self.own = own;
        self.by_distance = self.items.keys().map(|target| (distance(&own, target), *target)).collect();
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// All items, each with the moment at which it will be forgotten.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Item, Time)> {
        self.items.values().map(|kept| (&kept.item, kept.expires))
    }

    /// Who is charged for an item that this host puts. One that is here already may stay in another's share.
    fn charged(&self, target: &Id, host: Host) -> Result<Option<Host>, KrpcError> {
        let has_room = self.hosts.get(&host).is_none_or(|count| *count < self.bounds.host);
        match self.items.get(target) {
            _ if has_room => Ok(Some(host)),
            Some(kept) => Ok(kept.host),
            None => Err(KrpcError::new(KrpcError::SERVER, "your address has put as many items as it may")),
        }
    }

    fn make_room(&mut self, target: &Id) -> Result<(), KrpcError> {
        if self.len() < self.bounds.all || self.items.contains_key(target) {
            return Ok(());
        }
        match self.by_distance.last().copied() {
            Some((furthest, other)) if distance(&self.own, target) < furthest => {
                self.remove(&other);
                Ok(())
            }
            _ => Err(KrpcError::new(KrpcError::SERVER, "full of items that are nearer to this node")),
        }
    }

    fn keep(&mut self, target: Id, kept: Kept) {
        self.remove(&target);
        if let Some(host) = kept.host {
            *self.hosts.entry(host).or_default() += 1;
        }
        self.by_distance.insert((distance(&self.own, &target), target));
        self.by_end.insert((kept.expires, target));
        self.items.insert(target, kept);
    }

    fn remove(&mut self, target: &Id) {
        let Some(kept) = self.items.remove(target) else {
            return;
        };
        self.by_distance.remove(&(distance(&self.own, target), *target));
        self.by_end.remove(&(kept.expires, *target));
        if let Some(host) = kept.host {
            self.discharge(host);
        }
    }

    fn discharge(&mut self, host: Host) {
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }
}

/// Whether BEP44 lets an item take the place of the one that is here.
fn check_replaces(here: &Item, new: &Item, cas: Option<i64>) -> Result<(), KrpcError> {
    if cas.is_some() && cas != here.seq() {
        return Err(KrpcError::new(KrpcError::CAS_MISMATCH, "cas is not the sequence number that is here"));
    }
    if new.seq() < here.seq() {
        return Err(KrpcError::new(KrpcError::SEQ_TOO_OLD, "a higher sequence number is here"));
    }
    if new.seq() == here.seq() && new.value() != here.value() {
        return Err(KrpcError::new(KrpcError::SEQ_TOO_OLD, "another value with this sequence number is here"));
    }
    Ok(())
}

/// How far a target is from the nearer one of the own ids.
fn distance(own: &[Id; 2], target: &Id) -> Distance {
    let [v4, v6] = own;
    v4.distance(target).min(v6.distance(target))
}

#[cfg(test)]
mod tests;
