//! The local DHT: a process with a handful of nodes that know only each other.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// What the process of the local DHT writes when its nodes know each other.
#[derive(Debug, Serialize, Deserialize)]
pub struct DhtAddresses {
    /// Its process.
    pub pid: u32,
    /// Where the nodes listen.
    pub nodes: Vec<SocketAddr>,
}

/// What the process of the local DHT does, until `stop`.
pub async fn run(home: &Path, addresses: &[Ipv4Addr], stop: CancellationToken) -> Result<()> {
    let nodes = seedbank_dht::spawn_local_net(addresses, &stop).await.context("the local DHT does not start")?;
    let nodes = nodes.iter().map(seedbank_dht::DhtHandle::local_address).collect();
    let text = serde_json::to_vec(&DhtAddresses { pid: std::process::id(), nodes })?;
    std::fs::write(home.join("addresses.json"), text)
        .with_context(|| format!("{} cannot be written", home.display()))?;
    stop.cancelled().await;
    Ok(())
}
