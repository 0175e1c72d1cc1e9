//! The routes: text in, questions to the node, JSON out.
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use seedbank_types::{Address, Genesis, PaymentId, PaymentState, SignedPayment, Stamp};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Fault, ROUTES};
use crate::json as render;
use crate::listener::Caller;
use crate::{ApiRequest, Reply, SUBMIT_PAYMENTS_MAX, SubmittedPayment, TryLater, servers};

pub(crate) type Questions = mpsc::Sender<ApiRequest>;
pub(crate) type Answer = Result<Json<Value>, Fault>;

pub(crate) fn routes() -> Router<Questions> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/genesis", get(genesis))
        .route("/v1/accounts/{address}", get(account))
        .route("/v1/checkpoint", get(checkpoint))
        .route("/v1/evidence", get(evidence))
        .route("/v1/servers", get(servers::servers))
        .route("/v1/handovers", get(servers::handovers))
        .route("/v1/orders", post(servers::submit))
        .route("/v1/payments", post(submit))
        .route("/v1/payments/{id}", get(payment))
        .fallback(async || Fault::missing("no_such_route", "there is no such route", ROUTES))
        .method_not_allowed_fallback(async || Fault::method())
}

/// Asks the node. A full queue and a dropped reply both mean that it has no time.
pub(crate) async fn ask<T>(questions: &Questions, question: impl FnOnce(Reply<T>) -> ApiRequest) -> Result<T, Fault> {
    let (reply, answer) = oneshot::channel();
    questions.try_send(question(reply)).map_err(|_full_or_stopped| Fault::busy())?;
    answer.await.map_err(|_dropped| Fault::busy())
}

async fn status(State(questions): State<Questions>) -> Answer {
    let status = ask(&questions, |reply| ApiRequest::Status { reply }).await?;
    Ok(Json(render::status(&status)))
}

#[derive(Deserialize)]
struct Format {
    format: Option<String>,
}

async fn genesis(
    State(questions): State<Questions>,
    query: Result<Query<Format>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(format) = query.map_err(|rejection| {
        Fault::bad("bad_query", rejection.body_text(), "Leave the query out, or say ?format=json once.")
    })?;
    let bytes = ask(&questions, |reply| ApiRequest::Genesis { reply }).await?;
    if format.format.as_deref() != Some("json") {
        return Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response());
    }
    let genesis = Genesis::decode(&bytes).map_err(|error| {
        tracing::error!(%error, "the node's genesis cannot be read");
        Fault::busy()
    })?;
    Ok(Json(render::genesis(&genesis)).into_response())
}

/// The last piece of a path, which may be no text at all.
fn piece(path: Result<Path<String>, PathRejection>) -> Result<String, Fault> {
    let bad = |rejection: PathRejection| Fault::bad("bad_path", rejection.body_text(), ROUTES);
    path.map(|Path(piece)| piece).map_err(bad)
}

async fn account(State(questions): State<Questions>, path: Result<Path<String>, PathRejection>) -> Answer {
    let address = piece(path)?;
    let bad = |error: seedbank_types::AddressError| {
        Fault::bad("bad_address", error.to_string(), "Check the address character by character.")
    };
    let Address(id) = address.parse().map_err(bad)?;
    match ask(&questions, |reply| ApiRequest::Account { id, reply }).await? {
        Some(view) => Ok(Json(render::account(&view))),
        None => Err(Fault::missing(
            "unknown_account",
            format!("account {address} was never opened"),
            "It opens with the first payment to it.",
        )),
    }
}

async fn checkpoint(State(questions): State<Questions>) -> Answer {
    match ask(&questions, |reply| ApiRequest::Checkpoint { reply }).await? {
        Some((certificate, grade)) => Ok(Json(render::checkpoint(&certificate, grade))),
        None => {
            Err(Fault::missing("no_checkpoint", "no epoch is certified yet", "Wait for the end of the first epoch."))
        }
    }
}

async fn evidence(State(questions): State<Questions>) -> Answer {
    let evidence = ask(&questions, |reply| ApiRequest::Evidence { reply }).await?;
    let evidence: Vec<Value> = evidence.iter().map(render::evidence).collect();
    Ok(Json(json!({ "evidence": evidence })))
}

async fn payment(State(questions): State<Questions>, path: Result<Path<String>, PathRejection>) -> Answer {
    let id = piece(path)?;
    let bad = |error: seedbank_types::HexError| {
        Fault::bad("bad_payment_id", error.to_string(), "Take the id as the program printed it.")
    };
    let id: PaymentId = id.parse().map_err(bad)?;
    let state = ask(&questions, |reply| ApiRequest::Payment { id, reply }).await?;
    if state == PaymentState::Unknown {
        let message = format!("this server does not know payment {id}");
        return Err(Fault::missing(
            "unknown_payment",
            message,
            "Send it again: the same payment never moves money twice.",
        ));
    }
    Ok(Json(render::payment(&SubmittedPayment { id, state })))
}

/// What was sent, and whether it is the bytes themselves instead of JSON.
pub(crate) fn submitted(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<(Bytes, bool), Fault> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::too_large("the request has more than 512 KiB"),
        _ => Fault::bad("bad_request", rejection.to_string(), "Send it again."),
    })?;
    let is_binary = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream");
    Ok((body, is_binary))
}

async fn submit(
    State(questions): State<Questions>,
    ConnectInfo(Caller(from)): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let (body, is_binary) = submitted(&headers, body)?;
    let (payments, stamps) = if is_binary { (vec![decode(0, &body)?], Vec::new()) } else { payments_in(&body)? };
    let states = ask(&questions, |reply| ApiRequest::Submit { from, payments, stamps, reply }).await?;
    let states = states.map_err(|TryLater { ms }| Fault::too_many("payments", ms))?;
    Ok(submitted_response(&states))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    payments: Vec<String>,
    /// Numbers in hex, of the payments in order.
    #[serde(default)]
    stamps: Vec<String>,
}

fn payments_in(body: &[u8]) -> Result<(Vec<SignedPayment>, Vec<Stamp>), Fault> {
    let next = "Send {\"payments\":[\"<hex>\"]}, with \"stamps\":[\"<hex>\"] if they are asked for, or one payment's bytes \
                as application/octet-stream.";
    let submission: Submission =
        serde_json::from_slice(body).map_err(|error| Fault::bad("bad_json", error.to_string(), next))?;
    match submission.payments.len() {
        0 => return Err(Fault::bad("no_payments", "the list of payments is empty", next)),
        count if count > SUBMIT_PAYMENTS_MAX => {
            return Err(Fault::too_large(format!("{count} payments are too many: at most {SUBMIT_PAYMENTS_MAX}")));
        }
        _ => {}
    }
    let read = |(index, text): (usize, &String)| {
        let bytes = hex::decode(text.trim());
        let bytes = bytes.map_err(|error| Fault::bad("malformed", format!("payment {index}: {error}"), next))?;
        decode(index, &bytes)
    };
    let stamp = |text: &String| {
        let number = u64::from_str_radix(text.trim(), 16);
        number.map(Stamp).map_err(|error| Fault::bad("bad_stamp", format!("stamp {text:?}: {error}"), next))
    };
    let stamps = submission.stamps.iter().take(SUBMIT_PAYMENTS_MAX).map(stamp).collect::<Result<_, _>>()?;
    Ok((submission.payments.iter().enumerate().map(read).collect::<Result<_, _>>()?, stamps))
}

fn decode(index: usize, bytes: &[u8]) -> Result<SignedPayment, Fault> {
    SignedPayment::decode(bytes).map_err(|error| {
        Fault::bad("malformed", format!("payment {index}: {error}"), "Make the payment again with this program.")
    })
}

/// The states of all; if every payment was refused, the first refusal is the answer's error too.
fn submitted_response(submitted: &[SubmittedPayment]) -> Response {
    let payments: Vec<Value> = submitted.iter().map(render::payment).collect();
    let refusals = submitted.iter().map(|one| match one.state {
        PaymentState::Refused(refusal) => Some(refusal),
        _ => None,
    });
    let refusals: Option<Vec<_>> = refusals.collect();
    match refusals.as_deref() {
        Some([first, ..]) => {
            let fault = Fault::refused(*first);
            (fault.status, Json(json!({ "error": fault.json(), "payments": payments }))).into_response()
        }
        _ => Json(json!({ "payments": payments })).into_response(),
    }
}
