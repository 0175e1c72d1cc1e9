//! The nodes a node knows (BEP5): many near its own id, few far away.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::place::Place;
use crate::{Distance, Id, NodeInfo, Time};

mod bucket;

use bucket::{Bucket, Entry, Room};

/// Buckets: one for each number of leading bits that a node can share with the own id.
const BUCKETS: usize = 160;
/// Nodes of an ordinary bucket (BEP5).
pub(crate) const BUCKET: usize = 8;
/// Nodes of the bucket nearest to the root; each further one has half as many, down to an ordinary one.
const BUCKET_OF_ROOT: usize = 64;
/// Nodes that one table holds at most.
pub(crate) const NODES_MAX: usize = nodes_max();
/// A node that was silent for longer is questionable, a bucket that nobody answered from is stale.
const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);
/// A node is asked at least this often, however much it asks: queries may come from somebody else.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// A node that answered only once is asked again after this time, and none is asked twice within it.
const CHECK_PAUSE: Duration = Duration::from_secs(60);

/// How many nodes are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Those that answered or asked within 15 minutes, and did not fail since.
    pub good: usize,
    /// Those that may be there or not.
    pub questionable: usize,
}

/// Who stands in the way of a node: whoever has its place, and whoever has its id.
type Rivals = [Option<Id>; 2];

/// The known nodes of one family of addresses. Only who answered a query enters, each place has one entry, and who is
/// does not fail keeps it: neither questions nor answers from elsewhere can take it away.
#[derive(Debug)]
pub(crate) struct RoutingTable {
    own: Id,
    /// By the number of leading bits that its nodes share with the own id.
    buckets: Vec<Bucket>,
    /// Who has the entry of each place.
    places: BTreeMap<Place, Id>,
}

impl RoutingTable {
    pub(crate) fn new(own: Id) -> Self {
        let buckets = (0..BUCKETS).map(|index| Bucket::new(capacity(index))).collect();
        Self { own, buckets, places: BTreeMap::new() }
    }

    pub(crate) const fn own(&self) -> Id {
        self.own
    }

    /// A node has answered a query of ours.
    pub(crate) fn answered(&mut self, node: NodeInfo, now: Time) {
        if node.id == self.own {
            return;
        }
        self.bucket_mut(&node.id).touched = now;
        if let Some(entry) = self.entry_mut(&node) {
            entry.answered(now);
        } else {
            self.newcomer(Entry::new(node, now), now);
        }
    }

    /// Whether a node that asked us something is worth a ping: it is unknown, and there may be a place for it.
    pub(crate) fn wants(&self, node: &NodeInfo, now: Time) -> bool {
        let (newcomer, rivals) = (Entry::new(*node, now), self.rivals(node));
        node.id != self.own
            && self.entry(node).is_none()
            && self.yield_to(&newcomer, rivals)
            && self.bucket(&node.id).may_have_room(&newcomer, rivals, now)
    }

    /// A node has sent us a query: if it ever answered, it is still there.
    pub(crate) fn asked(&mut self, node: &NodeInfo, now: Time) {
        if let Some(entry) = self.entry_mut(node) {
            entry.asked(now);
        }
    }

    /// A query of ours was not answered in time.
    pub(crate) fn failed(&mut self, address: SocketAddr) {
        self.buckets.iter_mut().for_each(|bucket| bucket.drop_spare(address));
        self.failed_there(address);
    }

    /// Whether a node at exactly this address has answered.
    pub(crate) fn knows(&self, address: SocketAddr) -> bool {
        self.node_at(address).is_some_and(|node| self.entry(&node).is_some())
    }

    /// The known nodes nearest to a point that are not bad, nearest first.
    pub(crate) fn closest(&self, target: &Id, count: usize) -> Vec<NodeInfo> {
        let mut found: Vec<(Distance, &NodeInfo)> = Vec::with_capacity(BUCKET_OF_ROOT);
        for group in groups(bucket_index(&self.own, target)) {
            if found.len() >= count {
                break;
            }
            let entries = self.buckets[group].iter().flat_map(|bucket| &bucket.entries);
            let usable = entries.filter(|entry| !entry.is_bad()).map(|entry| &entry.node);
            found.extend(usable.map(|node| (target.distance(&node.id), node)));
        }
        if found.len() > count {
            // Every look-up of others comes through here: only the nearest are put in order.
            found.select_nth_unstable(count);
            found.truncate(count);
        }
        found.sort_unstable();
        found.into_iter().map(|(_, node)| *node).collect()
    }

    /// The node that is most worth a ping: one whose entry somebody else claims, the one that was silent for longest,
    /// or one that answered only once.
    /// Counts as asked from now on.
    pub(crate) fn check_next(&mut self, now: Time) -> Option<NodeInfo> {
        let entries = self.buckets.iter_mut().flat_map(|bucket| &mut bucket.entries);
        let (_, entry) =
            entries.filter_map(|entry| Some((entry.check_rank(now)?, entry))).min_by_key(|(rank, _)| *rank)?;
        entry.checked = Some(now);
        Some(entry.node)
    }

    /// The bucket from which nobody has answered for longest, if that is too long. Counts as refreshed from now on.
    pub(crate) fn stale_bucket(&mut self, now: Time) -> Option<u32> {
        let deepest = self.buckets.iter().rposition(|bucket| !bucket.entries.is_empty())?;
        let stale = self.buckets[..=deepest].iter().enumerate().filter(|(_, bucket)| bucket.is_stale(now));
        let (index, _) = stale.min_by_key(|(_, bucket)| bucket.touched)?;
        self.buckets[index].touched = now;
        u32::try_from(index).ok()
    }

    pub(crate) fn counts(&self, now: Time) -> NodeCounts {
        let usable = || self.entries().filter(|entry| !entry.is_bad());
        let good = usable().filter(|entry| entry.is_good(now)).count();
        NodeCounts { good, questionable: usable().count() - good }
    }

    /// All known nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeInfo> {
        self.entries().map(|entry| entry.node)
    }

    /// Takes another id for its own. The nodes stay, as far as there are places for them.
    pub(crate) fn rehome(&mut self, own: Id, now: Time) {
        let old = std::mem::replace(self, Self::new(own));
        self.buckets.iter_mut().for_each(|bucket| bucket.touched = now);
        let (entries, spare): (Vec<_>, Vec<_>) =
            old.buckets.into_iter().map(|bucket| (bucket.entries, bucket.spare)).unzip();
        for entry in entries.into_iter().chain(spare).flatten() {
            if entry.node.id != own && self.rivals(&entry.node) == [None, None] {
                self.enter(entry, [None, None], now);
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    fn bucket(&self, id: &Id) -> &Bucket {
        &self.buckets[bucket_index(&self.own, id)]
    }

    fn bucket_mut(&mut self, id: &Id) -> &mut Bucket {
        &mut self.buckets[bucket_index(&self.own, id)]
    }

    fn entry(&self, node: &NodeInfo) -> Option<&Entry> {
        self.bucket(&node.id).entries.iter().find(|entry| entry.node == *node)
    }

    fn entry_mut(&mut self, node: &NodeInfo) -> Option<&mut Entry> {
        self.bucket_mut(&node.id).entries.iter_mut().find(|entry| entry.node == *node)
    }

    fn entry_of(&self, id: &Id) -> Option<&Entry> {
        self.bucket(id).entries.iter().find(|entry| entry.node.id == *id)
    }

    /// The node at this address, if it is the one that has the entry of its place.
    fn node_at(&self, address: SocketAddr) -> Option<NodeInfo> {
        self.places.get(&Place::of(address)).map(|id| NodeInfo { id: *id, address })
    }

    fn rivals(&self, node: &NodeInfo) -> Rivals {
        let same_place = self.places.get(&Place::of(node.address)).copied();
        let same_id = self.entry_of(&node.id).map(|entry| entry.node.id);
        [same_place, same_id.filter(|id| same_place != Some(*id))]
    }

    fn yield_to(&self, newcomer: &Entry, rivals: Rivals) -> bool {
        rivals.iter().flatten().filter_map(|id| self.entry_of(id)).all(|rival| rival.yields_to(newcomer))
    }

    /// A node without an entry has answered. While its rivals do not yield it waits, and they are asked whether they
    /// are still there.
    fn newcomer(&mut self, newcomer: Entry, now: Time) {
        let (node, rivals) = (newcomer.node, self.rivals(&newcomer.node));
        if self.yield_to(&newcomer, rivals) {
            return self.enter(newcomer, rivals, now);
        }
        self.bucket_mut(&node.id).keep_spare(newcomer);
        for rival in rivals.iter().flatten() {
            if let Some(entry) = self.bucket_mut(rival).entries.iter_mut().find(|entry| entry.node.id == *rival) {
                entry.claimed();
            }
        }
        // Whoever answers at the very address of another node is that node, which has left its id.
        self.failed_there(node.address);
    }

    /// Whoever has an entry for this very address has failed.
    fn failed_there(&mut self, address: SocketAddr) {
        if let Some(node) = self.node_at(address)
            && let Some(entry) = self.entry_mut(&node)
        {
            entry.failed();
            let (is_bad, is_lost) = (entry.is_bad(), entry.is_lost());
            if is_bad && !self.replace(&node) && is_lost {
                self.remove(&node.id);
            }
        }
    }

    fn enter(&mut self, entry: Entry, rivals: Rivals, now: Time) {
        let bucket = self.bucket_mut(&entry.node.id);
        let Some(room) = bucket.room(&entry, rivals, now) else {
            bucket.keep_spare(entry);
            return;
        };
        if let Room::InsteadOf(id) = room {
            self.remove(&id);
        }
        rivals.iter().flatten().for_each(|id| self.remove(id));
        self.insert(entry);
    }

    /// Gives the entry of a bad node to the youngest of its bucket that waits for one, or else to whoever waits for
    /// its place.
    fn replace(&mut self, bad: &NodeInfo) -> bool {
        let place = Place::of(bad.address);
        let is_taken = |other: Place| other != place && self.places.contains_key(&other);
        let index = bucket_index(&self.own, &bad.id);
        let waiting = self.buckets[index].take_spare(&bad.id, is_taken);
        let waiting = waiting.or_else(|| self.buckets.iter_mut().find_map(|bucket| bucket.take_spare_at(place)));
        waiting.is_some_and(|entry| {
            self.remove(&bad.id);
            self.insert(entry);
            true
        })
    }

    fn insert(&mut self, entry: Entry) {
        let node = entry.node;
        let bucket = self.bucket_mut(&node.id);
        bucket.drop_spare(node.address);
        bucket.entries.push(entry);
        self.places.insert(Place::of(node.address), node.id);
    }

    fn remove(&mut self, id: &Id) {
        let bucket = self.bucket_mut(id);
        if let Some(position) = bucket.entries.iter().position(|entry| entry.node.id == *id) {
            let entry = bucket.entries.remove(position);
            self.places.remove(&Place::of(entry.node.address));
        }
    }
}

/// Near the root a bucket covers much of the space and is passed by every look-up: more nodes there, fewer steps.
const fn capacity(index: usize) -> usize {
    let nodes = if index < usize::BITS as usize { BUCKET_OF_ROOT >> index } else { 0 };
    if nodes > BUCKET { nodes } else { BUCKET }
}

const fn nodes_max() -> usize {
    let (mut nodes, mut index) = (0, 0);
    while index < BUCKETS {
        nodes += capacity(index);
        index += 1;
    }
    nodes
}

/// The bucket of an id; for the own id, which is in none, the deepest one.
fn bucket_index(own: &Id, id: &Id) -> usize {
    usize::try_from(own.shared_prefix(id)).map_or(BUCKETS - 1, |bits| bits.min(BUCKETS - 1))
}

/// Buckets by the distance of their nodes from a point in bucket `index`: all of one group are nearer than all of the
/// next. Those in the same bucket share one more bit with it; the deeper ones share as many as the own id does, and
/// the others fewer and fewer.
fn groups(index: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let outer = (0..index).rev().map(|index| index..index + 1);
    [index..index + 1, index + 1..BUCKETS].into_iter().chain(outer)
}

#[cfg(test)]
mod tests;
