//! Errors as the API writes them: `{"error":{"code","message","next"}}`.
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use seedbank_types::Refusal;
use serde_json::{Value, json};

/// Where to go instead.
pub(crate) const ROUTES: &str = "Ask /v1/status, /v1/genesis, /v1/accounts/ADDRESS, /v1/checkpoint, /v1/servers, /v1/handovers, /v1/evidence or /v1/payments/ID, or post to /v1/payments or /v1/orders.";

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    next: &'static str,
    /// When to try again, in milliseconds, if that is known.
    retry_ms: Option<u32>,
    /// Zero bits that a payment's stamp must have, if it has fewer.
    stamp_bits: Option<u64>,
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>, next: &'static str) -> Self {
        Self { status, code, message: message.into(), next, retry_ms: None, stamp_bits: None }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>, next: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, next)
    }

    pub(crate) fn missing(code: &'static str, message: impl Into<String>, next: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message, next)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, "Send fewer payments at a time.")
    }

    pub(crate) fn busy() -> Self {
        let message = "the server has too many requests under way";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message, "Try again in a moment.")
    }

    /// The address asks or hands in more than it may.
    pub(crate) fn too_many(what: &str, ms: u32) -> Self {
        let message = format!("too many {what} from this address; try again in {ms} ms");
        let next = "Try again when that time is over, and more slowly.";
        Self { retry_ms: Some(ms), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message, next) }
    }

    pub(crate) fn timeout() -> Self {
        let message = "the server did not answer in time";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message, "Try again in a moment.")
    }

    pub(crate) fn method() -> Self {
        let message = "this method is not known here";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, ROUTES)
    }

    /// A payment that was refused; what may pass later is the server's state, not the payment's fault.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        let status =
            if refusal.is_passing() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNPROCESSABLE_ENTITY };
        let stamp_bits = if let Refusal::StampTooWeak { bits } = refusal { Some(bits) } else { None };
        Self { stamp_bits, ..Self::new(status, refusal.code(), refusal.to_string(), refusal.next()) }
    }

    pub(crate) fn json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message, "next": self.next });
        if let Some(ms) = self.retry_ms {
            error["retry_ms"] = ms.into();
        }
        if let Some(bits) = self.stamp_bits {
            error["stamp_bits"] = bits.into();
        }
        error
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(json!({ "error": self.json() }))).into_response();
        if let Some(ms) = self.retry_ms {
            response.headers_mut().insert(RETRY_AFTER, u64::from(ms.div_ceil(1_000)).into());
        }
        response
    }
}
