//! The order in which everything stops, and what is said of what does not.
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use seedbank_dht::DhtHandle;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::run::{Intake, Services};

/// All stopping together takes at most so long.
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// One token for each step of stopping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops {
    /// The API takes no further request.
    pub(crate) intake: CancellationToken,
    /// The thread of the quorum finishes the input in hand.
    pub(crate) quorum: CancellationToken,
    /// Cutter and discovery.
    pub(crate) tasks: CancellationToken,
    /// Mesh, DHT, torrents.
    pub(crate) network: CancellationToken,
}

impl Stops {
    pub(crate) fn cancel_all(&self) {
        [&self.intake, &self.quorum, &self.tasks, &self.network].into_iter().for_each(CancellationToken::cancel);
    }
}

/// Stops in this order: intake, quorum (the store has all it said by then), tasks, network. Gives
/// the failure with which the quorum's thread ended, if it was one.
pub(crate) async fn stop(
    stops: &Stops,
    intake: Intake,
    thread: JoinHandle<Result<(), Failure>>,
    mut services: Services,
    dht: DhtHandle,
) -> Result<(), Failure> {
    let deadline = Instant::now() + STOP_WITHIN;
    let Intake { engine, mut mesh, api, mut torrent } = intake;
    stops.intake.cancel();
    drop(api);
    stops.quorum.cancel();
    // The thread may wait for room for an event; now it waits no more.
    drop(engine);
    let ended = within(deadline, "the quorum", tokio::task::spawn_blocking(move || thread.join())).await;
    stops.tasks.cancel();
    let all_ended = async {
        while let Some(ended) = services.join_next().await {
            say_end(ended);
        }
    };
    within(deadline, "the cutter, the publisher or the discovery", all_ended).await;
    stops.network.cancel();
    within(deadline, "the mesh", async { while mesh.recv().await.is_some() {} }).await;
    within(deadline, "the torrents", async { while torrent.recv().await.is_some() {} }).await;
    within(deadline, "the DHT node", dht.closed()).await;
    match ended {
        Some(Ok(Ok(result))) => result,
        Some(_) => Err(Failure::Unexpected(anyhow!("the thread of the quorum died; its last words are above"))),
        None => Err(Failure::Unexpected(anyhow!("the thread of the quorum hung"))),
    }
}

/// An end that was asked for is worth a word only if it was none in order.
fn say_end(ended: Result<(&'static str, anyhow::Result<()>), JoinError>) {
    match ended {
        Ok((_, Ok(()))) => {}
        Ok((name, Err(error))) => tracing::error!("the {name} ended with an error: {error:#}"),
        Err(error) => tracing::error!("a task died: {error}"),
    }
}

async fn within<T>(deadline: Instant, what: &str, work: impl Future<Output = T>) -> Option<T> {
    match tokio::time::timeout_at(deadline, work).await {
        Ok(done) => Some(done),
        Err(_elapsed) => {
            tracing::error!("{what} did not stop in time");
            None
        }
    }
}
