//! Listening, the bounds on requests, and stopping.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::error::Fault;
use crate::listener::{Bounded, Caller};
use crate::{ApiRequest, routes};

/// Longest body of a request: 500 payments in hex and the JSON around them.
const BODY_BYTES_MAX: usize = 512 << 10;
/// Questions that wait for the node.
const QUESTIONS_MAX: usize = 256;
/// Requests a second from one address.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("not 0");
/// The same for programs on this machine.
const LOCAL_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(5_000).expect("not 0");
/// Connections at once.
const CONNECTIONS_MAX: usize = 1_024;
/// Connections of one address at once.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 32;
/// So many seconds' worth of requests may come at once.
const BURST_SECONDS: NonZeroU32 = NonZeroU32::new(2).expect("not 0");
/// Addresses whose requests are counted; when there are more, those that have been quiet are forgotten.
const ADDRESSES_MAX: usize = 16_384;

/// How the API runs.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where to listen; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Requests under way at once; further ones are answered "busy".
    pub requests_max: usize,
    /// Requests a second from one address, twice as many in a burst; further ones are answered "too many".
    pub requests_per_second: NonZeroU32,
    /// Connections at once; further ones are closed.
    pub connections_max: usize,
    /// Those of one address.
    pub connections_per_address_max: usize,
}

impl ApiSettings {
    /// Listens on `listen`, with bounds that suit a server: wide ones on loopback, where programs of the
    /// operator ask, narrow ones where anybody may.
    #[must_use]
    pub const fn new(listen: SocketAddr) -> Self {
        let is_loopback = listen.ip().is_loopback();
        Self {
            listen,
            request_timeout: Duration::from_secs(10),
            requests_max: 128,
            requests_per_second: if is_loopback { LOCAL_REQUESTS_PER_SECOND } else { REQUESTS_PER_SECOND },
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: if is_loopback { CONNECTIONS_MAX } else { CONNECTIONS_PER_ADDRESS_MAX },
        }
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
    let router = router(&settings, questions).into_make_service_with_connect_info::<Caller>();
    let listener = Bounded::new(listener, settings.connections_max, settings.connections_per_address_max);
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
    rates: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    timeout: Duration,
}

impl Bounds {
    fn new(settings: &ApiSettings) -> Self {
        let rate = settings.requests_per_second;
        let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST_SECONDS));
        Self {
            places: Arc::new(Semaphore::new(settings.requests_max)),
            rates: Arc::new(RateLimiter::keyed(quota)),
            timeout: settings.request_timeout,
        }
    }

    /// Counts a request of an address, or says in how many milliseconds it may ask again.
    fn count(&self, from: IpAddr) -> Result<(), u32> {
        if self.rates.len() > ADDRESSES_MAX {
            self.rates.retain_recent();
        }
        let counted = self.rates.check_key(&block(from));
        counted.map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
        })
    }
}

/// Whoever has one IPv6 address has all of its last 64 bits.
fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
    }
}

fn router(settings: &ApiSettings, questions: mpsc::Sender<ApiRequest>) -> Router {
    let bounds = Bounds::new(settings);
    routes::routes()
        .with_state(questions)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(bounds, keep_bounds))
}

/// One place for each request under way, and a limit on its time.
async fn keep_bounds(
    State(bounds): State<Bounds>,
    ConnectInfo(Caller(from)): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(ms) = bounds.count(from) {
        return Fault::too_many("requests", ms).into_response();
    }
    let Ok(_place) = bounds.places.try_acquire() else { return Fault::busy().into_response() };
    match tokio::time::timeout(bounds.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Fault::timeout().into_response(),
    }
}
