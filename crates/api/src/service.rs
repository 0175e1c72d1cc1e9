//! Listening, the bounds on requests, and stopping.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::error::Fault;
use crate::{ApiRequest, routes};

/// Longest body of a request: 500 payments in hex and the JSON around them.
const BODY_BYTES_MAX: usize = 512 << 10;
/// Questions that wait for the node.
const QUESTIONS_MAX: usize = 256;

/// How the API runs.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where to listen; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Requests under way at once; further ones are answered "busy".
    pub requests_max: usize,
}

impl ApiSettings {
    /// Listens on `listen`, with bounds that suit a server.
    #[must_use]
    pub const fn new(listen: SocketAddr) -> Self {
        Self { listen, request_timeout: Duration::from_secs(10), requests_max: 128 }
    }
}

/// Why the API does not run.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address cannot be had.
    #[error("cannot listen for the HTTP API on {listen}: {source}; choose another address, or port 0")]
    Listen {
        /// As in the settings.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The running API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiHandle {
    /// Where it really listens.
    pub address: SocketAddr,
}

/// Listens and serves until `stop` is cancelled; then requests under way are finished.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn spawn(
    settings: ApiSettings,
    stop: CancellationToken,
) -> Result<(ApiHandle, mpsc::Receiver<ApiRequest>), ApiError> {
    let failed = |source| ApiError::Listen { listen: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let router = router(&settings, questions);
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the HTTP API has ended");
        }
    });
    Ok((ApiHandle { address }, asked))
}

#[derive(Clone)]
struct Bounds {
    places: Arc<Semaphore>,
    timeout: Duration,
}

fn router(settings: &ApiSettings, questions: mpsc::Sender<ApiRequest>) -> Router {
    let bounds = Bounds { places: Arc::new(Semaphore::new(settings.requests_max)), timeout: settings.request_timeout };
    routes::routes()
        .with_state(questions)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(bounds, keep_bounds))
}

/// One place for each request under way, and a limit on its time.
async fn keep_bounds(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_place) = bounds.places.try_acquire() else { return Fault::busy().into_response() };
    match tokio::time::timeout(bounds.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Fault::timeout().into_response(),
    }
}
