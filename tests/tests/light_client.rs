//! What a light client believes, how fast, and what it refuses.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_testnet::{Outcome, Testnet, snapshots_below};
use seedbank_types::{Address, ServerSecret};
use serde_json::Value;

/// Acceptance: from an empty directory to a verified balance, with 1,000 accounts.
const SYNC_LIMIT: Duration = Duration::from_secs(3);
const USAGE: i32 = 2;

fn message(outcome: &Outcome) -> Result<&str> {
    let error = &outcome.json["error"];
    ensure!(error["next"].as_str().is_some_and(|next| !next.is_empty()), "it does not say what to do: {error}");
    error["message"].as_str().with_context(|| format!("{} has no error", outcome.json))
}

#[tokio::test]
async fn an_empty_directory_becomes_a_verified_balance_within_three_seconds() -> Result<()> {
    let testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let address = Address(testnet.accounts().id(7)?).to_string();
    let shown = testnet.client(1)?.succeed(&["balance", &address]).await?;
    let expected = ["address", "balance", "grade"].map(|name| shown.json[name].as_str().unwrap_or_default().to_owned());
    assert_eq!(expected, [address, "100000".to_owned(), "byzantine".to_owned()], "{}", shown.json);
    ensure!(shown.json["epoch"].as_u64() >= Some(1) && shown.json["age_s"].is_number(), "{}", shown.json);
    ensure!(shown.duration <= SYNC_LIMIT, "it took {:?}", shown.duration);
    testnet.stop().await
}

#[tokio::test]
async fn a_trust_file_with_other_keys_is_exit_6_and_nothing_is_downloaded() -> Result<()> {
    let testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let keys: Vec<String> = (1..=3).map(|byte| ServerSecret::from_bytes(&[byte; 32]).public().to_string()).collect();
    let bootstrap: Vec<String> = testnet.bootstrap().iter().map(|host| format!("bootstrap = {host}")).collect();
    let other = testnet.home().join("other.keys");
    std::fs::write(&other, [keys, bootstrap].concat().join("\n"))?;
    let client = testnet.client(1)?.trusting(&other);
    let outcome = client.run(&["sync"]).await?;
    assert_eq!(outcome.exit, 6, "{}", outcome.json);
    ensure!(!message(&outcome)?.is_empty(), "{}", outcome.json);
    assert_eq!(snapshots_below(client.home())?, [] as [&Path; 0]);
    testnet.stop().await
}

#[tokio::test]
async fn a_flipped_bit_in_a_file_is_refused_with_the_reason() -> Result<()> {
    let testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let client = testnet.client(1)?;
    client.succeed(&["sync"]).await?;
    let snapshot = snapshots_below(client.home())?.pop().context("a synced client has a snapshot")?;
    let newest = testnet.servers()[0].api().checkpoint().await?.context("the testnet is ready")?;
    let certificate = newest.certificate()?.encode();
    for (name, bytes) in [("balances.snapshot", std::fs::read(snapshot)?), ("newest.certificate", certificate)] {
        flip_bits(&testnet, name, &bytes).await.with_context(|| name.to_owned())?;
    }
    testnet.stop().await
}

/// Every bit is flipped in the tests of the formats; here the real program sees some of each part.
async fn flip_bits(testnet: &Testnet, name: &str, whole: &[u8]) -> Result<()> {
    let client = testnet.client(1)?;
    let path = testnet.home().join(name);
    let file = path.to_str().context("a path of text")?;
    std::fs::write(&path, whole)?;
    client.succeed(&["verify", file, "--offline"]).await?;
    let step = whole.len() / 24;
    for place in (0..whole.len()).step_by(step.max(1)) {
        let mut flipped = whole.to_vec();
        flipped[place] ^= 1 << (place % 8);
        std::fs::write(&path, flipped)?;
        let outcome = client.run(&["verify", file, "--offline"]).await?;
        ensure!(outcome.exit != 0, "byte {place} was changed and nobody noticed: {}", outcome.json);
        ensure!(!message(&outcome)?.is_empty(), "{}", outcome.json);
    }
    Ok(())
}

#[tokio::test]
async fn a_payment_by_the_program_arrives_certified_and_is_seen_by_the_payee() -> Result<()> {
    let testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let client = testnet.client(1)?;
    let payee = Address(testnet.accounts().id(5)?).to_string();
    let (wallet, passphrase) = (testnet.home().join("wallet"), testnet.home().join("passphrase"));
    let (wallet, passphrase) = (wallet.to_str().context("text")?, passphrase.to_str().context("text")?);
    let own = ["--wallet", wallet, "--passphrase-file", passphrase];
    let paid =
        client.succeed(&[&["pay", &payee, "12.50", "--memo", "two loaves", "--wait"][..], &own].concat()).await?;
    assert_eq!(paid.json["state"], Value::from("certified"), "{}", paid.json);
    let shown = client.succeed(&["balance", &payee]).await?;
    assert_eq!(shown.json["balance"], Value::from("101250"), "{}", shown.json);
    testnet.stop().await
}

#[tokio::test]
async fn an_amount_that_cannot_be_is_refused_before_anything_is_sent() -> Result<()> {
    let testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let payee = Address(testnet.accounts().id(5)?).to_string();
    for (amount, why) in [("1.125", "3 decimals"), ("184467440737095516.16", "too large"), ("0.00", "the amount is 0")]
    {
        let refused = pay(&testnet, &[&payee, amount]).await?;
        assert_eq!(refused.exit, USAGE, "{amount}: {}", refused.json);
        ensure!(message(&refused)?.contains(why), "{amount}: {}", refused.json);
    }
    testnet.stop().await
}

/// Pays with the wallet of the testnet.
async fn pay(testnet: &Testnet, args: &[&str]) -> Result<Outcome> {
    let files = ["wallet", "passphrase"].map(|name| testnet.home().join(name));
    let [wallet, passphrase] = files.each_ref().map(|path| path.to_str().unwrap_or_default());
    let own = ["--wallet", wallet, "--passphrase-file", passphrase];
    testnet.client(1)?.run(&[&["pay"], args, &own].concat()).await
}
