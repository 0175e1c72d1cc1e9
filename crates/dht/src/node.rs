//! The start of a node, and of several that make a net.
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::future::try_join_all;
use seedbank_dht_proto::{Config, Node, Time};
use seedbank_types::Bootstrap;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::driver::{COMMANDS_MAX, Driver};
use crate::sockets::{FAMILIES, Sockets, family};
use crate::state::{self, Left};
use crate::{DhtError, DhtHandle, DhtSettings, keeper};

const LOCAL_NET_READY_LIMIT: Duration = Duration::from_secs(10);
/// A local node that knows this many others (or all) finds everything.
const LOCAL_NET_KNOWN_NODES: usize = 8;
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// How often a node that was given names looks whether anybody it knows is still there; more and more rarely
/// while it asks for their addresses again in vain.
const LOOK_FOR_WAY_IN_FIRST: Duration = Duration::from_secs(15);
const LOOK_FOR_WAY_IN_LAST: Duration = Duration::from_secs(5 * 60);

/// Starts a node, which runs until `stop` is cancelled.
///
/// Hosts without an address are an error only for a node that does not serve and remembers nobody:
/// others go on, and look the hosts up again until they know somebody.
pub async fn spawn(settings: DhtSettings, stop: CancellationToken) -> Result<DhtHandle, DhtError> {
    let sockets = Sockets::open(&settings.binds()?).await?;
    start(settings, sockets, stop).await
}

/// Starts one serving node on each of these loopback addresses; all know each other at the end.
pub async fn spawn_local_net(addresses: &[Ipv4Addr], stop: &CancellationToken) -> Result<Vec<DhtHandle>, DhtError> {
    let open = addresses.iter().map(|ip| async move { Sockets::open(&[SocketAddr::from((*ip, 0))]).await });
    let sockets = try_join_all(open).await?;
    let binds: Vec<SocketAddr> = sockets.iter().flat_map(|sockets| sockets.local_addresses().to_vec()).collect();
    let nodes = sockets.into_iter().zip(&binds).map(|(sockets, bind)| {
        let others = binds.iter().filter(|other| *other != bind).map(ToString::to_string).collect();
        start(DhtSettings::loopback(*bind, Bootstrap::Hosts(others)).serving(), sockets, stop.clone())
    });
    let nodes = try_join_all(nodes).await?;
    let enough = LOCAL_NET_KNOWN_NODES.min(nodes.len().saturating_sub(1));
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

async fn start(settings: DhtSettings, sockets: Sockets, stop: CancellationToken) -> Result<DhtHandle, DhtError> {
    let left = state::load(settings.state.clone(), settings.loopback_only());
    let (left, bootstrap) = tokio::join!(left, settings.bootstrap_addresses());
    let bootstrap = way_in(&settings, &left, bootstrap.and_then(|addresses| reached(addresses, &settings, &sockets)))?;
    let [v4, v6] = FAMILIES.map(|family| sockets.has(family));
    let config = Config {
        v4,
        v6,
        loopback_only: settings.loopback_only(),
        request_timeout: settings.request_timeout,
        serve: settings.serve,
        bootstrap,
    };
    let Left { file, saved, own } = left;
    let (started, node) = (Instant::now(), Node::new(config, seed()?, saved, Time::default()));
    let (commands, to_obey) = mpsc::channel(COMMANDS_MAX);
    let closed = CancellationToken::new();
    let handle = DhtHandle::new(commands, sockets.local_addresses().to_vec(), closed.clone());
    let driver = Driver::new(node, sockets, to_obey, file, started);
    tracing::debug!(local_address = %handle.local_address(), serve = settings.serve, "DHT node starts");
    tokio::spawn(stop_in_the_end(driver, stop.clone(), closed));
    own.into_iter().for_each(|item| drop(tokio::spawn(keeper::put_back(handle.clone(), item))));
    if settings.names_hosts() {
        tokio::spawn(stop.run_until_cancelled_owned(look_for_way_in(handle.clone(), settings)));
    }
    Ok(handle)
}

async fn stop_in_the_end(driver: Driver, stop: CancellationToken, closed: CancellationToken) {
    let _closed_even_if_it_panics = closed.drop_guard();
    driver.run(stop).await;
}

/// Those of a family that has a socket: a second one may not have been had.
fn reached(addresses: Vec<SocketAddr>, settings: &DhtSettings, sockets: &Sockets) -> Result<Vec<SocketAddr>, DhtError> {
    let (reached, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| sockets.has(family(address.ip())));
    if reached.is_empty() && !others.is_empty() {
        return Err(DhtError::Unresolved(settings.hosts().join(", ")));
    }
    Ok(reached)
}

/// Whom to ask first. To go on without anybody makes sense only for those who have time, or know others.
fn way_in(
    settings: &DhtSettings,
    left: &Left,
    resolved: Result<Vec<SocketAddr>, DhtError>,
) -> Result<Vec<SocketAddr>, DhtError> {
    let knows_others = left.saved.as_ref().is_some_and(|saved| !saved.nodes.is_empty());
    match resolved {
        Err(error @ DhtError::Unresolved(_)) if settings.serve || knows_others => {
            tracing::warn!("{error}; it is tried again until somebody is known");
            Ok(vec![])
        }
        resolved => resolved,
    }
}

/// Names may have had no addresses when the node started, as on a computer without a network, or
/// have others now.
async fn look_for_way_in(dht: DhtHandle, settings: DhtSettings) {
    let mut pause = LOOK_FOR_WAY_IN_FIRST;
    loop {
        sleep(pause).await;
        match dht.health().await {
            Ok(health) if health.known_nodes() > 0 && !health.cut_off => {
                pause = LOOK_FOR_WAY_IN_FIRST;
                continue;
            }
            Ok(_) => {}
            Err(_stopped) => return,
        }
        pause = (2 * pause).min(LOOK_FOR_WAY_IN_LAST);
        match settings.bootstrap_addresses().await {
            Ok(addresses) => dht.bootstrap_at(addresses).await,
            Err(error) => tracing::debug!(%error, "still no way into the DHT"),
        }
    }
}

fn seed() -> Result<[u8; 32], DhtError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| DhtError::NoRandomness(error.to_string()))?;
    Ok(seed)
}
