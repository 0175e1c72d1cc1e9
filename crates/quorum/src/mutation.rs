//! Servers that do things wrong, so that the simulator can show that it would notice. Compiled only
//! with the feature `mutations`, which nothing but the simulator's own tests turns on.
use seedbank_types::Height;

use crate::Chain;
use crate::engine::Engine;
use crate::quorum::Settings;

/// What a server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// It believes the digests in headers.
    AnyDigest,
    /// It decides with one server less than a quorum.
    OffByOne,
    /// It does not observe, whatever it has forgotten.
    SignAfterRestore,
}

/// Engine and chain of a server that does something wrong.
pub(crate) fn applied(
    mutation: Option<Mutation>,
    settings: &Settings,
    engine: Engine,
    mut chain: Chain,
    next: Height,
) -> (Engine, Chain) {
    chain.believes_digests = mutation == Some(Mutation::AnyDigest);
    if mutation != Some(Mutation::OffByOne) {
        return (engine, chain);
    }
    let (secret, servers) = (settings.secret.clone(), &chain.state.servers);
    let engine =
        Engine::too_easily_satisfied(settings.community, secret, servers, settings.rule, settings.step_ms, next);
    (engine, chain)
}
