//! Handing an order to a server.
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use seedbank_types::{OrderKind, Rule, ServerKey};
use serde_json::{Value, json};

use super::ask::{self, Current};
use super::file::OrderFile;
use super::shown;
use crate::exit::Failure;

/// So long the end is waited for; the order goes on without.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// Checks what can be checked here, submits the order, and waits until it is decided.
pub(super) fn run(file: &OrderFile, api: &str) -> Result<(String, Value), Failure> {
    check_power(file, file.quorum).map_err(Failure::Usage)?;
    let current = ask::servers(api)?;
    let id = file.order.id(&file.community).to_string();
    if !is_decided(&ask::blocking(ask::get(api, &format!("/v1/payments/{id}")))?.1) {
        check(file, &current).map_err(Failure::Usage)?;
        let body = json!({ "order": hex::encode(file.signed().encode()) });
        let (status, answer) = ask::blocking(ask::post(api, "/v1/orders", &body))?;
        if status != 200 {
            let error = &answer["error"];
            let words = |name: &str| error[name].as_str().unwrap_or("").to_owned();
            return Err(Failure::usage(anyhow!("the order is refused: {} {}", words("message"), words("next"))));
        }
    }
    let state = ask::blocking(decided(api, &id))?;
    Ok(told(file, &id, &state))
}

fn is_decided(payment: &Value) -> bool {
    matches!(payment["state"].as_str(), Some("final" | "certified"))
}

/// Enough signatures, by the rule.
fn check_power(file: &OrderFile, rule: Rule) -> anyhow::Result<()> {
    if rule.is_quorum(file.power(), file.servers.total()) {
        return Ok(());
    }
    let unsigned: Vec<String> = file.unsigned().iter().map(ServerKey::to_string).collect();
    bail!("power is missing: {}. These servers can still sign:\n  {}", shown::signatures(file), unsigned.join("\n  "))
}

/// Whether the order still fits what the server says now.
fn check(file: &OrderFile, current: &Current) -> anyhow::Result<()> {
    if current.community != file.community {
        bail!("the order is for community {}, but the server is one of {}", file.community, current.community);
    }
    check_power(file, current.quorum)?;
    let (sequence, expected) = (file.order.sequence, current.order_sequence);
    if sequence < expected {
        bail!("it is order number {sequence}, but {expected} orders were decided since: propose it again");
    }
    if sequence > expected {
        bail!("it is order number {sequence}, but number {expected} is next: submit the orders before it first");
    }
    if file.order.last_epoch.0 < current.open_epoch {
        let last = file.order.last_epoch;
        bail!("it could be decided until epoch {last}, and now epoch {} is open: propose it again", current.open_epoch);
    }
    if file.servers != current.servers {
        bail!("the servers have changed since it was proposed, and only those in force can sign: propose it again");
    }
    Ok(())
}

/// The last state that the server tells within the time.
async fn decided(api: &str, id: &str) -> anyhow::Result<Value> {
    let deadline = Instant::now() + DECIDED_WITHIN;
    loop {
        let (_, payment) = ask::get(api, &format!("/v1/payments/{id}")).await?;
        if is_decided(&payment) || Instant::now() > deadline {
            return Ok(payment);
        }
        if payment["state"] == "refused" {
            bail!("the order is refused: {}", payment["refusal"]["message"].as_str().unwrap_or("no reason is told"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn told(file: &OrderFile, id: &str, state: &Value) -> (String, Value) {
    let effect = match file.order.kind {
        OrderKind::Servers(_) => "; the servers change with the next epoch",
        OrderKind::Issue { .. } | OrderKind::Retire { .. } => "",
    };
    let words = if is_decided(state) {
        format!("order {id} is decided at height {}{effect}", state["height"])
    } else {
        format!("order {id} was handed in and waits to be decided: submit it again to see how far it is")
    };
    let mut json = shown::json(file);
    (json["state"], json["height"]) = (state["state"].clone(), state["height"].clone());
    (words, json)
}

#[cfg(test)]
mod tests {
    use seedbank_types::{NumberedSignature, ServerSet};

    use super::super::file::tests::{sample, secret};
    use super::*;

    fn signed(bytes: &[u8]) -> OrderFile {
        let mut file = sample();
        let message = file.order.signed_bytes(&file.community);
        for byte in bytes {
            let number = file.servers.number(&secret(*byte).public()).expect("a server");
            file.add(NumberedSignature { number, signature: secret(*byte).sign(&message) });
        }
        file
    }

    fn current() -> Current {
        let file = sample();
        Current {
            community: file.community,
            name: file.name,
            symbol: file.symbol,
            decimals: file.decimals,
            quorum: file.quorum,
            open_epoch: 9,
            order_sequence: 2,
            next: file.servers.clone(),
            servers: file.servers,
        }
    }

    #[test]
    fn missing_power_is_told_with_what_is_needed_and_who_can_sign() {
        let error = check(&signed(&[2]), &current()).expect_err("one of three").to_string();
        assert!(error.contains("power 1 of 3, 2 is needed"), "{error}");
        assert!(error.contains(&secret(1).public().to_string()), "{error}");
        assert!(check(&signed(&[2, 3]), &current()).is_ok());
        let strict = Current { quorum: Rule::TwoThirds, ..current() };
        assert!(check(&signed(&[2, 3]), &strict).is_err(), "two of three are not more than two thirds");
    }

    #[test]
    fn an_order_that_does_not_fit_any_more_is_told_why() {
        let other = ServerSet::new([(secret(9).public(), 1)]).expect("a set");
        for (current, named) in [
            (Current { order_sequence: 3, ..current() }, "orders were decided since"),
            (Current { order_sequence: 1, ..current() }, "number 1 is next"),
            (Current { open_epoch: 10, ..current() }, "until epoch 9"),
            (Current { servers: other, ..current() }, "the servers have changed"),
            (Current { community: seedbank_types::CommunityId([8; 32]), ..current() }, "is one of"),
        ] {
            let error = check(&signed(&[1, 2, 3]), &current).expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
