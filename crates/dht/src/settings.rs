//! Where a node listens, whom it asks first, and where it keeps what it knows.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
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
    /// Address of the UDP socket; with port 0 the system picks a port.
    pub bind: SocketAddr,
    /// Address of a second UDP socket, of the other family; the node does without if the system has no such addresses.
    pub also: Option<SocketAddr>,
    /// Whom the node asks first. Nobody, and likewise an empty list, means that it waits for others;
    /// `Public` are the [`PUBLIC_HOSTS`].
    pub bootstrap: Bootstrap,
    /// How long an answer may take. A look-up that meets a dead node takes at least this long.
    pub request_timeout: Duration,
    /// Whether the node answers others and stores for them.
    pub serve: bool,
    /// The file that keeps the nodes it knows and the items it holds, so that a restart is warm.
    pub state: Option<PathBuf>,
}

impl DhtSettings {
    /// A node that does not serve, with the timeout for the wide network. All addresses of one family mean
    /// all of the other, too.
    #[must_use]
    pub const fn new(bind: SocketAddr, bootstrap: Bootstrap) -> Self {
        let also = match bind.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), bind.port())),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), bind.port())),
            _ => None,
        };
        Self { bind, also, bootstrap, request_timeout: REQUEST_TIMEOUT, serve: false, state: None }
    }

    /// A node that does not serve, with the timeout for nets on this machine.
    #[must_use]
    pub fn loopback(bind: SocketAddr, bootstrap: Bootstrap) -> Self {
        Self { request_timeout: REQUEST_TIMEOUT_ON_LOOPBACK, ..Self::new(bind, bootstrap) }
    }

    /// The same settings for a node that answers others and stores for them.
    #[must_use]
    pub fn serving(self) -> Self {
        Self { serve: true, ..self }
    }

    /// The same settings with a second socket, of the other family.
    #[must_use]
    pub fn also(self, address: SocketAddr) -> Self {
        Self { also: Some(address), ..self }
    }

    /// The same settings for a node that keeps what it knows in a file, which need not exist yet.
    #[must_use]
    pub fn keeping(self, state: impl Into<PathBuf>) -> Self {
        Self { state: Some(state.into()), ..self }
    }

    /// Where it listens, checked: at most one address a family, and all or none on loopback.
    pub(crate) fn binds(&self) -> Result<Vec<SocketAddr>, DhtError> {
        let Some(also) = self.also else { return Ok(vec![self.bind]) };
        if also.is_ipv4() == self.bind.is_ipv4() {
            return Err(DhtError::OneFamily { bind: self.bind, also });
        }
        if also.ip().is_loopback() != self.bind.ip().is_loopback() {
            let (bind, far) = if also.ip().is_loopback() { (also, self.bind) } else { (self.bind, also) };
            return Err(DhtError::LeavesLoopback { bind, host: far.to_string() });
        }
        Ok(vec![self.bind, also])
    }

    /// Whether nothing may be sent beyond this machine.
    pub(crate) const fn loopback_only(&self) -> bool {
        self.bind.ip().is_loopback()
    }

    /// Whether whom to ask first is named in a way that may mean other addresses tomorrow.
    pub(crate) fn names_hosts(&self) -> bool {
        self.hosts().iter().any(|host| host.parse::<SocketAddr>().is_err())
    }

    /// The addresses to ask first, of the families that have a socket. Empty only if the settings name nobody.
    pub(crate) async fn bootstrap_addresses(&self) -> Result<Vec<SocketAddr>, DhtError> {
        let hosts = self.hosts();
        self.stay_on_loopback_by_name(&hosts)?;
        let resolved = join_all(hosts.iter().map(|host| resolve(host))).await;
        let mut addresses: Vec<SocketAddr> =
            resolved.into_iter().flatten().filter(|address| self.speaks(address.ip())).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() && !hosts.is_empty() {
            return Err(DhtError::Unresolved(hosts.join(", ")));
        }
        match addresses.iter().find(|address| self.leaves_loopback(address.ip())) {
            Some(address) => Err(DhtError::LeavesLoopback { bind: self.bind, host: address.to_string() }),
            None => Ok(addresses),
        }
    }

    pub(crate) fn hosts(&self) -> Vec<String> {
        match &self.bootstrap {
            Bootstrap::None => vec![],
            Bootstrap::Hosts(hosts) => hosts.clone(),
            Bootstrap::Public => PUBLIC_HOSTS.map(str::to_owned).to_vec(),
        }
    }

    /// A node on loopback takes literal addresses only, so that not even a name server is asked.
    fn stay_on_loopback_by_name(&self, hosts: &[String]) -> Result<(), DhtError> {
        let named = |host: &&String| host.parse::<SocketAddr>().is_err() && !host.starts_with("localhost:");
        match hosts.iter().find(named) {
            Some(host) if self.loopback_only() => Err(DhtError::LeavesLoopback { bind: self.bind, host: host.clone() }),
            _ => Ok(()),
        }
    }

    fn speaks(&self, ip: IpAddr) -> bool {
        std::iter::once(self.bind).chain(self.also).any(|bind| bind.is_ipv4() == ip.is_ipv4())
    }

    /// Whether whoever is asked at this address is not on this machine, though the node must stay there.
    pub(crate) const fn leaves_loopback(&self, ip: IpAddr) -> bool {
        self.loopback_only() && !ip.is_loopback()
    }
}

async fn resolve(host: &str) -> Vec<SocketAddr> {
    match tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host(host)).await {
        Ok(Ok(addresses)) => addresses.collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn on_loopback(bootstrap: Bootstrap) -> DhtSettings {
        DhtSettings::loopback(address("127.0.0.1:0"), bootstrap)
    }

    fn hosts(hosts: &[&str]) -> Bootstrap {
        Bootstrap::Hosts(hosts.iter().map(|host| (*host).to_owned()).collect())
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
        let far = ["192.0.2.1:6881", "router.example:6881"].map(|host| hosts(&["127.0.0.1:1", host]));
        for bootstrap in far.into_iter().chain([Bootstrap::Public]) {
            let result = on_loopback(bootstrap).bootstrap_addresses().await;
            assert!(matches!(result, Err(DhtError::LeavesLoopback { .. })), "{result:?}");
        }
    }

    #[tokio::test]
    async fn hosts_without_an_address_of_the_own_family_are_an_error_and_not_an_empty_list() {
        let settings = on_loopback(hosts(&["[::1]:6881"]));
        assert!(matches!(settings.bootstrap_addresses().await, Err(DhtError::Unresolved(_))));
    }

    #[tokio::test]
    async fn a_node_with_two_sockets_asks_hosts_of_both_families() {
        let settings = on_loopback(hosts(&["[::1]:6881", "127.0.0.1:6881", "127.0.0.1:6881"]));
        let addresses = settings.also(address("[::1]:0")).bootstrap_addresses().await.expect("literal addresses");
        assert_eq!(addresses, [address("127.0.0.1:6881"), address("[::1]:6881")]);
    }

    #[test]
    fn two_sockets_are_of_two_families_and_both_on_loopback_or_neither() {
        let with = |also: &str| on_loopback(Bootstrap::None).also(address(also)).binds();
        assert!(with("[::1]:1").is_ok());
        assert!(matches!(with("127.0.0.2:1"), Err(DhtError::OneFamily { .. })));
        assert!(matches!(with("[2001:db8::1]:1"), Err(DhtError::LeavesLoopback { .. })));
    }
}
