//! Asking the API of a server.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use seedbank_types::{CommunityId, Rule, ServerKey, ServerSet};
use serde::Deserialize;
use serde_json::Value;

use crate::exit::Failure;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What `GET /v1/servers` tells, as far as an order needs it.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) community: CommunityId,
    pub(super) name: String,
    pub(super) symbol: String,
    pub(super) decimals: u8,
    pub(super) quorum: Rule,
    pub(super) open_epoch: u64,
    pub(super) order_sequence: u64,
    pub(super) servers: ServerSet,
    pub(super) next: ServerSet,
}

#[derive(Deserialize)]
struct Told {
    community: String,
    name: String,
    symbol: String,
    decimals: u8,
    quorum: String,
    open_epoch: u64,
    order_sequence: u64,
    servers: Vec<ToldServer>,
    next_servers: Vec<ToldServer>,
}

#[derive(Deserialize)]
struct ToldServer {
    key: String,
    power: String,
}

/// Asks for the servers in force.
pub(super) fn servers(api: &str) -> Result<Current, Failure> {
    let (_, answer) = blocking(get(api, "/v1/servers"))?;
    current(answer).with_context(|| format!("the answer of {api}/v1/servers")).map_err(Failure::Usage)
}

/// Reads the answer of `GET /v1/servers` from a file.
pub(super) fn read(path: &Path) -> Result<Current, Failure> {
    let missing = "save the answer of GET /v1/servers of a server there";
    let unreadable = |error| Failure::unreadable("file", path, &error, missing);
    if std::fs::metadata(path).map_err(unreadable)?.len() > ANSWER_BYTES_MAX {
        return Err(Failure::usage(anyhow!("{} is longer than 1 MiB", path.display())));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let parsed = serde_json::from_slice(&bytes).map_err(anyhow::Error::from).and_then(current);
    parsed.with_context(|| path.display().to_string()).map_err(Failure::Usage)
}

fn current(answer: Value) -> anyhow::Result<Current> {
    let told: Told = serde_json::from_value(answer)?;
    Ok(Current {
        community: told.community.parse()?,
        name: told.name,
        symbol: told.symbol,
        decimals: told.decimals,
        quorum: told.quorum.parse().map_err(|error: String| anyhow!(error))?,
        open_epoch: told.open_epoch,
        order_sequence: told.order_sequence,
        servers: set(&told.servers)?,
        next: set(&told.next_servers)?,
    })
}

fn set(told: &[ToldServer]) -> anyhow::Result<ServerSet> {
    let mut members = Vec::new();
    for one in told {
        members.push((one.key.parse::<ServerKey>()?, one.power.parse::<u64>()?));
    }
    Ok(ServerSet::new(members)?)
}

/// Status and JSON of an answer.
pub(super) type Answer = (u16, Value);

pub(super) async fn get(api: &str, path: &str) -> anyhow::Result<Answer> {
    answer(api, client()?.get(url(api, path))).await
}

pub(super) async fn post(api: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
    answer(api, client()?.post(url(api, path)).json(body)).await
}

fn url(api: &str, path: &str) -> String {
    format!("{}{path}", api.trim_end_matches('/'))
}

/// No proxy: what the environment names is not asked on the way to a server.
fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?)
}

async fn answer(api: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let next = "check --api, and that the server runs";
    let response = request.send().await.with_context(|| format!("the server at {api} does not answer; {next}"))?;
    let status = response.status().as_u16();
    Ok((status, response.json().await.with_context(|| format!("{api} is no API of a server; {next}"))?))
}

/// These commands do one thing after the other.
pub(super) fn blocking<T>(work: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::unexpected)?;
    runtime.block_on(work).map_err(Failure::Usage)
}
