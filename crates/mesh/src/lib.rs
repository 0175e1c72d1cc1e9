//! The mesh: the libp2p network of a community's servers, seeders and clients.
//!
//! TCP, Noise and Yamux carry gossip on four topics and requests from peer to peer. Nothing here
//! looks for peers: addresses come from outside ([`MeshHandle::dial`]), found in the DHT. There is
//! no mDNS, `UPnP`, `AutoNAT` or Kademlia, so nothing but the given addresses is ever contacted.
//!
//! It is *not* the agreement of the servers (`seedbank-quorum`), the ledger's rules or the DHT: it
//! moves bytes, knows who said them, and leaves the verdict on each message to its owner.
//!
//! Start at [`spawn`].
//!
//! Invariants
//! - A server's peer id is its Ed25519 key; who is connected is proven, never claimed.
//! - Messages on [`Topic::Quorum`] and [`Topic::Checkpoints`] reach the owner only if their author
//!   is a current server, whoever forwarded them. Nothing is forwarded before [`Verdict::Accept`].
//! - Servers are explicit peers of each other: they get each other's messages at once, whatever
//!   strangers do, and a lost server is dialed again until it is back.
//! - The service never waits for its owner: with a full event queue gossip is dropped and counted,
//!   requests are refused as [`RequestRefusal::Busy`]. So the owner may always wait for the service.
//! - Who listens on loopback dials nothing beyond it, whoever gives the address.
//!
//! What a publication promises: a message on `quorum` or `checkpoints` reaches every server that
//! is connected at that moment, even one whose subscriptions have not arrived yet (it is kept for
//! [`UNHEARD_AGE_MAX`] and said again when they do). [`MeshEvent::PeerConnected`] for a server comes
//! only when gossip reaches it. Servers that are not connected get nothing: whoever must be heard
//! by them says it again on `PeerConnected`; a repetition is never mistaken for a duplicate.
//!
//! ```no_run
//! # async fn example(secret: seedbank_types::ServerSecret, community: seedbank_types::CommunityId)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use seedbank_mesh::{MeshEvent, MeshSecret, MeshSettings, Topic, Verdict, spawn};
//! use tokio_util::sync::CancellationToken;
//!
//! let servers = vec![secret.public()];
//! let settings = MeshSettings::new(MeshSecret::Server(secret), "127.0.0.1:0".parse()?, community, servers);
//! let (mesh, mut events) = spawn(settings, CancellationToken::new()).await?;
//! mesh.publish(Topic::Payments, b"a bundle".to_vec()).await?;
//! while let Some(event) = events.recv().await {
//!     if let MeshEvent::Gossip { verdict, .. } = event {
//!         mesh.judge(verdict, Verdict::Accept).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
mod behaviour;
mod event;
mod frame_codec;
mod handle;
pub mod message;
mod peer;
mod service;
mod settings;
mod topic;

pub use event::{GossipId, MeshEvent, Reply, Verdict};
pub use handle::{DialError, MeshHandle, PeerInfo, PublishError, RequestError, Stopped};
pub use message::{Bundler, DecidedBatch, PaymentBundle, Request, RequestRefusal, Response, TooLarge};
pub use peer::{BadPeer, PeerRef};
pub use service::{UNHEARD_AGE_MAX, spawn};
pub use settings::{MeshError, MeshLimits, MeshSecret, MeshSettings};
pub use topic::Topic;
