//! What the tasks of one run share: whom to ask, and the history.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use seedbank_types::{Address, Amount, CommunityId, Rule};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Kind;
use crate::api::Api;
use crate::bank::{Deed, Entry, History, Opening};
use crate::founding::{DECIMALS, MINIMUM_FEE};
use crate::testnet::Testnet;

/// How long a client waits for an answer, and how long for the last of several.
const PATIENCE: Patience = Patience { answer: Duration::from_secs(2), round: Duration::from_millis(400) };
const PATIENCE_FAR_AWAY: Patience = Patience { answer: Duration::from_secs(5), round: Duration::from_secs(2) };

#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) answer: Duration,
    pub(crate) round: Duration,
}

/// One run, as its clients see it.
pub(crate) struct Course {
    pub(crate) apis: Vec<Api>,
    pub(crate) powers: Vec<u64>,
    pub(crate) rule: Rule,
    pub(crate) community: CommunityId,
    pub(crate) fee: Amount,
    pub(crate) patience: Patience,
    /// The epoch that was open at the start.
    pub(crate) open_epoch: u64,
    start: Instant,
    entries: Mutex<Vec<Entry>>,
    opening: Opening,
    /// When the payment was signed that was signed last of those that are final.
    newest_final: watch::Sender<Option<Instant>>,
    stop: CancellationToken,
}

impl Course {
    pub(crate) async fn new(testnet: &Testnet, kind: Kind) -> Result<Arc<Self>> {
        let patience = if matches!(kind, Kind::Latency | Kind::Mixed) { PATIENCE_FAR_AWAY } else { PATIENCE };
        let apis = testnet.servers().iter().map(|server| Api::patient(server.api().url(), patience.answer));
        let members = &testnet.trust().servers;
        let power = |number: Option<u8>| number.and_then(|number| members.member(number)).map(|(_, power)| power);
        let powers = testnet.servers().iter().map(|server| power(members.number(&server.key())));
        let status = testnet.servers()[0].api().status().await?;
        Ok(Arc::new(Self {
            apis: apis.collect::<Result<_>>()?,
            powers: powers.collect::<Option<_>>().context("the servers are those of the trust file")?,
            rule: testnet.trust().quorum,
            community: testnet.community(),
            fee: Amount::parse_or_zero(MINIMUM_FEE, DECIMALS)?,
            patience,
            open_epoch: status.open_epoch,
            start: Instant::now(),
            entries: Mutex::default(),
            opening: opening(testnet, status.supply.parse()?).await?,
            newest_final: watch::channel(None).0,
            stop: CancellationToken::new(),
        }))
    }

    /// Writes down what has just been done or told at once.
    pub(crate) fn note(&self, client: u32, deed: Deed) {
        self.note_since(Instant::now(), client, deed);
    }

    /// Writes down what ends now.
    pub(crate) fn note_since(&self, begin: Instant, client: u32, deed: Deed) {
        let micros = |since: Duration| u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let mut entries = self.entries();
        let begin_us = micros(begin.duration_since(self.start));
        entries.push(Entry { begin_us, end_us: micros(self.start.elapsed()), client, deed });
    }

    /// A payment that was signed then is final.
    pub(crate) fn became_final(&self, signed: Instant) {
        self.newest_final.send_modify(|newest| *newest = (*newest).max(Some(signed)));
    }

    /// Waits until a payment is final that was signed after `moment`.
    pub(crate) async fn final_after(&self, moment: Instant) {
        let mut newest = self.newest_final.subscribe();
        // The sender lives as long as this.
        drop(newest.wait_for(|newest| newest.is_some_and(|signed| signed > moment)).await);
    }

    /// Nothing new is begun.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Sleeps, unless it is stopped.
    pub(crate) async fn sleep(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// The newest epoch that any server showed.
    pub(crate) fn newest_epoch(&self) -> u64 {
        let epochs = self.entries();
        let epochs = epochs.iter().filter_map(|entry| match entry.deed {
            Deed::Certificate { epoch, .. } => Some(epoch),
            _ => None,
        });
        epochs.max().unwrap_or(self.open_epoch)
    }

    pub(crate) fn history(&self) -> History {
        History { opening: self.opening.clone(), entries: self.entries().clone() }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn opening(testnet: &Testnet, supply: u64) -> Result<Opening> {
    let accounts = testnet.accounts();
    let mut balances = std::collections::BTreeMap::new();
    for number in 0..accounts.count() {
        let id = accounts.id(number)?;
        balances.insert(id, crate::payments::balance(testnet.servers()[0].api(), &Address(id)).await?);
    }
    Ok(Opening { balances, fee_account: accounts.fee_account()?, supply })
}
