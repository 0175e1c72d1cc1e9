//! The HTTP API of a server: JSON for programs on the same machine.
//!
//! It reads requests, asks the node through a bounded channel of [`ApiRequest`]s and writes the
//! answers as JSON. It is *not* the ledger, the store or the quorum, and knows none of them.
//!
//! Start at [`spawn`].
//!
//! Invariants: amounts are decimal strings of minor units and hashes are hex; every error is
//! `{"error":{"code","message","next"}}` with a fitting status code; body, time and number of requests
//! under way are bounded.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), seedbank_api::ApiError> {
//! use seedbank_api::{ApiRequest, ApiSettings, spawn};
//! use tokio_util::sync::CancellationToken;
//!
//! let stop = CancellationToken::new();
//! let settings = ApiSettings::new("127.0.0.1:0".parse().expect("an address"));
//! let (api, mut requests) = spawn(settings, stop.clone()).await?;
//! println!("http://{}/v1/status", api.address);
//! tokio::spawn(async move {
//!     while let Some(request) = requests.recv().await {
//!         if let ApiRequest::Genesis { reply } = request {
//!             let _nobody_waits_any_more = reply.send(b"seedbank/genesis/1...".to_vec());
//!         }
//!     }
//! });
//! stop.cancel();
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]
mod answer;
mod error;
mod json;
mod listener;
mod request;
mod routes;
mod servers;
mod service;

pub use answer::{
    AccountView, CatchingUp, DhtStatus, Differing, Divergence, Findings, RecordKept, ServerState, Status,
    SubmittedPayment, TryLater,
};
pub use request::{ApiRequest, Reply, SUBMIT_PAYMENTS_MAX};
pub use servers::ServersView;
pub use service::{ApiError, ApiHandle, ApiSettings, spawn};
