//! A node of the Mainline DHT as a pure state machine.
#![forbid(unsafe_code)]

pub mod bencode;
mod best;
mod external;
mod id;
mod io;
mod item;
mod items;
pub mod krpc;
mod limits;
mod lookup;
mod node;
mod peers;
mod place;
mod rtt;
mod saved;
mod table;
mod time;
mod tokens;

pub use id::{Distance, ID_BITS, ID_BYTES, Id, NodeInfo};
pub use io::{Config, Effect, Health, Input, Job, Outcome, Pong, Report, TaskId, Traffic};
pub use item::{Item, MutableItem, SALT_BYTES_MAX, VALUE_BYTES_MAX, ValueError, check_value};
pub use node::Node;
pub use saved::{Saved, SavedItem};
pub use table::NodeCounts;
pub use time::Time;
