//! Where the servers were seen, and when a lost one is dialed again. Pure: `now` comes from outside.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use seedbank_types::ServerKey;

/// First wait before a lost server is dialed again; doubled after each failure.
const REDIAL_FIRST: Duration = Duration::from_millis(200);
/// Longest wait.
const REDIAL_LAST: Duration = Duration::from_secs(5);
/// Addresses remembered of one server; the oldest is forgotten first.
const ADDRESSES_MAX: usize = 4;

#[derive(Debug, Default)]
struct Link {
    addresses: Vec<SocketAddr>,
    wait: Option<Duration>,
    due: Option<Instant>,
}

/// One entry for each server of which an address is known.
#[derive(Debug, Default)]
pub(super) struct ServerLinks {
    links: BTreeMap<ServerKey, Link>,
}

impl ServerLinks {
    /// Remembers where a server can be reached; the newest address comes first.
    pub(super) fn seen(&mut self, server: ServerKey, address: SocketAddr) {
        let addresses = &mut self.links.entry(server).or_default().addresses;
        addresses.retain(|known| *known != address);
        addresses.insert(0, address);
        addresses.truncate(ADDRESSES_MAX);
    }

    /// It is connected: nothing to do.
    pub(super) fn connected(&mut self, server: &ServerKey) {
        if let Some(link) = self.links.get_mut(server) {
            (link.wait, link.due) = (None, None);
        }
    }

    /// It is not connected (any more), or could not be dialed: wait, longer each time.
    pub(super) fn lost(&mut self, server: &ServerKey, now: Instant) {
        if let Some(link) = self.links.get_mut(server) {
            let wait = link.wait.map_or(REDIAL_FIRST, |wait| (wait * 2).min(REDIAL_LAST));
            (link.wait, link.due) = (Some(wait), Some(now + wait));
        }
    }

    /// The servers to dial now. Each stays silent until [`ServerLinks::lost`] is said of it again.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(ServerKey, Vec<SocketAddr>)> {
        let due = self.links.iter_mut().filter(|(_, link)| link.due.is_some_and(|due| due <= now));
        due.map(|(server, link)| {
            link.due = None;
            (*server, link.addresses.clone())
        })
        .collect()
    }

    /// Forgets whoever is no server any more.
    pub(super) fn retain(&mut self, is_server: impl Fn(&ServerKey) -> bool) {
        self.links.retain(|server, _| is_server(server));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerKey = ServerKey([1; 32]);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_lost_server_is_dialed_again_with_growing_waits_up_to_five_seconds() {
        let (mut links, mut now) = (ServerLinks::default(), Instant::now());
        links.seen(SERVER, address(1));
        let mut waits = Vec::new();
        for _ in 0..7 {
            links.lost(&SERVER, now);
            let lost = now;
            while links.take_due(now).is_empty() {
                now += Duration::from_millis(100);
            }
            waits.push((now - lost).as_millis());
            assert!(links.take_due(now + REDIAL_LAST).is_empty(), "dialing: not due again");
        }
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
        links.connected(&SERVER);
        links.lost(&SERVER, now);
        assert_eq!(links.take_due(now + REDIAL_FIRST), [(SERVER, vec![address(1)])]);
    }

    #[test]
    fn the_newest_four_addresses_are_kept() {
        let (mut links, now) = (ServerLinks::default(), Instant::now());
        for port in [1, 2, 3, 4, 5, 3] {
            links.seen(SERVER, address(port));
        }
        links.lost(&SERVER, now);
        assert_eq!(links.take_due(now + REDIAL_FIRST)[0].1, [address(3), address(5), address(4), address(2)]);
    }

    #[test]
    fn who_was_never_seen_or_is_no_server_is_not_dialed() {
        let (mut links, now) = (ServerLinks::default(), Instant::now());
        links.lost(&SERVER, now);
        assert!(links.take_due(now + REDIAL_LAST).is_empty());
        links.seen(SERVER, address(1));
        links.lost(&SERVER, now);
        links.retain(|_| false);
        assert!(links.take_due(now + REDIAL_LAST).is_empty());
    }
}
