//! Questions of this node: sent, waited for, answered or given up.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::tasks::TaskKey;
use super::upkeep::LOST_IN_A_ROW_MAX;
use super::{Family, Node, VERSION, bytes};
use crate::krpc::{Body, KrpcError, Message, Method, Query, Response, TransactionId, Want};
use crate::{Id, NodeInfo, Pong, Time};

/// Transaction ids of ours.
const TRANSACTION_BYTES: usize = 4;

/// Why something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A step of a task's look-up.
    LookUp(TaskKey),
    /// A task stores there.
    Store(TaskKey),
    /// A task pings.
    Ping(TaskKey),
    /// Is a known node, or one that asked us something, still there?
    Check,
}

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Question {
    to: SocketAddr,
    purpose: Purpose,
    sent: Time,
    slow_at: Time,
    lost_at: Time,
    /// Whether an item was asked for, which many nodes do not understand.
    is_get: bool,
}

type Transaction = [u8; TRANSACTION_BYTES];

/// Questions that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    questions: BTreeMap<Transaction, Question>,
    /// When something is to be said about a question: first that it is slow, then that it is lost.
    due: BTreeSet<(Time, Transaction)>,
    /// Whom a [`Purpose::Check`] is under way to.
    checked: BTreeSet<SocketAddr>,
}

impl Pending {
    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn is_checking(&self, address: &SocketAddr) -> bool {
        self.checked.contains(address)
    }

    fn insert(&mut self, transaction: Transaction, question: Question) {
        if question.purpose == Purpose::Check {
            self.checked.insert(question.to);
        }
        self.due.insert((question.slow_at, transaction));
        self.questions.insert(transaction, question);
    }

    /// Takes out the question that this answers, if it comes from the one who was asked.
    fn take(&mut self, from: SocketAddr, transaction: &TransactionId) -> Option<Question> {
        let transaction = Transaction::try_from(transaction.as_bytes()).ok()?;
        self.questions.get(&transaction).filter(|question| question.to == from)?;
        self.remove(&transaction)
    }

    /// Takes out everything that was asked there.
    fn take_all(&mut self, to: SocketAddr) -> Vec<Question> {
        let there = self.questions.iter().filter(|(_, question)| question.to == to);
        let there: Vec<Transaction> = there.map(|(transaction, _)| *transaction).collect();
        there.iter().filter_map(|transaction| self.remove(transaction)).collect()
    }

    fn remove(&mut self, transaction: &Transaction) -> Option<Question> {
        let question = self.questions.remove(transaction)?;
        self.due.remove(&(question.slow_at, *transaction));
        self.due.remove(&(question.lost_at, *transaction));
        if question.purpose == Purpose::Check {
            self.checked.remove(&question.to);
        }
        Some(question)
    }

    /// The next question that has become slow or lost.
    fn overdue(&mut self, now: Time) -> Option<Overdue> {
        let (due, transaction) = *self.due.first().filter(|(due, _)| *due <= now)?;
        let question = self.questions.get(&transaction)?;
        if due >= question.lost_at {
            return self.remove(&transaction).map(Overdue::Lost);
        }
        let (to, purpose, lost_at) = (question.to, question.purpose, question.lost_at);
        self.due.remove(&(due, transaction));
        self.due.insert((lost_at, transaction));
        Some(Overdue::Slow(to, purpose))
    }
}

enum Overdue {
    Slow(SocketAddr, Purpose),
    Lost(Question),
}

impl Node {
    /// Sends a query and waits for its answer.
    pub(super) fn ask(&mut self, now: Time, to: SocketAddr, method: Method, purpose: Purpose) {
        let transaction = self.fresh_transaction();
        let lost_at = now + self.config.request_timeout;
        let slow_at = lost_at.min(now + self.round_trips.slow_after());
        let is_get = matches!(method, Method::Get { .. });
        self.pending.insert(transaction, Question { to, purpose, sent: now, slow_at, lost_at, is_get });
        let message = Message {
            transaction: TransactionId::new(&transaction).expect("four bytes are few enough"),
            version: Some(VERSION.to_vec()),
            read_only: !self.config.serve,
            ip: None,
            body: Body::Query(Query { id: self.own(Family::of(&to)), want: self.want(&method), method }),
        };
        self.send(to, &message);
    }

    /// Asks whether somebody is still there, unless that is being asked already.
    pub(super) fn check(&mut self, now: Time, to: SocketAddr) {
        if !self.pending.is_checking(&to) {
            self.ask(now, to, Method::Ping, Purpose::Check);
        }
    }

    pub(super) fn response(
        &mut self,
        now: Time,
        from: SocketAddr,
        transaction: &TransactionId,
        (ip, version): (Option<SocketAddr>, Option<Vec<u8>>),
        response: Response,
    ) {
        let Some(question) = self.pending.take(from, transaction) else {
            self.traffic.malformed += 1;
            return;
        };
        let rtt = now.since(question.sent);
        self.round_trips.sample(rtt);
        self.last_answer = Some(now);
        self.lost_in_a_row = 0;
        self.limits.proved(from, now);
        let node = NodeInfo { id: response.id, address: from };
        self.tables[Family::of(&from).index()].answered(node, now);
        if let Some(seen) = ip {
            self.seen_at(now, from.ip(), seen.ip());
        }
        match question.purpose {
            Purpose::LookUp(key) => self.look_up_answered(now, key, node, response),
            Purpose::Store(key) => self.store_answered(now, key, from, Ok(())),
            Purpose::Ping(key) => self.ping_answered(key, Some(Pong { id: response.id, version, rtt, seen: ip })),
            Purpose::Check => {}
        }
    }

    pub(super) fn error(&mut self, now: Time, from: SocketAddr, transaction: &TransactionId, error: KrpcError) {
        let Some(question) = self.pending.take(from, transaction) else {
            self.traffic.malformed += 1;
            return;
        };
        self.limits.proved(from, now);
        self.lost_in_a_row = 0;
        match question.purpose {
            Purpose::LookUp(key) if question.is_get && error.code == KrpcError::METHOD_UNKNOWN => {
                self.ask_the_way(now, key, from);
            }
            Purpose::LookUp(key) => self.look_up_failed(now, key, from),
            Purpose::Store(key) => self.store_answered(now, key, from, Err(Some(error))),
            Purpose::Ping(key) => self.ping_answered(key, None),
            // Who cannot even answer a ping is of no use to anybody.
            Purpose::Check => self.tables[Family::of(&from).index()].failed(from),
        }
    }

    /// A packet could not even be sent: nobody need be waited for there.
    pub(super) fn unsent(&mut self, now: Time, to: SocketAddr) {
        for question in self.pending.take_all(to) {
            self.give_up(now, &question);
        }
    }

    /// Says of the questions whose time has come that they are slow or lost.
    pub(super) fn expire_pending(&mut self, now: Time) {
        while let Some(overdue) = self.pending.overdue(now) {
            match overdue {
                Overdue::Slow(to, Purpose::LookUp(key)) => self.look_up_slow(now, key, to),
                Overdue::Slow(to, Purpose::Store(key)) => self.store_slow(now, key, to),
                Overdue::Slow(..) => {}
                Overdue::Lost(question) => self.lost(now, &question),
            }
        }
    }

    fn lost(&mut self, now: Time, question: &Question) {
        self.lost_in_a_row = self.lost_in_a_row.saturating_add(1);
        // While nobody answers at all it is the network that fails, not this node.
        if self.last_answer >= Some(question.sent) {
            self.tables[Family::of(&question.to).index()].failed(question.to);
        }
        if self.lost_in_a_row == LOST_IN_A_ROW_MAX {
            self.upkeep.seek_way_in(now);
        }
        self.give_up(now, question);
    }

    fn give_up(&mut self, now: Time, question: &Question) {
        match question.purpose {
            Purpose::LookUp(key) => self.look_up_failed(now, key, question.to),
            Purpose::Store(key) => self.store_answered(now, key, question.to, Err(None)),
            Purpose::Ping(key) => self.ping_answered(key, None),
            Purpose::Check => {}
        }
    }

    /// Somebody says how it sees us. If enough agree, and the own id does not follow from that
    /// address, the node takes one that does (BEP42).
    fn seen_at(&mut self, now: Time, voter: IpAddr, seen: IpAddr) {
        let family = if seen.is_ipv4() { Family::V4 } else { Family::V6 };
        let changed = self.external[family.index()].vote(voter, seen, now);
        if changed && !self.own(family).follows_from(seen) {
            let own = Id::following_from(seen, bytes(&mut self.random));
            self.tables[family.index()].rehome(own, now);
            self.items.rehome([self.own(Family::V4), self.own(Family::V6)]);
            // The new neighbours do not know of this node yet, nor it of them.
            self.upkeep.look_itself_up_soon(now);
        }
    }

    /// Only queries that are answered with nodes name the families that are wanted.
    const fn want(&self, method: &Method) -> Want {
        match method {
            Method::FindNode { .. } | Method::GetPeers { .. } | Method::Get { .. } => self.wants(),
            _ => Want { v4: false, v6: false },
        }
    }

    fn fresh_transaction(&mut self) -> Transaction {
        loop {
            let transaction = bytes(&mut self.random);
            if !self.pending.questions.contains_key(&transaction) {
                return transaction;
            }
        }
    }
}
