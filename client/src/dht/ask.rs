//! The node that asks: where its sockets are bound, and whom it asks first.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use seedbank_dht::{Bootstrap, DhtHandle, DhtSettings};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::errors::{Exit, Failure};
use crate::network::dht_failure;
use crate::settings::{Settings, Trusted, default_ip};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const LOCAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// What to do if more than loopback is wanted.
pub(super) const STAYS_NEXT: &str =
    "The hosts of --bootstrap or of the trust file, or --ip, keep it there: give --ip 0.0.0.0, or others.";

/// The way into the DHT.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) bootstrap: Bootstrap,
    /// The community, if one is meant.
    pub(super) trusted: Option<Trusted>,
    ip: IpAddr,
    /// A second local address, which need not be there.
    also: Option<IpAddr>,
}

/// A running node; it stops when this is dropped.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) dht: DhtHandle,
    _stops: DropGuard,
}

impl Way {
    /// By the hosts of the command line, else by the trust file.
    pub(super) fn new(settings: &Settings, hosts: Vec<String>) -> Result<Self, Failure> {
        if !hosts.is_empty() {
            let bootstrap = bootstrap(hosts)?;
            let trusted = if settings.names_trust() { settings.trusted_if_any()? } else { None };
            return Ok(Self::by(settings, bootstrap, trusted));
        }
        let next = "Give the community's --trust FILE, or --bootstrap HOST:PORT of any DHT node.";
        let trusted = settings.trusted_if_any()?.ok_or_else(|| Failure::usage("it is not said whom to ask", next))?;
        if trusted.file.bootstrap == Bootstrap::None {
            let message = "the trust file names no way into the DHT: nobody can be asked";
            let next =
                "Add a line `bootstrap = host:port`, or `bootstrap = public`, to it, or give --bootstrap HOST:PORT.";
            return Err(Failure::new(Exit::NoPeers, message, next));
        }
        Ok(Self::by(settings, trusted.file.bootstrap.clone(), Some(trusted)))
    }

    fn by(settings: &Settings, bootstrap: Bootstrap, trusted: Option<Trusted>) -> Self {
        let (ip, also) = match settings.ip() {
            Some(ip) => (ip, None),
            None => local_ips(&bootstrap),
        };
        Self { bootstrap, trusted, ip, also }
    }

    /// To one address, without asking anybody else.
    pub(super) fn to(settings: &Settings, address: SocketAddr, stays: bool) -> Result<Self, Failure> {
        let default = match (stays, address.is_ipv4()) {
            (true, true) => LOCAL_V4,
            (true, false) => LOCAL_V6,
            (false, true) => V4,
            (false, false) => V6,
        };
        let ip = settings.ip().unwrap_or(default);
        if ip.is_ipv4() != address.is_ipv4() {
            let message = format!("{address} cannot be asked from {ip}: one is IPv4 and the other IPv6");
            return Err(Failure::usage(message, "Give another --ip, or none."));
        }
        Ok(Self { bootstrap: Bootstrap::None, trusted: None, ip, also: None })
    }

    /// Whether nothing leaves this machine.
    pub(super) const fn stays(&self) -> bool {
        self.ip.is_loopback()
    }

    /// Starts the node.
    pub(super) async fn start(&self) -> Result<Asker, Failure> {
        let (bind, bootstrap) = (SocketAddr::new(self.ip, 0), self.bootstrap.clone());
        let settings = match self.ip.is_loopback() {
            true => DhtSettings::loopback(bind, bootstrap),
            false => DhtSettings::new(bind, bootstrap),
        };
        let settings = match self.also {
            Some(also) => settings.also(SocketAddr::new(also, 0)),
            None => settings,
        };
        let stop = CancellationToken::new();
        let dht = seedbank_dht::spawn(settings, stop.clone()).await.map_err(|error| dht_failure(&error))?;
        Ok(Asker { dht, _stops: stop.drop_guard() })
    }
}

impl Asker {
    /// Why a look-up found nothing: because nobody answered, or because nothing is there.
    pub(super) async fn nothing(&self, message: &str, next: &str) -> Failure {
        match self.dht.known_nodes().await {
            Ok(0) => nobody_answered(),
            Ok(_) => Failure::new(Exit::NotFound, message, next),
            Err(error) => dht_failure(&error),
        }
    }
}

pub(super) fn nobody_answered() -> Failure {
    let next = "Check the network and the hosts to ask first, each with `seedbank dht ping HOST:PORT`.";
    Failure::new(Exit::NoPeers, "no node of the DHT answered", next)
}

/// Whether nothing may leave this machine, if anything says so or not.
pub(super) fn stays_on_loopback(settings: &Settings, hosts: Vec<String>) -> Result<Option<bool>, Failure> {
    if let Some(ip) = settings.ip() {
        return Ok(Some(ip.is_loopback()));
    }
    if !hosts.is_empty() {
        return Ok(Some(default_ip(&bootstrap(hosts)?).is_loopback()));
    }
    Ok(settings.trusted_if_any()?.map(|trusted| trusted.ip.is_loopback()))
}

/// The first address of a host, of IPv4 if it has one. Whoever stays on loopback asks no name server.
pub(super) async fn resolve(host: &str, stays: bool) -> Result<SocketAddr, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    if stays && !host.starts_with("localhost:") {
        let message = format!("{host} is not looked up: this client stays on loopback");
        return Err(Failure::usage(message, STAYS_NEXT));
    }
    let failure = |why: &str| {
        let message = format!("{host} has no address{why}");
        Failure::new(Exit::NoPeers, message, "Check the name and the network, or give the address in numbers.")
    };
    let found = tokio::net::lookup_host(host).await.map_err(|error| failure(&format!(": {error}")))?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| failure(""))
}

/// Hosts of the command line.
fn bootstrap(hosts: Vec<String>) -> Result<Bootstrap, Failure> {
    if hosts == ["public"] {
        return Ok(Bootstrap::Public);
    }
    for host in &hosts {
        check_host_and_port("--bootstrap", host)?;
    }
    Ok(Bootstrap::Hosts(hosts))
}

/// Whether this is written as `host:port` is.
pub(super) fn check_host_and_port(what: &str, text: &str) -> Result<(), Failure> {
    let is_host = |host: &str| !host.is_empty() && !host.contains(char::is_whitespace);
    let is_good = |(host, port): (&str, &str)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port != 0);
    let is_bare_v6 = text.parse::<Ipv6Addr>().is_ok();
    if !is_bare_v6 && text.rsplit_once(':').is_some_and(is_good) {
        return Ok(());
    }
    let next = "Give an address and its UDP port, like 192.0.2.7:6881 or [2001:db8::7]:6881.";
    Err(Failure::usage(format!("{what} is {text:?}; it must be HOST:PORT"), next))
}

/// A DHT that is wholly on this machine is asked from loopback, others by both families.
fn local_ips(bootstrap: &Bootstrap) -> (IpAddr, Option<IpAddr>) {
    let ip = default_ip(bootstrap);
    let is = |host: &String, is_v6: bool| host.parse::<SocketAddr>().is_ok_and(|host| host.is_ipv6() == is_v6);
    match bootstrap {
        _ if !ip.is_loopback() => (V4, Some(V6)),
        Bootstrap::Hosts(hosts) if hosts.iter().all(|host| is(host, true)) => (LOCAL_V6, None),
        Bootstrap::Hosts(hosts) if hosts.iter().any(|host| is(host, true)) => (LOCAL_V4, Some(LOCAL_V6)),
        _ => (ip, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_port_is_wrong_use() {
        for good in ["192.0.2.7:6881", "[2001:db8::7]:1", "dht.example:65535"] {
            assert!(check_host_and_port("x", good).is_ok(), "{good}");
        }
        for bad in ["", "192.0.2.7", ":6881", "a b:1", "host:0", "host:65536", "2001:db8::7", "::1"] {
            let failure = check_host_and_port("--bootstrap", bad).expect_err(bad);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(&format!("--bootstrap is {bad:?}")), "{}", failure.message);
        }
    }

    #[test]
    fn public_is_all_or_nothing() {
        let hosts = |hosts: &[&str]| bootstrap(hosts.iter().map(|host| (*host).to_owned()).collect());
        assert_eq!(hosts(&["public"]), Ok(Bootstrap::Public));
        assert!(hosts(&["public", "192.0.2.7:1"]).is_err());
    }

    #[test]
    fn the_families_are_those_of_the_hosts() {
        let of = |hosts: &[&str]| local_ips(&Bootstrap::Hosts(hosts.iter().map(|host| (*host).to_owned()).collect()));
        assert_eq!(of(&["127.0.0.1:1", "localhost:2"]), (LOCAL_V4, None));
        assert_eq!(of(&["[::1]:1"]), (LOCAL_V6, None));
        assert_eq!(of(&["127.0.0.1:1", "[::1]:1"]), (LOCAL_V4, Some(LOCAL_V6)));
        assert_eq!(of(&["127.0.0.1:1", "192.0.2.7:1"]), (V4, Some(V6)));
        assert_eq!(local_ips(&Bootstrap::Public), (V4, Some(V6)));
    }
}
