//! A client of the mesh, connected to all servers.
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use seedbank_mesh::{MeshEvent, MeshHandle, MeshSecret, MeshSettings, PeerRef};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::net::Part;
use crate::testnet::{Testnet, in_time};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const POLL_PAUSE: Duration = Duration::from_millis(20);
/// The address that the bench uses among those of the clients.
const CLIENT: u8 = 1;

/// A peer of the mesh with a key of its own, so that its requests are counted apart. It hears no gossip.
pub(crate) struct Connection {
    pub(crate) mesh: MeshHandle,
    _events: mpsc::Receiver<MeshEvent>,
    _stop: DropGuard,
}

impl Connection {
    pub(crate) async fn open(testnet: &Testnet) -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).context("the system gives no random bytes")?;
        let listen = SocketAddr::from((testnet.net().address(Part::Clients, CLIENT), 0));
        let servers = testnet.trust().servers.keys().collect();
        let mut settings = MeshSettings::new(MeshSecret::Ephemeral(secret), listen, testnet.community(), servers);
        settings.topics.clear();
        let stop = CancellationToken::new();
        let (mesh, events) = seedbank_mesh::spawn(settings, stop.clone()).await?;
        let connection = Self { mesh, _events: events, _stop: stop.drop_guard() };
        connection.connect(testnet).await?;
        Ok(connection)
    }

    async fn connect(&self, testnet: &Testnet) -> Result<()> {
        let deadline = Instant::now() + CONNECT_LIMIT;
        for server in testnet.servers() {
            self.mesh.dial_multiaddr(&server.addresses().mesh).await?;
        }
        for server in testnet.servers() {
            let peer = PeerRef::of_server(&server.key());
            while !self.mesh.peers().iter().any(|connected| connected.peer == peer) {
                in_time(deadline, &format!("{} was not reached", server.name()))?;
                sleep(POLL_PAUSE).await;
            }
        }
        Ok(())
    }
}
