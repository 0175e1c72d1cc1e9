//! How many payments each peer may hand in: their signatures cost more than anything else that peers
//! can ask for.
//!
//! A stranger has an allowance of payments a second, counted by address, and forged payments cost it a
//! multiple. Servers are counted apart and have no such rate. Of what may wait for the check at once
//! nobody, server or not, takes more than its share, so that whoever comes finds room.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use seedbank_mesh::PeerInfo;
use seedbank_types::ServerKey;

/// Payments a second that one address may hand in, unless set otherwise.
const PAYMENTS_PER_SECOND: u32 = 500;
/// The same for programs on this machine, which are the operator's.
const LOCAL_PAYMENTS_PER_SECOND: u32 = 20_000;
/// At least so many may come at once, as many as two requests hold.
const BURST_MIN: u64 = 1_000;
/// So many seconds' worth may come at once.
const BURST_SECONDS: u64 = 2;
/// What a forged payment costs, in good ones.
const FORGED_COST: u64 = 100;
/// An address is held off for so long at most: others may share it.
const DEBT_SECONDS_MAX: u64 = 10;
/// Payments of strangers that may wait for the check of their signatures: about half a second on two cores.
const CHECKING_STRANGERS_MAX: usize = 1 << 14;
/// The same for what servers pass on, which others have checked.
const CHECKING_SERVERS_MAX: usize = 1 << 15;
/// Requests of one source that are answered at once.
const REQUESTS_MAX: usize = 64;
/// When to try again if the check of signatures is what is busy.
const CHECKING_MS: u32 = 200;
/// Sources that are remembered; the one that has been quiet for longest is forgotten first.
const SOURCES_MAX: usize = 16_384;

/// Who hands payments in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A server of the set.
    Server(ServerKey),
    /// Anybody else, by address: keys cost nothing. Of IPv6 the first 64 bits count.
    Stranger(IpAddr),
}

impl Source {
    pub(crate) const fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// How many payments of all like it may be checked at once.
    const fn checking_max(&self) -> usize {
        if self.is_server() { CHECKING_SERVERS_MAX } else { CHECKING_STRANGERS_MAX }
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(six) if !six.is_loopback() => {
                Self::Stranger(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into())
            }
            _ => Self::Stranger(address),
        }
    }
}

impl From<&PeerInfo> for Source {
    fn from(peer: &PeerInfo) -> Self {
        peer.server.map_or_else(|| peer.address.ip().into(), Self::Server)
    }
}

#[derive(Debug)]
struct Account {
    /// Thousandths of payments that may still come; below 0 after forgeries.
    credit: i64,
    credited: Instant,
    /// Payments that wait for the check.
    checking: usize,
    /// Requests under way.
    requests: usize,
}

/// The allowances of all sources; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Allowances {
    per_second: Option<u32>,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    accounts: BTreeMap<Source, Account>,
    /// Strangers and servers of whom something is being checked.
    busy: [usize; 2],
}

impl Allowances {
    /// `per_second` payments for each address, or as many as suit where the address is.
    pub(crate) fn new(per_second: Option<u32>) -> Self {
        Self { per_second, books: Arc::default() }
    }

    fn rate(&self, source: Source) -> u64 {
        let is_local = matches!(source, Source::Stranger(address) if address.is_loopback());
        let usual = if is_local { LOCAL_PAYMENTS_PER_SECOND } else { PAYMENTS_PER_SECOND };
        u64::from(self.per_second.unwrap_or(usual))
    }

    /// Room for one more request of a source. `None`: too many of it are under way.
    pub(crate) fn begin(&self, source: Source, now: Instant) -> Option<Underway> {
        let books = &mut *self.books();
        let account = books.account(source, self.rate(source), now);
        if account.requests >= REQUESTS_MAX {
            return None;
        }
        account.requests += 1;
        Some(Underway { allowances: self.clone(), source })
    }

    /// Room for the check of payments that cost so much, or in how many milliseconds to try again.
    pub(crate) fn take(&self, source: Source, cost: usize, now: Instant) -> Result<Checking, u32> {
        let books = &mut *self.books();
        let busy = books.busy[usize::from(source.is_server())];
        let account = books.account(source, self.rate(source), now);
        let is_first = account.checking == 0;
        if !is_first && account.checking + cost > source.checking_max() / busy {
            return Err(CHECKING_MS);
        }
        if !source.is_server() {
            account.spend(cost, self.rate(source))?;
        }
        account.checking += cost;
        books.busy[usize::from(source.is_server())] += usize::from(is_first && cost > 0);
        Ok(Checking { allowances: self.clone(), source, cost })
    }

    /// A source handed in forged payments, which no honest one does.
    fn punish(&self, source: Source, forged: usize) {
        let cost = thousandths(forged as u64 * FORGED_COST);
        let most = thousandths(self.rate(source) * DEBT_SECONDS_MAX);
        if let Some(account) = self.books().accounts.get_mut(&source) {
            account.credit = account.credit.saturating_sub(cost).max(-most);
        }
    }

    fn checked(&self, source: Source, cost: usize) {
        let books = &mut *self.books();
        let Some(account) = books.accounts.get_mut(&source).filter(|account| account.checking > 0) else { return };
        account.checking = account.checking.saturating_sub(cost);
        books.busy[usize::from(source.is_server())] -= usize::from(account.checking == 0);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// What is known of a source, with what it has earned until now.
    fn account(&mut self, source: Source, per_second: u64, now: Instant) -> &mut Account {
        if self.accounts.len() >= SOURCES_MAX && !self.accounts.contains_key(&source) {
            self.forget_one();
        }
        let burst = thousandths((per_second * BURST_SECONDS).max(BURST_MIN));
        let fresh = || Account { credit: burst, credited: now, checking: 0, requests: 0 };
        let account = self.accounts.entry(source).or_insert_with(fresh);
        let elapsed = u64::try_from(now.saturating_duration_since(account.credited).as_millis()).unwrap_or(u64::MAX);
        let earned = i64::try_from(elapsed.saturating_mul(per_second)).unwrap_or(i64::MAX);
        account.credit = account.credit.saturating_add(earned).min(burst);
        account.credited += Duration::from_millis(elapsed);
        account
    }

    /// Whoever has something under way stays, and whoever owes something if anybody else can go.
    fn forget_one(&mut self) {
        let idle = |account: &Account| account.checking == 0 && account.requests == 0;
        let idle = self.accounts.iter().filter(|(_, account)| idle(account));
        let least = idle.min_by_key(|(_, account)| (account.credit < 0, account.credited)).map(|(source, _)| *source);
        least.and_then(|source| self.accounts.remove(&source));
    }
}

impl Account {
    /// Spends the allowance, or says in how many milliseconds there will be enough.
    fn spend(&mut self, payments: usize, per_second: u64) -> Result<(), u32> {
        let left = self.credit - thousandths(payments as u64);
        if left >= 0 {
            self.credit = left;
            return Ok(());
        }
        let ms = left.unsigned_abs().div_ceil(per_second.max(1));
        Err(u32::try_from(ms).unwrap_or(u32::MAX))
    }
}

fn thousandths(payments: u64) -> i64 {
    i64::try_from(payments.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

/// A request under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Underway {
    allowances: Allowances,
    source: Source,
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some(account) = self.allowances.books().accounts.get_mut(&self.source) {
            account.requests = account.requests.saturating_sub(1);
        }
    }
}

/// Payments that are being checked, until this is dropped.
#[derive(Debug)]
pub(crate) struct Checking {
    allowances: Allowances,
    source: Source,
    cost: usize,
}

impl Checking {
    /// So many of them are forged.
    pub(crate) fn punish(&self, forged: usize) {
        if forged > 0 {
            self.allowances.punish(self.source, forged);
        }
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.allowances.checked(self.source, self.cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(number: u8) -> Source {
        IpAddr::from([192, 0, 2, number]).into()
    }

    #[test]
    fn beyond_rate_and_burst_a_stranger_is_told_when_to_come_back() {
        let (allowances, now) = (Allowances::new(Some(500)), Instant::now());
        let take = |at| allowances.take(stranger(1), 500, at).map(drop);
        assert_eq!([take(now), take(now), take(now)], [Ok(()), Ok(()), Err(1_000)]);
        assert_eq!(take(now + Duration::from_millis(400)), Err(600));
        assert_eq!(take(now + Duration::from_secs(1)), Ok(()));
        assert!(allowances.take(stranger(2), 500, now).is_ok(), "others are counted apart");
    }

    #[test]
    fn forgeries_hold_an_address_off_for_a_while() {
        let (allowances, now) = (Allowances::new(Some(500)), Instant::now());
        allowances.take(stranger(1), 10, now).expect("room").punish(5);
        assert!(allowances.take(stranger(1), 400, now).is_ok(), "a mistake is forgiven");
        allowances.take(stranger(1), 10, now).expect("room").punish(500);
        let wait = allowances.take(stranger(1), 10, now).map(drop).expect_err("it owes");
        assert!((10_000..11_000).contains(&wait), "{wait}");
        assert!(allowances.take(stranger(2), 500, now).is_ok());
    }

    #[test]
    fn nobody_takes_all_places_of_the_check() {
        let (allowances, now) = (Allowances::new(Some(u32::MAX)), Instant::now());
        let fill = |source| std::iter::from_fn(|| allowances.take(source, 500, now).ok()).collect::<Vec<_>>();
        let mut all = fill(stranger(1));
        assert_eq!(all.len(), CHECKING_STRANGERS_MAX / 500);
        let half = fill(stranger(2));
        assert_eq!(half.len(), CHECKING_STRANGERS_MAX / 2 / 500, "whoever comes finds room");
        assert_eq!(fill(Source::Server(ServerKey([1; 32]))).len(), CHECKING_SERVERS_MAX / 500);
        all.truncate(5);
        assert!(allowances.take(stranger(1), 500, now).is_ok());
        all.clear();
        half.into_iter().for_each(drop);
        assert_eq!(allowances.books().busy, [0; 2]);
    }

    #[test]
    fn requests_under_way_are_bounded_by_source() {
        let (allowances, now) = (Allowances::new(Some(500)), Instant::now());
        let mut held: Vec<_> = (0..REQUESTS_MAX).map(|_| allowances.begin(stranger(1), now).expect("room")).collect();
        assert!(allowances.begin(stranger(1), now).is_none() && allowances.begin(stranger(2), now).is_some());
        held.pop();
        assert!(allowances.begin(stranger(1), now).is_some());
    }

    #[test]
    fn who_owes_is_remembered_and_memory_is_bounded() {
        let (allowances, now) = (Allowances::new(Some(500)), Instant::now());
        allowances.take(stranger(1), 10, now).expect("room").punish(500);
        for number in 0..u32::try_from(SOURCES_MAX).expect("few") + 10 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            drop(allowances.take(address.into(), 1, now));
        }
        assert_eq!(allowances.books().accounts.len(), SOURCES_MAX);
        assert!(allowances.take(stranger(1), 1, now).is_err());
    }

    #[test]
    fn an_ipv6_address_stands_for_its_network() {
        let at = |text: &str| Source::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(at("2001:db8:1:2:3::4"), at("2001:db8:1:2:5::6"));
        assert_ne!(at("2001:db8:1:2::4"), at("2001:db8:1:3::4"));
    }
}
