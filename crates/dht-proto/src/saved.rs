//! What survives a restart, so that a node is among its neighbours at once and still has what it kept for others.
use std::time::Duration;

use seedbank_types::{ServerKey, Signature};

use crate::bencode::{self, BencodeError, Dictionary, Value, Writer};
use crate::krpc::compact;
use crate::{Id, Item, MutableItem, NodeInfo, SALT_BYTES_MAX, check_value, table};

/// The layout that is written and read.
const VERSION: i64 = 1;
/// Nodes of one family that are saved: all that a node knows.
const NODES_MAX: usize = table::NODES_MAX;
/// Items that are saved: more than a node keeps.
const ITEMS_MAX: usize = 10_000;
/// Bytes that are read at most; all items at their longest take 12 million.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Values that are read at most: a node is one, an item up to eight.
const VALUES_MAX: usize = 2 * NODES_MAX + 8 * ITEMS_MAX + 8;

/// What a node knows that is worth knowing after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The own ids, for IPv4 and IPv6.
    pub ids: [Option<Id>; 2],
    /// Nodes that were there.
    pub nodes: Vec<NodeInfo>,
    /// Items kept.
    pub items: Vec<SavedItem>,
}

/// An item, and for how long it would have been kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedItem {
    /// The item.
    pub item: Item,
    /// Whether it is put again and again by this node.
    pub own: bool,
    /// How long it would have been kept without being put again, to the second.
    pub remaining: Duration,
}

/// Why nothing can be gone on from. The node starts without it, as a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Nothing that was ever written is so long.
    #[error("the saved state of the DHT has {bytes} bytes, at most {BYTES_MAX} are ever written: this is another file")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// The bytes are damaged, or something else.
    #[error("the saved state of the DHT is damaged, or another file: {0}")]
    Malformed(#[from] BencodeError),
    /// Something is bencoded there, but not this.
    #[error("this is not a saved state of the DHT: it has no version")]
    Foreign,
    /// Another program wrote it.
    #[error("the saved state of the DHT has version {found}, this program reads version {VERSION}")]
    Version {
        /// What is written there.
        found: i64,
    },
}

impl Saved {
    /// The bytes to write to a file: a bencoded dictionary. What goes beyond the bounds of reading is left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let [v4, v6] = self.ids.map(|id| id.map(|id| bencode::bytes(&id.0)));
        let nodes = within_bounds(self.nodes.iter().copied()).map(|node| write_node(&node));
        let items = self.items.iter().take(ITEMS_MAX).map(write_item);
        Writer::default()
            .maybe(b"id4", v4)
            .maybe(b"id6", v6)
            .encoded(b"items", bencode::list(items))
            .encoded(b"nodes", bencode::list(nodes))
            .integer(b"version", VERSION)
            .finish()
    }

    /// Reads what was written. Single nodes and items that make no sense, and items that their key has not signed,
    /// are left out: a node can do without them.
    ///
    /// # Errors
    /// [`SavedError`], if this is not what was written.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        if bytes.len() > BYTES_MAX {
            return Err(SavedError::TooLong { bytes: bytes.len() });
        }
        let saved = bencode::parse(bytes, VALUES_MAX)?;
        let saved = saved.as_dictionary().ok_or(SavedError::Foreign)?;
        match saved.get(b"version").and_then(Value::as_integer) {
            Some(VERSION) => {}
            Some(found) => return Err(SavedError::Version { found }),
            None => return Err(SavedError::Foreign),
        }
        Ok(Self {
            ids: [array(saved, b"id4").map(Id), array(saved, b"id6").map(Id)],
            nodes: within_bounds(list(saved, b"nodes").iter().filter_map(read_node)).collect(),
            items: list(saved, b"items").iter().filter_map(read_item).take(ITEMS_MAX).collect(),
        })
    }
}

/// The first nodes of each family, so that one that has too many costs the other none.
fn within_bounds(nodes: impl Iterator<Item = NodeInfo>) -> impl Iterator<Item = NodeInfo> {
    let mut counts = [0; 2];
    nodes.filter(move |node| {
        let count = &mut counts[usize::from(node.address.is_ipv6())];
        *count += 1;
        *count <= NODES_MAX
    })
}

fn write_node(node: &NodeInfo) -> Vec<u8> {
    let mut bytes = vec![];
    compact::push_node(&mut bytes, node);
    bencode::bytes(&bytes)
}

fn read_node(value: &Value<'_>) -> Option<NodeInfo> {
    value.as_bytes().and_then(compact::read_node)
}

fn write_item(saved: &SavedItem) -> Vec<u8> {
    let seconds = i64::try_from(saved.remaining.as_secs()).unwrap_or(i64::MAX);
    let entry = Writer::default()
        .integer(b"left", seconds)
        .integer(b"own", i64::from(saved.own))
        .bytes(b"v", saved.item.value());
    match &saved.item {
        Item::Immutable { .. } => entry.finish(),
        Item::Mutable(item) => entry
            .bytes(b"k", &item.key.0)
            .bytes(b"salt", &item.salt)
            .integer(b"seq", item.seq)
            .bytes(b"sig", &item.signature.0)
            .finish(),
    }
}

fn read_item(value: &Value<'_>) -> Option<SavedItem> {
    let entry = value.as_dictionary()?;
    let value = bytes(entry, b"v").filter(|value| check_value(value).is_ok())?.to_vec();
    let item = match entry.get(b"k") {
        None => Item::Immutable { value },
        Some(_) => Item::Mutable(read_mutable(entry, value)?),
    };
    let seconds = u64::try_from(integer(entry, b"left")?).ok()?;
    let own = integer(entry, b"own")? != 0;
    item.is_genuine().then(|| SavedItem { item, own, remaining: Duration::from_secs(seconds) })
}

fn read_mutable(entry: &Dictionary<'_>, value: Vec<u8>) -> Option<MutableItem> {
    Some(MutableItem {
        key: ServerKey(array(entry, b"k")?),
        salt: bytes(entry, b"salt").filter(|salt| salt.len() <= SALT_BYTES_MAX)?.to_vec(),
        seq: integer(entry, b"seq")?,
        signature: Signature(array(entry, b"sig")?),
        value,
    })
}

fn integer(entry: &Dictionary<'_>, key: &[u8]) -> Option<i64> {
    entry.get(key)?.as_integer()
}

fn bytes<'a>(entry: &Dictionary<'a>, key: &[u8]) -> Option<&'a [u8]> {
    entry.get(key)?.as_bytes()
}

fn array<const LENGTH: usize>(entry: &Dictionary<'_>, key: &[u8]) -> Option<[u8; LENGTH]> {
    bytes(entry, key)?.try_into().ok()
}

/// An empty one, if there is none.
fn list<'v, 'a>(entry: &'v Dictionary<'a>, key: &[u8]) -> &'v [Value<'a>] {
    entry.get(key).and_then(Value::as_list).unwrap_or_default()
}

#[cfg(test)]
mod tests;
