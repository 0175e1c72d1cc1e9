//! `seedbank dht status`: how well the DHT is reached, and what it holds of the community.
mod servers;
mod shown;

use std::net::SocketAddr;

use seedbank_dht::{Bootstrap, DhtError, DhtHealth, Id, PUBLIC_HOSTS, Pong, rendezvous};
use seedbank_types::{CommunityId, InfoHash};
use tokio::task::JoinSet;

use super::ask::{Asker, Way, nobody_answered, resolve};
use super::{peers, ping};
use crate::errors::{Exit, Failure};
use crate::network::dht_failure;
use crate::report::{self, Answer};
use crate::settings::{Settings, Trusted};
use servers::Servers;

/// All that was found out.
#[derive(Debug)]
struct Status {
    hosts: Vec<Host>,
    health: DhtHealth,
    community: Option<Community>,
}

/// Somebody who is asked first.
#[derive(Debug)]
struct Host {
    name: String,
    answer: Result<(SocketAddr, Pong), String>,
}

/// What the DHT holds of a community.
#[derive(Debug)]
struct Community {
    id: Option<CommunityId>,
    servers: Servers,
    /// What everybody on the mesh announces.
    mesh: Option<Announced>,
    /// The newest balances.
    torrent: Option<Announced>,
}

/// An infohash, and who announced it.
#[derive(Debug)]
struct Announced {
    info_hash: InfoHash,
    peers: Vec<SocketAddr>,
}

pub(super) async fn run(settings: &Settings, way: &Way) -> Result<Answer, Failure> {
    let asker = way.start().await?;
    let (hosts, ()) = tokio::join!(hosts(&asker, way), look_around(&asker));
    let community = match &way.trusted {
        Some(trusted) => Some(Community::read(settings, trusted, &asker).await?),
        None => None,
    };
    let health = asker.dht.health().await.map_err(|error| dht_failure(&error))?;
    let status = Status { hosts, health, community };
    Ok(Answer::new(shown::words(&status), shown::json(&status)).with(status.failure()))
}

impl Status {
    /// What makes it useless; the lesser evils are lines of their own.
    fn failure(&self) -> Option<Failure> {
        if self.health.known_nodes() == 0 {
            return Some(nobody_answered());
        }
        let servers = &self.community.as_ref()?.servers;
        let Some((newest, _)) = servers.records.newest().filter(|_| servers.records.any_believed()) else {
            let message = "the DHT has no record signed by the servers of the trust file";
            let next = "Check that the trust file is the one of this community, and that its servers have been running for an epoch.";
            return Some(Failure::new(Exit::NoRecord, message, next));
        };
        let age_ms = report::now().since(newest.checkpoint.time);
        let is_stale = servers.records.judge().is_stale(age_ms);
        is_stale.then(|| {
            let message = format!("the newest record is {} old", report::age(age_ms));
            Failure::new(Exit::Stale, message, "Check that a quorum of the servers runs and that they hear each other.")
        })
    }
}

impl Community {
    async fn read(settings: &Settings, trusted: &Trusted, asker: &Asker) -> Result<Self, Failure> {
        let servers = Servers::read(settings, trusted, asker).await?;
        let id = servers.records.judge().community();
        let newest = servers.records.newest().map(|(newest, _)| newest.checkpoint.snapshot.info_hash);
        let (mesh, torrent) =
            tokio::join!(Announced::find(asker, id.map(|id| rendezvous(&id))), Announced::find(asker, newest));
        Ok(Self { id, servers, mesh, torrent })
    }
}

impl Announced {
    async fn find(asker: &Asker, info_hash: Option<InfoHash>) -> Option<Self> {
        let info_hash = info_hash?;
        Some(Self { info_hash, peers: peers::find(asker, info_hash, |_peer| ()).await })
    }
}

/// Asks everybody who is asked first.
async fn hosts(asker: &Asker, way: &Way) -> Vec<Host> {
    let names = match &way.bootstrap {
        Bootstrap::None => Vec::new(),
        Bootstrap::Hosts(hosts) => hosts.clone(),
        Bootstrap::Public => PUBLIC_HOSTS.map(str::to_owned).to_vec(),
    };
    let mut asked = JoinSet::new();
    for (number, name) in names.into_iter().enumerate() {
        let (dht, stays) = (asker.dht.clone(), way.stays());
        asked.spawn(async move {
            let answer = match resolve(&name, stays).await {
                Ok(address) => match ping::ping(&dht, address).await {
                    Ok(pong) => Ok((address, pong)),
                    Err(DhtError::NoAnswer(_)) => Err("did not answer".to_owned()),
                    Err(error) => Err(error.to_string()),
                },
                Err(failure) => Err(failure.message),
            };
            (number, Host { name, answer })
        });
    }
    let mut hosts = asked.join_all().await;
    hosts.sort_by_key(|(number, _)| *number);
    hosts.into_iter().map(|(_, host)| host).collect()
}

/// Looks for the own place, to get to know others; that nobody is found shows in the health.
async fn look_around(asker: &Asker) {
    let own = match asker.dht.health().await {
        Ok(health) => health.networks.first().and_then(|network| Id::from_hex(&network.id)),
        Err(_stopped) => None,
    };
    if let Err(error) = asker.dht.find_nodes(own.unwrap_or_default()).await {
        tracing::debug!(%error, "nobody was found around the own place");
    }
}
