//! Servers that keep a record in the network, and clients that look for it.
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]
use std::collections::BTreeMap;
use std::time::Duration;

use seedbank_dht_proto::{Id, Item, Job, MutableItem, Outcome, Report, TaskId, Time};
use seedbank_types::ServerSecret;

use super::net::{HostId, Net, Told};

const SALT: &[u8] = b"seedbank";

/// A record under the key of one server.
#[derive(Debug)]
pub(crate) struct Record {
    secret: ServerSecret,
    host: HostId,
    pub(crate) target: Id,
    /// The newest number, and when it was stored; 0: nothing is.
    pub(crate) seq: i64,
    pub(crate) put_at: Time,
    /// The put under way.
    putting: Option<(TaskId, i64)>,
    pub(crate) put_every: Duration,
    next_put: Time,
    /// How the puts went.
    pub(crate) puts: Vec<Outcome>,
}

impl Record {
    /// A record that its server puts for the first time at `first`.
    pub(crate) fn new(net: &mut Net, host: HostId, first: Time) -> Self {
        let secret = ServerSecret::from_bytes(&net.random.bytes());
        let mut record = Self {
            secret,
            host,
            target: Id::default(),
            seq: 0,
            put_at: Time::default(),
            putting: None,
            put_every: Duration::from_secs(3600),
            next_put: first,
            puts: vec![],
        };
        record.target = record.item(1).target();
        record
    }

    /// The item of that number, about as long as a record of Seedbank.
    pub(crate) fn item(&self, seq: i64) -> Item {
        let value = format!("300:{seq:0>300}").into_bytes();
        Item::Mutable(MutableItem::sign(&self.secret, SALT.to_vec(), seq, value))
    }

    /// Puts the next number at another time than planned.
    pub(crate) const fn put_next_at(&mut self, at: Time) {
        self.next_put = at;
    }

    pub(crate) const fn next_put(&self) -> Time {
        self.next_put
    }

    /// Puts the next number, if the time has come.
    pub(crate) fn go_on(&mut self, net: &mut Net) {
        if self.next_put <= net.now {
            self.next_put = net.now + self.put_every;
            let item = self.item(self.seq + 1);
            self.putting = Some((net.start(self.host, Job::Put { item, cas: None }), self.seq + 1));
        }
    }

    pub(crate) fn hear(&mut self, told: &Told) {
        let Some((_, seq)) = self.putting.filter(|(task, _)| *task == told.task) else { return };
        if let Report::Done(outcome) = &told.report {
            self.putting = None;
            if outcome.stored > 0 {
                (self.seq, self.put_at) = (seq, told.at);
            }
            self.puts.push(outcome.clone());
        }
    }
}

/// One question of a try: the record of one key.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) record: usize,
    /// The number that had been stored when the try began, and how long before.
    pub(crate) due: i64,
    pub(crate) age: Duration,
    pub(crate) first: Option<Duration>,
    pub(crate) seq: Option<i64>,
    pub(crate) complete: Option<(Duration, Outcome)>,
}

/// A client asks for some records at once.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) client: HostId,
    pub(crate) fresh: bool,
    began: Time,
    pub(crate) asked: BTreeMap<TaskId, Asked>,
}

impl Try {
    pub(crate) fn begin(net: &mut Net, client: HostId, fresh: bool, records: &[Record], which: &[usize]) -> Self {
        let began = net.now;
        let ask = |record: &usize| {
            let Record { target, seq, put_at, .. } = &records[*record];
            let task = net.start(client, Job::Get { target: *target, salt: SALT.to_vec() });
            let (due, age) = (*seq, began.since(*put_at));
            (task, Asked { record: *record, due, age, first: None, seq: None, complete: None })
        };
        let asked = which.iter().map(ask).collect();
        Self { client, fresh, began, asked }
    }

    pub(crate) fn hear(&mut self, told: Told) {
        let took = told.at.since(self.began);
        let Some(asked) = self.asked.get_mut(&told.task) else { return };
        match told.report {
            Report::Item(item) => {
                asked.first.get_or_insert(took);
                asked.seq = asked.seq.max(item.seq());
            }
            Report::Done(outcome) => asked.complete = Some((took, outcome)),
            Report::Peer(_) => {}
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.asked.values().all(|asked| asked.complete.is_some())
    }
}
