//! A node of the Mainline DHT as a pure state machine: packets in, packets out.
//!
//! BEP5 (the DHT), BEP32 (IPv6), BEP42 (ids that follow from addresses, preferred but not demanded),
//! BEP43 (read-only nodes) and BEP44 (items). A node looks up, announces and puts for its owner, and
//! answers and stores for others, within bounds.
//!
//! It is *not* a program on a network: sockets, the clock, randomness, files and names of hosts are the
//! business of whoever drives it (`seedbank-dht`), and so is repeating what has to be repeated. It knows
//! nothing of communities: an item is a key, a number and bytes.
//!
//! Start at [`Node::handle`]; packets are read in [`krpc`].
//!
//! Invariants: the same seed, times and inputs give the same effects; every task ends with
//! one [`Report::Done`] unless it is cancelled; every collection has a named maximum; no item is
//! reported or kept whose signature is wrong; an address that has not proved itself is never sent
//! much more than it sent; only who answered a query enters the routing table; nothing goes to an
//! address that cannot be a single other program, nor beyond loopback if that is wanted.
//!
//! ```
//! use std::time::Duration;
//! use seedbank_dht_proto::{Config, Effect, Input, Job, Node, Report, TaskId, Time};
//!
//! let config = |bootstrap| Config {
//!     v4: true, v6: false, loopback_only: true, request_timeout: Duration::from_secs(1), serve: true, bootstrap,
//! };
//! let (here, there) = ("127.0.0.1:1".parse().expect("an address"), "127.0.0.1:2".parse().expect("an address"));
//! let mut asker = Node::new(config(vec![]), [1; 32], None, Time::default());
//! let mut other = Node::new(config(vec![]), [2; 32], None, Time::default());
//!
//! let ping = asker.handle(Time::default(), Input::Start { task: TaskId(1), job: Job::Ping(there) });
//! let [Effect::Send { bytes, .. }] = &ping[..] else { panic!("one packet") };
//! let answers = other.handle(Time::default(), Input::Packet { from: here, bytes });
//! let Effect::Send { bytes, .. } = &answers[0] else { panic!("an answer") };
//! let reports = asker.handle(Time::default(), Input::Packet { from: there, bytes });
//! assert!(matches!(&reports[0], Effect::Report { report: Report::Done(done), .. } if done.pong.is_some()));
//! ```
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
pub use saved::{Saved, SavedError, SavedItem};
pub use table::NodeCounts;
pub use time::Time;
