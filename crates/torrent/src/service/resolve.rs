//! Getting the metainfo from peers, by infohash alone.
use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use seedbank_types::InfoHash;

use super::peers::Peers;
use crate::{engine::Engine, error::FetchError, metainfo::Metainfo};

/// A peer that did not answer is asked again after this long: it may be about to seed the file.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The pause doubles up to this.
const RETRY_MAX: Duration = Duration::from_secs(5);

struct Refused {
    peer: SocketAddr,
    pause: Duration,
    error: Option<FetchError>,
}

/// Asks all peers at once, those that become known later too, until one has given the metainfo.
/// An infohash has one metainfo only, so that what is wrong with it is wrong with every peer's.
pub(super) async fn resolve(engine: &Engine, info_hash: InfoHash, peers: &mut Peers) -> Result<Metainfo, FetchError> {
    let mut asked: FuturesUnordered<_> =
        peers.known().into_iter().map(|peer| ask(engine, info_hash, peer, Duration::ZERO)).collect();
    loop {
        tokio::select! {
            new = peers.next() => asked.extend(new.into_iter().map(|peer| ask(engine, info_hash, peer, Duration::ZERO))),
            Some(answer) = asked.next() => match answer {
                Ok(metainfo) => return Ok(metainfo),
                Err(Refused { error: Some(error), .. }) => return Err(error),
                Err(Refused { peer, pause, error: None }) => {
                    asked.push(ask(engine, info_hash, peer, (pause * 2).clamp(RETRY_FIRST, RETRY_MAX)));
                }
            },
        }
    }
}

async fn ask(engine: &Engine, info_hash: InfoHash, peer: SocketAddr, pause: Duration) -> Result<Metainfo, Refused> {
    tokio::time::sleep(pause).await;
    engine.ask_metainfo(info_hash, peer).await.map_err(|error| Refused { peer, pause, error })
}
