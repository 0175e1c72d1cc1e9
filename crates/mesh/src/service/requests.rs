//! Questions and answers between two peers.
use std::io;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{self, Message, OutboundFailure, ResponseChannel};

use super::{EVENTS_NOT_FOR_REQUESTS, Service};
use crate::behaviour::REQUEST_STREAMS_MAX;
use crate::event::{Reply, refusal};
use crate::handle::{AnswerSender, RequestError};
use crate::message::{Request, RequestRefusal};
use crate::{MeshEvent, PeerRef};

/// Own requests that wait for answers.
const ANSWERS_AWAITED_MAX: usize = 1024;
/// Those to one peer: half of the streams of a connection, because the peer's own requests need
/// the other half, and what exceeds the streams is lost without a word.
const ANSWERS_AWAITED_PER_PEER_MAX: usize = REQUEST_STREAMS_MAX / 2;

/// A request of ours that waits for its answer.
#[derive(Debug)]
pub(super) struct Awaited {
    peer: PeerId,
    answer: AnswerSender,
}

impl Service {
    pub(super) fn request(&mut self, peer: PeerId, bytes: Vec<u8>, answer: AnswerSender) {
        if !self.swarm.is_connected(&peer) {
            give(answer, Err(RequestError::NotConnected(PeerRef(peer))));
        } else if self.awaits_too_much_of(peer) {
            give(answer, Err(RequestError::Busy));
        } else {
            let id = self.swarm.behaviour_mut().requests.send_request(&peer, bytes);
            self.answers.insert(id, Awaited { peer, answer });
        }
    }

    fn awaits_too_much_of(&self, peer: PeerId) -> bool {
        let of_peer = self.answers.values().filter(|awaited| awaited.peer == peer).count();
        self.answers.len() >= ANSWERS_AWAITED_MAX || of_peer >= ANSWERS_AWAITED_PER_PEER_MAX
    }

    pub(super) fn respond(&mut self, channel: ResponseChannel<Vec<u8>>, bytes: Vec<u8>) {
        if self.swarm.behaviour_mut().requests.send_response(channel, bytes).is_err() {
            tracing::debug!("an answer came after its connection or its time was over");
        }
    }

    pub(super) fn on_request_event(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(peer, &request, channel);
            }
            request_response::Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some(awaited) = self.answers.remove(&request_id) {
                    give(awaited.answer, Ok(response));
                }
            }
            request_response::Event::OutboundFailure { peer, request_id, error, .. } => {
                let error = self.failure(peer, error);
                if let Some(awaited) = self.answers.remove(&request_id) {
                    give(awaited.answer, Err(error));
                }
            }
            request_response::Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a request was not answered");
            }
            request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(&mut self, peer: PeerId, bytes: &[u8], channel: ResponseChannel<Vec<u8>>) {
        if self.server(&peer).is_none() && !self.conduct.may_ask(peer, Instant::now()) {
            return self.respond(channel, refusal(RequestRefusal::TooMany));
        }
        match Request::decode(bytes) {
            Err(error) => {
                tracing::debug!(%peer, %error, "a request cannot be read");
                self.respond(channel, refusal(RequestRefusal::Malformed));
                self.strike(peer);
            }
            Ok(request) => {
                let reply = Reply::new(channel, self.outlets.commands.clone());
                let event = MeshEvent::Request { from: self.info(&peer), request, reply };
                if !self.tell(event, EVENTS_NOT_FOR_REQUESTS) {
                    tracing::debug!(%peer, "a request was refused as busy: its reply was dropped unanswered");
                }
            }
        }
    }

    fn failure(&mut self, peer: PeerId, failure: OutboundFailure) -> RequestError {
        match failure {
            OutboundFailure::DialFailure => RequestError::NotConnected(PeerRef(peer)),
            OutboundFailure::Timeout => RequestError::Timeout,
            OutboundFailure::UnsupportedProtocols => RequestError::Unsupported,
            OutboundFailure::ConnectionClosed => RequestError::Lost("it was closed".to_owned()),
            OutboundFailure::Io(error) => {
                if is_peers_fault(&error) {
                    self.strike(peer);
                }
                RequestError::Lost(error.to_string())
            }
        }
    }

    /// Counts what no honest peer sends. Servers are never shut out, or a dispute would cost the
    /// quorum its liveness.
    pub(super) fn strike(&mut self, peer: PeerId) {
        if self.server(&peer).is_some() {
            tracing::warn!(%peer, "a server sends what no honest peer sends");
        } else if self.conduct.strike(peer, Instant::now()) {
            tracing::info!(%peer, "a peer is shut out for a minute: it sends what no honest peer sends");
            self.swarm.behaviour_mut().blocked.block_peer(peer);
        }
    }
}

/// Our framing refused it; anything else may be a broken connection.
fn is_peers_fault(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

fn give(answer: AnswerSender, result: Result<Vec<u8>, RequestError>) {
    if answer.send(result).is_err() {
        tracing::trace!("nobody waits for an answer any more");
    }
}
