//! One server's HTTP API, for programs beside a server.
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};
use seedbank_types::{
    AccountId, Address, Certificate, Epoch, Evidence, Handover, Hash, Height, PaymentId, PaymentState, Refusal,
    SignedPayment, Stamp,
};
use serde_json::Value;

use crate::errors::{Exit, Failure};
use crate::servers::{LATER_MAX, SUBMISSIONS_MAX};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    url: String,
}

impl Api {
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        // No proxy: what the environment names is not asked on the way to a server.
        let client = Client::builder().no_proxy().timeout(ANSWER_WITHIN).build().map_err(Failure::unexpected)?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    pub(crate) async fn genesis(&self) -> Result<Vec<u8>, Failure> {
        let response = self.get("/v1/genesis").await?;
        Ok(response.bytes().await.map_err(|error| self.unreachable(&error))?.to_vec())
    }

    pub(crate) async fn certificate(&self) -> Result<Certificate, Failure> {
        let answer = self.json(self.get("/v1/checkpoint").await?).await?;
        let bytes = answer["certificate"].as_str().and_then(|text| hex::decode(text).ok()).unwrap_or_default();
        Certificate::decode(&bytes).map_err(|error| self.senseless(&error.to_string()))
    }

    pub(crate) async fn evidence(&self) -> Result<Vec<Evidence>, Failure> {
        let answer = self.json(self.get("/v1/evidence").await?).await?;
        let all = answer["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bytes = all.iter().filter_map(|one| hex::decode(one["evidence"].as_str()?).ok());
        Ok(bytes.filter_map(|bytes| Evidence::decode(&bytes).ok()).collect())
    }

    /// The handovers that lead on from a set; to be verified.
    pub(crate) async fn handovers(&self, from: Hash) -> Result<Vec<Handover>, Failure> {
        let answer = self.json(self.get(&format!("/v1/handovers?from={from}")).await?).await?;
        let all = answer["handovers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bytes = all.iter().filter_map(|one| hex::decode(one["handover"].as_str()?).ok());
        Ok(bytes.map_while(|bytes| Handover::decode(&bytes).ok()).collect())
    }

    /// An account that was never opened begins with 0.
    pub(crate) async fn next_sequence(&self, account: AccountId) -> Result<u64, Failure> {
        let response = self.get(&format!("/v1/accounts/{}", Address(account))).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(0);
        }
        let answer = self.json(response).await?;
        answer["next_sequence"].as_u64().ok_or_else(|| self.senseless("no next_sequence"))
    }

    pub(crate) async fn submit(&self, payment: &SignedPayment, stamp: Option<Stamp>) -> Result<PaymentState, Failure> {
        let mut body = serde_json::json!({ "payments": [hex::encode(payment.encode())] });
        if let Some(Stamp(number)) = stamp {
            body["stamps"] = serde_json::json!([format!("{number:x}")]);
        }
        let mut answer = self.post_payments(&body).await?;
        for _ in 1..SUBMISSIONS_MAX {
            match retry_after(&answer) {
                Some(wait) if wait <= LATER_MAX => tokio::time::sleep(wait).await,
                _ => break,
            }
            answer = self.post_payments(&body).await?;
        }
        if retry_after(&answer).is_some() {
            return Ok(PaymentState::Refused(Refusal::Busy));
        }
        if let Some(bits) = answer["error"]["stamp_bits"].as_u64() {
            return Ok(PaymentState::Refused(Refusal::StampTooWeak { bits }));
        }
        match answer["payments"].get(0) {
            Some(state) => self.state(state),
            None => Err(self.refusal(&answer["error"])),
        }
    }

    async fn post_payments(&self, body: &Value) -> Result<Value, Failure> {
        let request = self.client.post(format!("{}/v1/payments", self.url)).json(body);
        self.json(request.send().await.map_err(|error| self.unreachable(&error))?).await
    }

    pub(crate) async fn payment(&self, id: PaymentId) -> Result<PaymentState, Failure> {
        let response = self.get(&format!("/v1/payments/{id}")).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(PaymentState::Unknown);
        }
        let answer = self.json(response).await?;
        self.state(&answer)
    }

    /// A state as the API writes it. A refusal comes as words: it ends the command with the same words.
    fn state(&self, value: &Value) -> Result<PaymentState, Failure> {
        let place =
            || -> Option<_> { Some((Height(value["height"].as_u64()?), value["header"].as_str()?.parse().ok()?)) };
        match value["state"].as_str() {
            Some("unknown") => Ok(PaymentState::Unknown),
            Some("sent") => Ok(PaymentState::Sent),
            Some("refused") => Err(self.refusal(&value["refusal"])),
            Some("final") => {
                let (height, header) = place().ok_or_else(|| self.senseless("no height and header"))?;
                Ok(PaymentState::Final { height, header })
            }
            Some("certified") => {
                let (height, header) = place().ok_or_else(|| self.senseless("no height and header"))?;
                let epoch = value["epoch"].as_u64().ok_or_else(|| self.senseless("no epoch"))?;
                Ok(PaymentState::Certified { height, header, epoch: Epoch(epoch) })
            }
            _ => Err(self.senseless("no state")),
        }
    }

    fn refusal(&self, error: &Value) -> Failure {
        let Some(message) = error["message"].as_str() else { return self.senseless("no reason") };
        let next = error["next"].as_str().unwrap_or_default();
        let failure = Failure::new(Exit::Refused, format!("the payment was refused: {message}"), next);
        match error["code"].as_str() {
            Some(code) => Failure { code: code.to_owned().into(), ..failure },
            None => failure,
        }
    }

    async fn get(&self, path: &str) -> Result<Response, Failure> {
        let request = self.client.get(format!("{}{path}", self.url)).header(header::ACCEPT, "*/*");
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    async fn json(&self, response: Response) -> Result<Value, Failure> {
        response.json().await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let message = format!("the server at {} does not answer: {error}", self.url);
        Failure::new(Exit::NoPeers, message, "Check the URL and that the server runs, or leave --api out.")
    }

    fn senseless(&self, why: &str) -> Failure {
        Failure::unexpected(format!("the answer of {} makes no sense: {why}", self.url))
    }
}

/// When the server wants to be asked again, if it takes nothing from this address for the moment.
fn retry_after(answer: &Value) -> Option<Duration> {
    answer["error"]["retry_ms"].as_u64().map(Duration::from_millis)
}
