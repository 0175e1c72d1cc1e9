//! Where a node listens and whom it asks first.
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use futures::future::join_all;
use seedbank_types::Bootstrap;

use crate::DhtError;

/// Hosts that anybody may ask for a way into the public DHT.
pub const PUBLIC_HOSTS: [&str; 3] =
    ["router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "dht.libtorrent.org:25401"];

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT_ON_LOOPBACK: Duration = Duration::from_millis(200);
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// Settings of a DHT node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhtSettings {
    /// Address of the UDP socket, IPv4; with port 0 the system picks a port.
    pub bind: SocketAddr,
    /// Whom the node asks first. Nobody, and likewise an empty list, means that it waits for others;
    /// `Public` are the [`PUBLIC_HOSTS`].
    pub bootstrap: Bootstrap,
    /// How long an answer may take. A look-up that meets a dead node takes at least this long.
    pub request_timeout: Duration,
    /// Whether the node answers others and stores for them.
    pub serve: bool,
}

impl DhtSettings {
    /// A node that does not serve, with the timeout for the wide network.
    #[must_use]
    pub const fn new(bind: SocketAddr, bootstrap: Bootstrap) -> Self {
        Self { bind, bootstrap, request_timeout: REQUEST_TIMEOUT, serve: false }
    }

    /// A node that does not serve, with the timeout for nets on this machine.
    #[must_use]
    pub const fn loopback(bind: SocketAddr, bootstrap: Bootstrap) -> Self {
        Self { bind, bootstrap, request_timeout: REQUEST_TIMEOUT_ON_LOOPBACK, serve: false }
    }

    /// The same settings for a node that answers others and stores for them.
    #[must_use]
    pub fn serving(self) -> Self {
        Self { serve: true, ..self }
    }

    pub(crate) fn bind_v4(&self) -> Result<SocketAddrV4, DhtError> {
        match self.bind {
            SocketAddr::V4(address) => Ok(address),
            address @ SocketAddr::V6(_) => Err(DhtError::NotIpv4(address)),
        }
    }

    /// The addresses to ask first. Empty only if the settings name nobody.
    pub(crate) async fn bootstrap_addresses(&self) -> Result<Vec<SocketAddrV4>, DhtError> {
        let hosts = match &self.bootstrap {
            Bootstrap::None => vec![],
            Bootstrap::Hosts(hosts) => hosts.clone(),
            Bootstrap::Public => PUBLIC_HOSTS.map(str::to_owned).to_vec(),
        };
        self.stay_on_loopback_by_name(&hosts)?;
        let resolved = join_all(hosts.iter().map(|host| resolve(host))).await;
        let addresses: Vec<SocketAddrV4> = resolved.into_iter().flatten().collect();
        if addresses.is_empty() && !hosts.is_empty() {
            return Err(DhtError::Unresolved(hosts.join(", ")));
        }
        match addresses.iter().find(|address| self.leaves_loopback(*address.ip())) {
            Some(address) => Err(DhtError::LeavesLoopback { bind: self.bind, host: address.to_string() }),
            None => Ok(addresses),
        }
    }

    /// A node on loopback takes literal addresses only, so that not even a name server is asked.
    fn stay_on_loopback_by_name(&self, hosts: &[String]) -> Result<(), DhtError> {
        let named = |host: &&String| host.parse::<SocketAddr>().is_err() && !host.starts_with("localhost:");
        match hosts.iter().find(named) {
            Some(host) if self.bind.ip().is_loopback() => {
                Err(DhtError::LeavesLoopback { bind: self.bind, host: host.clone() })
            }
            _ => Ok(()),
        }
    }

    fn leaves_loopback(&self, address: Ipv4Addr) -> bool {
        self.bind.ip().is_loopback() && !address.is_loopback()
    }
}

async fn resolve(host: &str) -> Vec<SocketAddrV4> {
    match tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host(host)).await {
        Ok(Ok(addresses)) => addresses.filter_map(v4).collect(),
        Ok(Err(error)) => {
            tracing::warn!(host, %error, "DHT bootstrap host has no address");
            vec![]
        }
        Err(_elapsed) => {
            tracing::warn!(host, "DHT bootstrap host was not resolved in time");
            vec![]
        }
    }
}

const fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_loopback(bootstrap: Bootstrap) -> DhtSettings {
        DhtSettings::loopback("127.0.0.1:0".parse().expect("an address"), bootstrap)
    }

    #[tokio::test]
    async fn no_bootstrap_and_an_empty_list_name_nobody() {
        for bootstrap in [Bootstrap::None, Bootstrap::Hosts(vec![])] {
            let addresses = on_loopback(bootstrap).bootstrap_addresses().await.expect("nothing to resolve");
            assert_eq!(addresses, []);
        }
    }

    #[tokio::test]
    async fn a_node_on_loopback_refuses_everything_beyond() {
        let far = ["192.0.2.1:6881", "router.example:6881"];
        let far = far.map(|host| Bootstrap::Hosts(vec!["127.0.0.1:1".to_owned(), host.to_owned()]));
        for bootstrap in far.into_iter().chain([Bootstrap::Public]) {
            let result = on_loopback(bootstrap).bootstrap_addresses().await;
            assert!(matches!(result, Err(DhtError::LeavesLoopback { .. })), "{result:?}");
        }
    }

    #[tokio::test]
    async fn hosts_without_an_ipv4_address_are_an_error_and_not_an_empty_list() {
        let settings = on_loopback(Bootstrap::Hosts(vec!["[::1]:6881".to_owned()]));
        assert!(matches!(settings.bootstrap_addresses().await, Err(DhtError::Unresolved(_))));
    }

    #[test]
    fn an_ipv6_socket_is_refused() {
        let settings = DhtSettings::new("[::1]:0".parse().expect("an address"), Bootstrap::None);
        assert!(matches!(settings.bind_v4(), Err(DhtError::NotIpv4(_))));
    }
}
