//! The servers in force, their orders, and how one set of them named the next.
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use seedbank_types::{CommunityId, Epoch, Guarantee, Handover, Hash, PaymentState, Rule, ServerSet, SignedOrder};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Fault;
use crate::json as render;
use crate::routes::{Answer, Questions, ask, submitted};
use crate::{ApiRequest, SubmittedPayment};

/// Who decides, and what the next order must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServersView {
    /// The community.
    pub community: CommunityId,
    /// Its name.
    pub name: String,
    /// The currency's symbol.
    pub symbol: String,
    /// Digits after the point.
    pub decimals: u8,
    /// Whose agreement is enough.
    pub quorum: Rule,
    /// The epoch that is open.
    pub open_epoch: Epoch,
    /// The servers in force.
    pub servers: ServerSet,
    /// Those of the next epoch.
    pub next: ServerSet,
    /// The sequence that the next order must carry.
    pub order_sequence: u64,
}

pub(crate) async fn servers(State(questions): State<Questions>) -> Answer {
    let view = ask(&questions, |reply| ApiRequest::Servers { reply }).await?;
    Ok(Json(view_json(&view)))
}

fn view_json(view: &ServersView) -> Value {
    json!({
        "community": view.community.to_string(),
        "name": view.name,
        "symbol": view.symbol,
        "decimals": view.decimals,
        "quorum": view.quorum.to_string(),
        "open_epoch": view.open_epoch.0,
        "order_sequence": view.order_sequence,
        "servers": set(&view.servers),
        "servers_hash": view.servers.hash().to_string(),
        "next_servers": set(&view.next),
        "next_servers_hash": view.next.hash().to_string(),
        "guarantee": guarantee(&Guarantee::of(&view.servers, view.quorum)),
    })
}

/// Keys with their powers, by number.
fn set(servers: &ServerSet) -> Vec<Value> {
    let members = servers.members().iter();
    members.map(|(key, power)| json!({ "key": key.to_string(), "power": power.to_string() })).collect()
}

/// The guarantee in force in numbers and in words.
pub(crate) fn guarantee(guarantee: &Guarantee) -> Value {
    json!({
        "rule": guarantee.rule.to_string(),
        "servers": guarantee.servers,
        "power": guarantee.power.to_string(),
        "power_needed": guarantee.power_needed.to_string(),
        "may_crash": guarantee.may_crash,
        "may_lie": guarantee.may_lie,
        "words": guarantee.to_string(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    from: String,
}

pub(crate) async fn handovers(
    State(questions): State<Questions>,
    query: Result<Query<From>, QueryRejection>,
) -> Answer {
    let next = "Say ?from= and the servers hash of a set, as /v1/servers and checkpoints name it.";
    let Query(From { from }) = query.map_err(|rejection| Fault::bad("bad_query", rejection.body_text(), next))?;
    let from: Hash = from
        .parse()
        .map_err(|error: seedbank_types::HexError| Fault::bad("bad_servers_hash", error.to_string(), next))?;
    let handovers = ask(&questions, |reply| ApiRequest::Handovers { from, reply }).await?;
    let handovers: Vec<Value> = handovers.iter().map(handover).collect();
    Ok(Json(json!({ "handovers": handovers })))
}

/// The hex is to be verified; the rest is for people.
fn handover(handover: &Handover) -> Value {
    let checkpoint = &handover.certificate.checkpoint;
    json!({
        "epoch": checkpoint.epoch.0,
        "next_servers": set(&handover.next),
        "next_servers_hash": checkpoint.servers.to_string(),
        "handover": hex::encode(handover.encode()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    order: String,
}

pub(crate) async fn submit(
    State(questions): State<Questions>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let (body, is_binary) = submitted(&headers, body)?;
    let order = if is_binary { decode(&body)? } else { order_in(&body)? };
    let SubmittedPayment { id, state } = ask(&questions, |reply| ApiRequest::Order { order, reply }).await?;
    let value = render::payment(&SubmittedPayment { id, state });
    Ok(match state {
        PaymentState::Refused(refusal) => {
            let fault = Fault::refused(refusal);
            (fault.status, Json(json!({ "error": fault.json(), "order": value }))).into_response()
        }
        _ => Json(json!({ "order": value })).into_response(),
    })
}

const NEXT: &str = "Send {\"order\":\"<hex>\"}, or the order's bytes as application/octet-stream.";

fn order_in(body: &[u8]) -> Result<SignedOrder, Fault> {
    let submission: Submission =
        serde_json::from_slice(body).map_err(|error| Fault::bad("bad_json", error.to_string(), NEXT))?;
    let bytes = hex::decode(submission.order.trim());
    decode(&bytes.map_err(|error| Fault::bad("malformed", format!("the order: {error}"), NEXT))?)
}

fn decode(bytes: &[u8]) -> Result<SignedOrder, Fault> {
    SignedOrder::decode(bytes).map_err(|error| Fault::bad("malformed", format!("the order: {error}"), NEXT))
}
