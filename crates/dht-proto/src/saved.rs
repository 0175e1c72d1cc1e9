//! What survives a restart.
use std::time::Duration;

use crate::{Id, Item, NodeInfo};

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
    /// How long it would have been kept without being put again.
    pub remaining: Duration,
}
