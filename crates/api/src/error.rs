//! Errors as the API writes them: `{"error":{"code","message","next"}}`.
use axum::http::StatusCode;
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
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>, next: &'static str) -> Self {
        Self { status, code, message: message.into(), next }
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
        Self::new(status, refusal.code(), refusal.to_string(), refusal.next())
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "next": self.next })
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!({ "error": self.json() }))).into_response()
    }
}
