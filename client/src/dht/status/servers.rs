//! The servers' records as the DHT holds them.
use seedbank_dht::{Item, LookUp};
use seedbank_types::{Epoch, ServerKey, TimeMs};
use tokio::task::JoinSet;

use super::super::ask::Asker;
use super::super::item::{Said, as_found, target_of};
use crate::discovery::Records;
use crate::errors::Failure;
use crate::network::dht_failure;
use crate::report;
use crate::settings::{Settings, Trusted};
use crate::sync;

/// A record is put at the 20 nodes nearest to it; fewer than these of many are few.
const HOLDERS_FEW: u32 = 4;
/// In a small net the nodes are few, too.
const ANSWERED_MANY: u32 = 10;
/// Servers put their records one after another: so many epochs behind is nothing yet.
const EPOCHS_BEHIND: u64 = 2;

/// All servers of the trust file.
#[derive(Debug)]
pub(super) struct Servers {
    /// What all of them say together.
    pub(super) records: Records,
    pub(super) each: Vec<Server>,
}

/// What the DHT holds of one server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) key: ServerKey,
    pub(super) look_up: LookUp,
    pub(super) said: Option<Said>,
    pub(super) wrong: Option<Wrong>,
}

/// What is not as it should be, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) next: &'static str,
}

impl Servers {
    /// Reads all records at once, and judges them together.
    pub(super) async fn read(settings: &Settings, trusted: &Trusted, asker: &Asker) -> Result<Self, Failure> {
        let (mut records, _genesis) = sync::start(&settings.home, trusted)?;
        let found = look_up_all(trusted, asker).await?;
        let now = report::now();
        for item in found.iter().filter_map(|(_, look_up)| look_up.item.as_ref()) {
            let Some(record) = as_found(item) else { continue };
            let taken = records.take(&record, now);
            taken.map_err(|conflict| sync::store_conflict(&settings.home, &records, &conflict))?;
        }
        let each = found.into_iter().map(|(key, look_up)| Server::new(key, look_up, trusted, &records, now));
        Ok(Self { each: each.collect(), records })
    }
}

async fn look_up_all(trusted: &Trusted, asker: &Asker) -> Result<Vec<(ServerKey, LookUp)>, Failure> {
    let mut asked = JoinSet::new();
    for key in trusted.file.servers.keys() {
        let dht = asker.dht.clone();
        asked.spawn(async move { (key, dht.look_up(target_of(key, &[]), vec![]).await) });
    }
    let mut found = Vec::new();
    for (key, look_up) in asked.join_all().await {
        found.push((key, look_up.map_err(|error| dht_failure(&error))?));
    }
    found.sort_by_key(|(key, _)| *key);
    Ok(found)
}

impl Server {
    fn new(key: ServerKey, look_up: LookUp, trusted: &Trusted, records: &Records, now: TimeMs) -> Self {
        let said = look_up.item.as_ref().and_then(|item| Said::new(item, Some(trusted), now));
        let judged = records.by_server().into_iter().find(|(server, _)| *server == key).map(|(_, judged)| judged);
        let newest = records.newest().map_or(Epoch(0), |(newest, _)| newest.checkpoint.epoch);
        let judged = judged.unwrap_or_else(|| Err("it is none of the servers".to_owned()));
        let wrong = wrong(&look_up, judged, newest);
        Self { key, look_up, said, wrong }
    }

    pub(super) fn seq(&self) -> Option<i64> {
        self.look_up.item.as_ref().and_then(Item::seq)
    }
}

fn wrong(look_up: &LookUp, judged: Result<Epoch, String>, newest: Epoch) -> Option<Wrong> {
    let wrong = |what: String, next| Some(Wrong { what, next });
    let LookUp { item, holders, answered, .. } = look_up;
    match (item, judged) {
        (None, _) if *answered == 0 => {
            wrong("no node answered".to_owned(), "Reach the DHT first: see the lines of the hosts above.")
        }
        (None, _) => wrong(
            "no record found".to_owned(),
            "Check that this server runs, that its UDP port for the DHT is open, and that its clock is right.",
        ),
        (Some(_), Err(why)) => wrong(
            format!("its record is not believed: {why}"),
            "Check that the trust file is this community's, and the clocks here and there.",
        ),
        (Some(_), Ok(epoch)) if newest.0 > epoch.0.saturating_add(EPOCHS_BEHIND) => wrong(
            format!("its record is {} epochs behind the newest", newest.0 - epoch.0),
            "Check that this server runs and hears the others.",
        ),
        (Some(_), Ok(_)) if *holders < HOLDERS_FEW && *answered >= ANSWERED_MANY => wrong(
            "only few nodes hold its record".to_owned(),
            "Servers put it again with each epoch: look again later, then check the server's UDP port for the DHT.",
        ),
        (Some(_), Ok(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(holders: u32, answered: u32) -> LookUp {
        let item = (holders > 0).then(|| Item::Immutable { value: b"1:x".to_vec() });
        LookUp { item, holders, answered, asked: 20 }
    }

    fn what(look_up: &LookUp, judged: Result<u64, &str>, newest: u64) -> String {
        let judged = judged.map(Epoch).map_err(str::to_owned);
        wrong(look_up, judged, Epoch(newest)).map(|wrong| wrong.what).unwrap_or_default()
    }

    #[test]
    fn a_fresh_record_at_many_nodes_is_fine() {
        assert_eq!(what(&look_up(12, 18), Ok(9), 9), "");
        assert_eq!(what(&look_up(12, 18), Ok(9), 11), "", "the others may just have been faster");
        assert_eq!(what(&look_up(3, 3), Ok(9), 9), "", "there are no more nodes");
    }

    #[test]
    fn each_evil_is_told() {
        assert_eq!(what(&look_up(0, 0), Err("x"), 9), "no node answered");
        assert_eq!(what(&look_up(0, 18), Err("x"), 9), "no record found");
        assert!(what(&look_up(5, 18), Err("too few signatures"), 9).ends_with("too few signatures"));
        assert_eq!(what(&look_up(5, 18), Ok(6), 9), "its record is 3 epochs behind the newest");
        assert_eq!(what(&look_up(3, 18), Ok(9), 9), "only few nodes hold its record");
    }
}
