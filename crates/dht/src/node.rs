//! The node itself: its socket, its start and stop, and the turns of those who put.
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use futures::future::try_join_all;
use mainline::async_dht::AsyncDht;
use mainline::errors::{ConcurrencyError, PutMutableError, PutQueryError};
use mainline::{Dht, DhtBuilder, Id, RequestFilter, RequestSpecific, ServerSettings};
use seedbank_types::{InfoHash, ServerSecret};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::record::{FoundRecord, Stored};
use crate::{Announcement, Bootstrap, DhtError, DhtSettings, RecordKeeper, lookup};

/// A look-up takes a few rounds of requests; one that takes this many timeouts hangs.
const LIMIT_IN_TIMEOUTS: u32 = 30;
const LONGEST_PAUSE_BETWEEN_MEETINGS: Duration = Duration::from_secs(300);
const LOCAL_NET_READY_LIMIT: Duration = Duration::from_secs(10);
/// A local node that knows this many others (or all) finds everything.
const LOCAL_NET_KNOWN_NODES: usize = 8;
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// Starts a node, which runs until `stop` is cancelled.
pub async fn spawn(settings: DhtSettings, stop: CancellationToken) -> Result<DhtHandle, DhtError> {
    let builder = builder(&settings).await?;
    let dht = open(builder, settings.bind).await?.as_async();
    let local_address = SocketAddr::V4(dht.info().await.local_addr());
    let handle = DhtHandle(Arc::new(Node {
        dht: RwLock::new(Some(dht)),
        local_address,
        limit: LIMIT_IN_TIMEOUTS * settings.request_timeout,
        puts: Mutex::new(()),
        stop,
    }));
    tokio::spawn(close_when_stopped(handle.clone()));
    if settings.serve {
        tokio::spawn(meet_newcomers(handle.clone(), settings.request_timeout));
    }
    tracing::debug!(%local_address, serve = settings.serve, "DHT node started");
    Ok(handle)
}

/// Starts one serving node on each of these loopback addresses; all know each other at the end.
///
/// Each node has all others as bootstrap. A node that has nobody as bootstrap takes everyone who
/// looks itself up for a node, even those who only ask; hence a long-lived local net of this shape
/// stays clean, while one that grows around a single first node collects dead clients there.
pub async fn spawn_local_net(addresses: &[Ipv4Addr], stop: &CancellationToken) -> Result<Vec<DhtHandle>, DhtError> {
    let binds = free_ports(addresses)?;
    let nodes = binds.iter().map(|bind| {
        let others = binds.iter().filter(|other| *other != bind).map(ToString::to_string).collect();
        spawn(DhtSettings::loopback(*bind, Bootstrap::Hosts(others)).serving(), stop.clone())
    });
    let nodes = try_join_all(nodes).await?;
    let enough = LOCAL_NET_KNOWN_NODES.min(nodes.len() - usize::from(!nodes.is_empty()));
    let deadline = Instant::now() + LOCAL_NET_READY_LIMIT;
    for node in &nodes {
        while node.known_nodes().await? < enough {
            if Instant::now() > deadline {
                return Err(DhtError::NoNodes);
            }
            sleep(POLL_PAUSE).await;
        }
    }
    Ok(nodes)
}

/// A running node. Clones are the same node.
#[derive(Clone)]
pub struct DhtHandle(Arc<Node>);

struct Node {
    /// Gone once stopped: the last clone closes the socket.
    dht: RwLock<Option<AsyncDht>>,
    local_address: SocketAddr,
    limit: Duration,
    /// The library calls a second put of one key, while the first is under way, a conflict.
    puts: Mutex<()>,
    stop: CancellationToken,
}

impl DhtHandle {
    /// Where the node listens.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.0.local_address
    }

    /// How many nodes of the DHT this one knows at present.
    pub async fn known_nodes(&self) -> Result<usize, DhtError> {
        finished(self.start(|dht| async move { Ok(dht.to_bootstrap().await.len()) })).await
    }

    /// Stores a record of this server at the nodes that are closest to its key, once.
    ///
    /// First looks up what is there: a higher number, or another value under the same one, is
    /// [`DhtError::NewerRecord`].
    pub async fn put_record(&self, secret: &ServerSecret, seq: u64, value: Vec<u8>) -> Result<Stored, DhtError> {
        self.put_again(FoundRecord::sign(secret, seq, value)?).await
    }

    /// Stores a record unchanged, for a server that no longer does so itself.
    pub async fn put_again(&self, record: FoundRecord) -> Result<Stored, DhtError> {
        let node = Arc::clone(&self.0);
        finished(self.start(|dht| async move {
            let _turn = node.puts.lock().await;
            put(&dht, record).await
        }))
        .await
    }

    /// Keeps this server's record in the DHT: puts it at once, and again every hour.
    pub fn keep_record(&self, secret: ServerSecret, seq: u64, value: Vec<u8>) -> Result<RecordKeeper, DhtError> {
        RecordKeeper::spawn(self.clone(), secret, seq, value)
    }

    /// Says to the DHT that whoever wants `info_hash` finds it at this address and `port`: at once,
    /// soon again until it worked, then every 15 minutes.
    #[must_use = "the announcing stops when this is dropped"]
    pub fn announce(&self, info_hash: InfoHash, port: u16) -> Announcement {
        Announcement::spawn(self.clone(), info_hash, port)
    }

    pub(crate) async fn announce_once(&self, info_hash: InfoHash, port: u16) -> Result<(), DhtError> {
        finished(self.start(|dht| async move {
            let id = Id::from(info_hash.0);
            // The library joins all look-ups of one target. Left to find the nodes by itself, it asks
            // for values, and whoever looks for peers meanwhile gets those (empty) answers. So the
            // nodes are found by a look-up for peers first.
            let mut peers = dht.get_peers(id);
            while peers.next().await.is_some() {}
            dht.announce_peer(id, Some(port)).await.map(drop).map_err(query_error)
        }))
        .await
    }

    /// Does `work` on a task of its own, for at most the time a look-up may take.
    ///
    /// A task of its own, because a put given up halfway would collide with the next one.
    pub(crate) fn start<T, F>(&self, work: impl FnOnce(AsyncDht) -> F) -> JoinHandle<Result<T, DhtError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DhtError>> + Send + 'static,
    {
        let work = self.dht().map(work);
        let stop = self.0.stop.clone();
        let limit = self.0.limit;
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => Err(DhtError::Stopped),
                result = timeout(limit, work?) => result.unwrap_or(Err(DhtError::TimedOut)),
            }
        })
    }

    /// Waits until the node is stopped.
    pub(crate) async fn stopped(&self) {
        self.0.stop.cancelled().await;
    }

    fn dht(&self) -> Result<AsyncDht, DhtError> {
        self.0.dht.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(DhtError::Stopped)
    }
}

impl std::fmt::Debug for DhtHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DhtHandle({})", self.0.local_address)
    }
}

/// The end of a piece of work. If its task panicked, the library's thread is gone.
pub(crate) async fn finished<T>(task: JoinHandle<Result<T, DhtError>>) -> Result<T, DhtError> {
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the DHT node has died");
        Err(DhtError::Stopped)
    })
}

async fn put(dht: &AsyncDht, record: FoundRecord) -> Result<Stored, DhtError> {
    let item = record.to_item()?;
    let seq = record.seq;
    // The look-up also makes the library forget the nodes of an earlier one, which may be gone.
    if let Some(there) = lookup::newest(dht, record.key).await
        && (there.seq > seq || (there.seq == seq && there.value != record.value))
    {
        return Err(DhtError::NewerRecord { seq, seen: there.seq });
    }
    match dht.put_mutable(item, None).await {
        Ok(outcome) => Ok(Stored { seq, nodes: outcome.stored_at }),
        Err(PutMutableError::Query(error)) => Err(query_error(error)),
        Err(PutMutableError::Concurrency(ConcurrencyError::NotMostRecent)) => {
            Err(DhtError::NewerRecord { seq, seen: seq.saturating_add(1) })
        }
        Err(PutMutableError::Concurrency(error)) => Err(DhtError::Refused(error.to_string())),
    }
}

fn query_error(error: PutQueryError) -> DhtError {
    match error {
        PutQueryError::NoClosestNodes => DhtError::NoNodes,
        PutQueryError::ErrorResponse(error) => DhtError::Refused(error.description),
        PutQueryError::Timeout => DhtError::TimedOut,
    }
}

async fn builder(settings: &DhtSettings) -> Result<DhtBuilder, DhtError> {
    let bind = settings.bind_v4()?;
    let mut builder = Dht::builder();
    // Both must be named: without a bootstrap list the library asks public hosts, and without a
    // port it takes 6881 if it can.
    builder.bootstrap(&settings.bootstrap_addresses().await?).port(bind.port());
    builder.bind_address(*bind.ip()).request_timeout(settings.request_timeout);
    if settings.serve {
        builder.server_mode();
    } else {
        builder.server_settings(ServerSettings { filter: Box::new(Silent), ..ServerSettings::default() });
    }
    Ok(builder)
}

/// Answers nobody, even if the library decides after a while that it could.
#[derive(Debug, Clone)]
struct Silent;

impl RequestFilter for Silent {
    fn allow_request(&self, _request: &RequestSpecific, _from: SocketAddrV4) -> bool {
        false
    }
}

async fn open(builder: DhtBuilder, address: SocketAddr) -> Result<Dht, DhtError> {
    let bind_error = |source| DhtError::Bind { address, source };
    // If its socket does not open, the library may panic instead of saying so.
    UdpSocket::bind(address).map(drop).map_err(bind_error)?;
    let opened = tokio::task::spawn_blocking(move || builder.build()).await;
    opened.map_err(|panic| bind_error(std::io::Error::other(panic)))?.map_err(bind_error)
}

async fn close_when_stopped(handle: DhtHandle) {
    handle.stopped().await;
    handle.0.dht.write().unwrap_or_else(PoisonError::into_inner).take();
}

/// Looks itself up again and again, more and more rarely.
///
/// The library never takes a node into its table that merely asks, so without this the nodes of a
/// young net would know those who came before them and nobody else.
async fn meet_newcomers(handle: DhtHandle, first_pause: Duration) {
    let mut pause = first_pause;
    loop {
        tokio::select! {
            () = handle.stopped() => return,
            () = sleep(pause) => pause = (2 * pause).min(LONGEST_PAUSE_BETWEEN_MEETINGS),
        }
        let meeting = handle.start(|dht| async move {
            let id = *dht.info().await.id();
            Ok(dht.find_node(id).await.len())
        });
        if let Err(error) = finished(meeting).await {
            tracing::debug!(%error, "DHT node did not look itself up");
        }
    }
}

/// A free UDP port on each address. Nobody else uses these addresses, so the ports stay free.
fn free_ports(addresses: &[Ipv4Addr]) -> Result<Vec<SocketAddr>, DhtError> {
    let free_port = |ip: &Ipv4Addr| {
        let address = SocketAddr::from((*ip, 0));
        UdpSocket::bind(address)
            .and_then(|socket| socket.local_addr())
            .map_err(|source| DhtError::Bind { address, source })
    };
    addresses.iter().map(free_port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library falls back to public hosts when its list is absent, and only then.
    #[tokio::test]
    async fn the_bootstrap_list_of_the_library_is_always_present() {
        assert!(format!("{:?}", Dht::builder()).contains("bootstrap: None"), "the check below proves something");
        for bootstrap in [Bootstrap::None, Bootstrap::Hosts(vec![])] {
            let settings = DhtSettings::loopback("127.0.0.1:0".parse().expect("an address"), bootstrap);
            let builder = builder(&settings).await.expect("nothing to resolve");
            assert!(format!("{builder:?}").contains("bootstrap: Some([])"), "{builder:?}");
        }
    }
}
