//! Questions to the HTTP API of a server, as a program on the same machine asks them.
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use seedbank_types::{Address, Certificate, PaymentId, SignedPayment};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Most payments in one request, as the API has it.
pub const SUBMIT_PAYMENTS_MAX: usize = 500;

/// The API of one server.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    http: reqwest::Client,
}

/// What a server says of itself: the part that is asked for here.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// `joining`, `observing`, `active` or `diverged`.
    pub state: String,
    /// Its key, hex.
    pub server: String,
    /// The last height that it applied.
    pub height: u64,
    /// The epoch that is open.
    pub open_epoch: u64,
    /// The newest certified epoch.
    pub certified_epoch: Option<u64>,
    /// All money now, in minor units.
    pub supply: String,
    /// Accounts now.
    pub count: u64,
    /// Whether the servers that it hears are a quorum together with it.
    pub quorum_in_reach: bool,
    /// Servers heard.
    pub servers: ServersHeard,
}

/// How many servers one hears.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ServersHeard {
    /// Itself included.
    pub connected: usize,
    /// In force.
    pub total: usize,
}

/// The newest certificate of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Certified {
    /// The certified epoch.
    pub epoch: u64,
    /// The height at its end.
    pub height: u64,
    /// State root, hex.
    pub root: String,
    /// All money, in minor units.
    pub supply: String,
    /// Accounts.
    pub count: u64,
    /// H(checkpoint), hex.
    pub hash: String,
    /// `crash` or `byzantine`.
    pub grade: String,
    /// Numbers of the servers whose signatures the certificate carries.
    pub signed_by: Vec<u8>,
    /// The file with all balances.
    pub snapshot: SnapshotFile,
    #[serde(rename = "certificate")]
    hex: String,
}

/// A file in the swarm.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SnapshotFile {
    /// Hex.
    pub infohash: String,
    /// Bytes.
    pub length: u64,
}

impl Certified {
    /// As a server would show it, for tests.
    #[cfg(test)]
    pub(crate) fn of(certificate: &Certificate) -> Self {
        let checkpoint = &certificate.checkpoint;
        Self {
            epoch: checkpoint.epoch.0,
            height: checkpoint.height.0,
            root: checkpoint.root.to_string(),
            supply: checkpoint.supply.to_string(),
            count: checkpoint.count,
            hash: checkpoint.hash().to_string(),
            grade: String::new(),
            signed_by: certificate.signatures.iter().map(|one| one.number).collect(),
            snapshot: SnapshotFile { infohash: checkpoint.snapshot.info_hash.to_string(), length: 0 },
            hex: hex::encode(certificate.encode()),
        }
    }

    /// The certificate itself.
    pub fn certificate(&self) -> Result<Certificate> {
        Ok(Certificate::decode(&hex::decode(&self.hex)?)?)
    }
}

/// An account, as one server sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// Minor units.
    pub balance: String,
    /// Payments made so far.
    pub sequence: u64,
    /// What the next payment must carry.
    pub next_sequence: u64,
    /// The height at which it is so.
    pub height: u64,
    /// The open epoch.
    pub epoch: u64,
}

impl Account {
    /// The balance in minor units.
    pub fn minor_units(&self) -> Result<u64> {
        self.balance.parse().with_context(|| format!("the balance {:?} is no number", self.balance))
    }
}

/// What one server says about a payment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PaymentAnswer {
    /// Its id, hex.
    pub id: String,
    /// `sent`, `final`, `certified` or `refused`.
    pub state: String,
    /// Height of its batch, once final.
    pub height: Option<u64>,
    /// Hash of that batch's header, hex.
    pub header: Option<String>,
    /// Why it was refused.
    pub refusal: Option<ErrorAnswer>,
}

impl PaymentAnswer {
    /// Where it was ordered, if it was.
    #[must_use]
    pub fn place(&self) -> Option<(u64, String)> {
        let place = self.height.zip(self.header.clone());
        place.filter(|_| matches!(self.state.as_str(), "final" | "certified"))
    }
}

/// An error in the API's own words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{message} ({code}). {next}")]
pub struct ErrorAnswer {
    /// The stable name.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub next: String,
}

#[derive(Deserialize)]
struct Errors {
    error: ErrorAnswer,
}

#[derive(Deserialize)]
struct Submitted {
    payments: Vec<PaymentAnswer>,
}

impl Api {
    /// The API at `host:port` or `http://host:port`.
    pub fn new(address: &str) -> Result<Self> {
        Self::patient(address, ANSWER_LIMIT)
    }

    /// The same, for somebody who waits so long for an answer.
    pub fn patient(address: &str, limit: Duration) -> Result<Self> {
        // A proxy of the environment has no business on loopback.
        let http = reqwest::Client::builder().no_proxy().timeout(limit).build()?;
        let url = if address.starts_with("http://") { address.to_owned() } else { format!("http://{address}") };
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How the server is doing.
    pub async fn status(&self) -> Result<Status> {
        self.ask("/v1/status").await
    }

    /// The newest certificate; `None` before the first.
    pub async fn checkpoint(&self) -> Result<Option<Certified>> {
        self.ask_for("/v1/checkpoint", "no_checkpoint").await
    }

    /// An account; `None` if it was never opened.
    pub async fn account(&self, address: &Address) -> Result<Option<Account>> {
        self.ask_for(&format!("/v1/accounts/{address}"), "unknown_account").await
    }

    /// How far a payment has come; `None` if the server does not know it.
    pub async fn payment(&self, id: &PaymentId) -> Result<Option<PaymentAnswer>> {
        self.ask_for(&format!("/v1/payments/{id}"), "unknown_payment").await
    }

    /// Hands in at most [`SUBMIT_PAYMENTS_MAX`] payments; one answer for each. All refused is an
    /// [`ErrorAnswer`] with the first reason.
    pub async fn submit(&self, payments: &[SignedPayment]) -> Result<Vec<PaymentAnswer>> {
        let payments: Vec<String> = payments.iter().map(|one| hex::encode(one.encode())).collect();
        let request = self.http.post(format!("{}/v1/payments", self.url));
        let request = request.header("content-type", "application/json");
        let request = request.body(serde_json::to_vec(&json!({ "payments": payments }))?);
        let submitted: Submitted = self.read(request).await?;
        Ok(submitted.payments)
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.read(self.http.get(format!("{}{path}", self.url))).await
    }

    /// Like [`Api::ask`], but the error `nothing` means that there is none.
    async fn ask_for<T: DeserializeOwned>(&self, path: &str, nothing: &str) -> Result<Option<T>> {
        match self.ask(path).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.downcast_ref::<ErrorAnswer>().is_some_and(|answer| answer.code == nothing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T> {
        let response = request.send().await.with_context(|| format!("the server at {} does not answer", self.url))?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(|| format!("the answer of {} breaks off", self.url))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).with_context(|| format!("{} answered in another form", self.url));
        }
        match serde_json::from_slice::<Errors>(&bytes) {
            Ok(errors) => Err(anyhow!(errors.error)),
            Err(_other_form) => bail!("{} answered {status}: {}", self.url, String::from_utf8_lossy(&bytes)),
        }
    }
}

/// The `code` of an error that a server gave, if it is one.
#[must_use]
pub fn error_code(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<ErrorAnswer>().map(|answer| answer.code.as_str())
}
