//! Questions of others: what they are told, and what is kept for them.
use std::net::SocketAddr;

use super::{Family, Node, VERSION};
use crate::krpc::{Body, DecodeError, KrpcError, Message, Method, Query, Response, TransactionId, Want};
use crate::place::is_local;
use crate::{Id, Item, NodeInfo, Time};

/// Nodes named in an answer (BEP5).
const NODES_NAMED: usize = 8;
/// Peers named in an answer, so that it fits into one packet everywhere.
const PEERS_NAMED_V4: usize = 50;
const PEERS_NAMED_V6: usize = 25;
/// Bytes of a packet that passes everywhere in one piece.
const PACKET_BYTES_V4: usize = 1_400;
const PACKET_BYTES_V6: usize = 1_232;

impl Node {
    pub(super) fn query(
        &mut self,
        now: Time,
        from: SocketAddr,
        transaction: TransactionId,
        read_only: bool,
        query: Query,
    ) {
        if !self.config.serve && !self.vouches(&from, &query.method) {
            return;
        }
        if !self.limits.admits(from, now) {
            self.traffic.limited += 1;
            return;
        }
        let asker = NodeInfo { id: query.id, address: from };
        let body = match self.answer(now, &asker, query) {
            Ok(response) => Body::Response(response),
            Err(error) => Body::Error(error),
        };
        self.reply(now, from, transaction, body);
        if self.limits.is_short(from, now) && self.upkeep.may_meet(now) {
            self.check(now, from);
        }
        if self.config.serve && !read_only {
            self.meet(now, asker);
        }
    }

    /// A read-only node answers no queries (BEP43), but the ping of one that it has asked itself: so
    /// that one learns that nobody else asks in its name.
    fn vouches(&self, to: &SocketAddr, method: &Method) -> bool {
        *method == Method::Ping && self.tables[Family::of(to).index()].knows(*to)
    }

    /// A question that makes no sense deserves to hear so.
    pub(super) fn malformed(&mut self, now: Time, from: SocketAddr, error: DecodeError) {
        if let Some(transaction) = error.transaction
            && self.config.serve
            && self.limits.admits(from, now)
        {
            self.reply(now, from, transaction, Body::Error(error.error));
        }
    }

    /// Whoever has not proved its address, and has asked much, gets what is short, or nothing.
    fn reply(&mut self, now: Time, to: SocketAddr, transaction: TransactionId, body: Body) {
        let version = Some(VERSION.to_vec());
        let mut message = Message { transaction, version, read_only: !self.config.serve, ip: Some(to), body };
        let bytes = fitting(&mut message, to);
        if self.limits.may_send(to, bytes.len(), now) {
            return self.send_bytes(to, bytes);
        }
        self.traffic.limited += 1;
        if let Body::Response(response) = &mut message.body {
            response.shorten();
            let bytes = message.encode();
            if self.limits.may_send(to, bytes.len(), now) {
                self.send_bytes(to, bytes);
            }
        }
    }

    fn answer(&mut self, now: Time, asker: &NodeInfo, query: Query) -> Result<Response, KrpcError> {
        let from = asker.address;
        let mut response = Response::new(self.own(Family::of(&from)));
        match query.method {
            Method::Ping => {}
            Method::FindNode { target } | Method::Unknown { target: Some(target) } => {
                self.name_nodes(&mut response, &target, query.want, from);
            }
            Method::GetPeers { info_hash } => {
                self.name_nodes(&mut response, &info_hash, query.want, from);
                response.values = self.peers_for(now, &info_hash, from);
                response.token = Some(self.tokens.issue(from.ip(), &info_hash).to_vec());
            }
            Method::Get { target, seq } => {
                self.name_nodes(&mut response, &target, query.want, from);
                self.show_item(now, &mut response, &target, seq);
                response.token = Some(self.tokens.issue(from.ip(), &target).to_vec());
            }
            Method::AnnouncePeer { info_hash, port, token } => {
                self.expect_token(now, from, &info_hash, &token)?;
                self.peers.announce(info_hash, SocketAddr::new(from.ip(), port.unwrap_or(from.port())), now);
            }
            Method::Put { token, item, cas } => self.put_for(now, from, &token, item, cas)?,
            Method::Unknown { target: None } => {
                return Err(KrpcError::new(KrpcError::METHOD_UNKNOWN, "this method is not known here"));
            }
        }
        Ok(response)
    }

    /// Who can answer is worth knowing: an unknown asker is asked back, if there is a place for it.
    fn meet(&mut self, now: Time, asker: NodeInfo) {
        let table = &mut self.tables[Family::of(&asker.address).index()];
        table.asked(&asker, now);
        if table.wants(&asker, now) && self.upkeep.may_meet(now) {
            self.check(now, asker.address);
        }
    }

    fn name_nodes(&self, response: &mut Response, target: &Id, want: Want, from: SocketAddr) {
        let own_family = Family::of(&from);
        let nothing_said = !want.v4 && !want.v6;
        let near = |family: Family, wanted: bool| {
            let named = wanted || (nothing_said && family == own_family);
            if named && self.has(family) { self.nearest_for(target, family, from) } else { vec![] }
        };
        response.nodes = near(Family::V4, want.v4);
        response.nodes6 = near(Family::V6, want.v6);
    }

    /// Whoever asks from beyond has no use for nodes of our own networks.
    fn nearest_for(&self, target: &Id, family: Family, from: SocketAddr) -> Vec<NodeInfo> {
        let useful = |node: &NodeInfo| node.address != from && (is_local(from.ip()) || !is_local(node.address.ip()));
        let mut near = self.tables[family.index()].closest(target, NODES_NAMED + 1);
        near.retain(useful);
        near.truncate(NODES_NAMED);
        near
    }

    fn peers_for(&mut self, now: Time, info_hash: &Id, from: SocketAddr) -> Vec<SocketAddr> {
        let count = if from.is_ipv4() { PEERS_NAMED_V4 } else { PEERS_NAMED_V6 };
        let pick = self.number();
        self.peers.find(info_hash, from.is_ipv6(), is_local(from.ip()), count, pick, now)
    }

    /// The item without its value, if the asker has this number already.
    fn show_item(&self, now: Time, response: &mut Response, target: &Id, known: Option<i64>) {
        let Some(item) = self.items.get(target, now) else { return };
        response.seq = item.seq();
        let has_it = matches!((item.seq(), known), (Some(seq), Some(known)) if seq <= known);
        response.item = (!has_it).then(|| item.clone());
    }

    fn put_for(
        &mut self,
        now: Time,
        from: SocketAddr,
        token: &[u8],
        item: Item,
        cas: Option<i64>,
    ) -> Result<(), KrpcError> {
        self.expect_token(now, from, &item.target(), token)?;
        if !item.is_genuine() {
            return Err(KrpcError::new(KrpcError::BAD_SIGNATURE, "the signature is wrong"));
        }
        self.items.put(item, cas, from.ip(), now)
    }

    fn expect_token(&mut self, now: Time, from: SocketAddr, target: &Id, token: &[u8]) -> Result<(), KrpcError> {
        if !self.tokens.verifies(token, from.ip(), target) {
            return Err(KrpcError::new(KrpcError::PROTOCOL, "the token is not one given to this address of late"));
        }
        self.limits.proved(from, now);
        Ok(())
    }
}

impl Response {
    /// Leaves out what is long.
    fn shorten(&mut self) {
        self.item = None;
        self.values.clear();
        self.nodes.truncate(NODES_NAMED / 4);
        self.nodes6.truncate(NODES_NAMED / 4);
    }
}

/// The packet; beside an item there may be no room for all the nodes, least of all for those of the other family.
fn fitting(message: &mut Message, to: SocketAddr) -> Vec<u8> {
    let bytes_max = if to.is_ipv4() { PACKET_BYTES_V4 } else { PACKET_BYTES_V6 };
    loop {
        let bytes = message.encode();
        let Body::Response(response) = &mut message.body else { return bytes };
        let (own, other) = match to {
            SocketAddr::V4(_) => (&mut response.nodes, &mut response.nodes6),
            SocketAddr::V6(_) => (&mut response.nodes6, &mut response.nodes),
        };
        if bytes.len() <= bytes_max || (other.pop().is_none() && own.pop().is_none()) {
            return bytes;
        }
    }
}
