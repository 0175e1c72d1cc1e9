//! Peers for tests: three servers and any number of clients on loopback, ports from the system.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use seedbank_mesh::{
    MeshError, MeshEvent, MeshHandle, MeshSecret, MeshSettings, PeerRef, Reply, Request, Topic, Verdict, spawn,
};
use seedbank_types::{CommunityId, ServerKey, ServerSecret};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How many servers the community has.
pub(crate) const SERVERS: u8 = 3;
/// The community of the tests.
pub(crate) const COMMUNITY: CommunityId = CommunityId([0xc0; 32]);

/// The secret of a server.
pub(crate) fn secret(number: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[number + 1; 32])
}

/// The key of a server; numbers from [`SERVERS`] on are in no set.
pub(crate) fn key(number: u8) -> ServerKey {
    secret(number).public()
}

/// One peer with its owner's side.
pub(crate) struct Node {
    pub(crate) mesh: MeshHandle,
    pub(crate) events: Receiver<MeshEvent>,
    stop: CancellationToken,
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_elapsed| panic!("not in time: {what}"));
}

/// Three servers, each connected to both others.
pub(crate) async fn servers() -> Vec<Node> {
    let mut servers = Vec::new();
    for number in 0..SERVERS {
        let server = Node::server(number, &format!("127.0.0.{}:0", number + 1)).await;
        for other in &servers {
            server.connect_to(other).await;
        }
        servers.push(server);
    }
    for number in 0..SERVERS {
        let others: Vec<_> = (0..SERVERS).filter(|other| *other != number).collect();
        servers[usize::from(number)].wait_for_servers(&others).await;
    }
    servers
}

impl Node {
    pub(crate) async fn server(number: u8, listen: &str) -> Self {
        Self::try_server(number, listen).await.expect("a free port on loopback")
    }

    pub(crate) async fn try_server(number: u8, listen: &str) -> Result<Self, MeshError> {
        Self::start(MeshSecret::Server(secret(number)), listen).await
    }

    pub(crate) async fn client() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(100);
        let secret = [NEXT.fetch_add(1, Ordering::Relaxed); 32];
        Self::start(MeshSecret::Ephemeral(secret), "127.0.0.1:0").await.expect("a free port on loopback")
    }

    async fn start(secret: MeshSecret, listen: &str) -> Result<Self, MeshError> {
        let listen = listen.parse().expect("an address");
        let settings = MeshSettings::new(secret, listen, COMMUNITY, (0..SERVERS).map(key).collect());
        let stop = CancellationToken::new();
        let (mesh, events) = spawn(settings, stop.clone()).await?;
        Ok(Self { mesh, events, stop })
    }

    /// Connects, and waits until both sides know.
    pub(crate) async fn connect_to(&self, other: &Self) {
        self.mesh.dial(other.mesh.listen_address()).await.expect("runs");
        let knows = |mesh: &MeshHandle, peer: PeerRef| mesh.peers().iter().any(|known| known.peer == peer);
        until("both sides are connected", async || {
            knows(&self.mesh, other.mesh.peer()) && knows(&other.mesh, self.mesh.peer())
        })
        .await;
    }

    pub(crate) async fn wait_for_servers(&self, numbers: &[u8]) {
        let expected: BTreeSet<_> = numbers.iter().copied().map(key).collect();
        let connected = || self.mesh.servers_connected().into_iter().collect::<BTreeSet<_>>();
        until("the servers are connected", async || connected() == expected).await;
    }

    pub(crate) async fn event(&mut self) -> MeshEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("in time").expect("the mesh runs")
    }

    /// The next gossip message, judged.
    pub(crate) async fn gossip_judged(&mut self, given: Verdict) -> (Topic, Vec<u8>, Option<ServerKey>) {
        loop {
            if let MeshEvent::Gossip { topic, data, source, verdict, .. } = self.event().await {
                self.mesh.judge(verdict, given).await.expect("runs");
                return (topic, data, source);
            }
        }
    }

    /// The next gossip message, accepted.
    pub(crate) async fn gossip(&mut self) -> (Topic, Vec<u8>, Option<ServerKey>) {
        self.gossip_judged(Verdict::Accept).await
    }

    pub(crate) async fn request(&mut self) -> (PeerRef, Request, Reply) {
        loop {
            if let MeshEvent::Request { from, request, reply } = self.event().await {
                return (from.peer, request, reply);
            }
        }
    }

    /// Stops and waits until the service has ended.
    pub(crate) async fn stop_and_wait(mut self) {
        self.stop.cancel();
        let ended = async { while self.events.recv().await.is_some() {} };
        timeout(PATIENCE, ended).await.expect("the mesh stops");
    }
}
