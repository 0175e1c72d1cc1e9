//! The Mainline DHT as Seedbank uses it: the only rendezvous (design, section 8).
//!
//! A node of the DHT that puts and finds the records of servers (BEP44 mutable items without salt)
//! and announces and finds peers (BEP5). It knows keys, sequence numbers and bytes: it checks the
//! signature and the size of what it finds, and nothing more.
//!
//! It is *not* the meaning of a record (`seedbank-types`), the choice of its sequence number, or a
//! judgement on the peers it names: those are addresses that strangers gave.
//!
//! Start at [`spawn`] and [`DhtHandle`].
//!
//! Invariants: without a bootstrap nothing is sent to anybody, and the public hosts are asked only
//! on [`Bootstrap::Public`]; a node on a loopback address refuses every bootstrap beyond loopback;
//! no record surfaces whose signature is wrong or whose value is longer than
//! [`seedbank_types::RECORD_BYTES_MAX`].
//!
//! ```
//! use seedbank_dht::{Bootstrap, DhtSettings, spawn, spawn_local_net};
//! use seedbank_types::ServerSecret;
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main] async fn main() -> Result<(), seedbank_dht::DhtError> {
//! let stop = CancellationToken::new();
//! let net = spawn_local_net(&["127.8.0.1".parse().expect("an address"), "127.8.0.2".parse().expect("an address")], &stop).await?;
//! let bootstrap = Bootstrap::Hosts(vec![net[0].local_address().to_string()]);
//! let server = spawn(DhtSettings::loopback("127.8.0.3:0".parse().expect("an address"), bootstrap.clone()), stop.clone()).await?;
//! let client = spawn(DhtSettings::loopback("127.8.0.4:0".parse().expect("an address"), bootstrap), stop.clone()).await?;
//!
//! let secret = ServerSecret::from_bytes(&[1; 32]);
//! server.put_record(&secret, 1, b"newest certificate".to_vec()).await?;
//! let found = client.records(&[secret.public()]).recv().await.expect("it was just put");
//! assert_eq!((found.seq, found.value.as_slice()), (1, &b"newest certificate"[..]));
//! stop.cancel();
//! # Ok(()) }
//! ```
mod announcement;
mod driver;
mod error;
mod handle;
mod health;
mod keeper;
mod listener;
mod lookup;
mod node;
mod record;
mod rendezvous;
mod retry;
mod settings;
mod sockets;
mod state;

pub use announcement::Announcement;
pub use error::DhtError;
pub use handle::DhtHandle;
pub use health::{DhtHealth, DhtTraffic, NetworkHealth};
pub use keeper::{RecordKeeper, RecordStatus};
pub use lookup::LookUp;
pub use node::{spawn, spawn_local_net};
pub use record::{FoundRecord, Stored};
pub use rendezvous::rendezvous;
pub use seedbank_dht_proto::{Id, Item, MutableItem, NodeInfo, Pong};
pub use seedbank_types::Bootstrap;
pub use settings::{DhtSettings, PUBLIC_HOSTS};
