//! The servers change, one after the other, and a client with the first trust file finds its way.
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_testnet::{LightClient, Testnet, in_time};
use seedbank_types::Address;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// An order is decided, its epoch closed and certified.
const CHANGE_LIMIT: Duration = Duration::from_secs(60);
/// A server that left goes once its last record is in the DHT.
const LEAVE_LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// Proposes, signs with the keys of these servers, and submits to the first of them.
async fn order(testnet: &Testnet, name: &str, change: &[String], signers: &[usize]) -> Result<Value> {
    let file = testnet.home().join(name);
    let file = file.to_str().context("a path of text")?;
    let api = testnet.servers()[signers[0]].api().url().to_owned();
    let mut propose = vec!["order", "propose", "--kind", "servers", "--api", &api, "--out", file];
    propose.extend(change.iter().map(String::as_str));
    seedbankd(testnet, &propose).await?;
    for signer in signers {
        let key = testnet.servers()[*signer].key_file().to_str().context("a path of text")?;
        seedbankd(testnet, &["order", "sign", file, "--key", key]).await?;
    }
    seedbankd(testnet, &["order", "submit", file, "--api", &api]).await
}

async fn seedbankd(testnet: &Testnet, args: &[&str]) -> Result<Value> {
    let output = Command::new(&testnet.binaries().seedbankd).args(args).arg("--json").output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "seedbankd {args:?}: {complaint}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A new server that has caught up: only then it may be ordered in, or it would observe first, and a set that needs it
/// would wait for it.
async fn joined(testnet: &mut Testnet) -> Result<usize> {
    let number = testnet.join().await?;
    let deadline = Instant::now() + CHANGE_LIMIT;
    while matches!(&*testnet.servers()[number].api().status().await?.state, "joining" | "catching up") {
        testnet.servers_mut()[number].check_alive()?;
        in_time(deadline, "the new server did not catch up")?;
        sleep(PAUSE).await;
    }
    Ok(number)
}

/// Waits until all running servers have certified two epochs of a set of so many.
async fn in_force(testnet: &mut Testnet, count: usize) -> Result<()> {
    let deadline = Instant::now() + CHANGE_LIMIT;
    for number in 0..testnet.servers().len() {
        let server = &mut testnet.servers_mut()[number];
        while server.is_running() && server.api().status().await?.servers.total != count {
            server.check_alive()?;
            in_time(deadline, &format!("{} does not see {count} servers", server.name()))?;
            sleep(PAUSE).await;
        }
    }
    let mut epoch = 0;
    for server in testnet.servers().iter().filter(|server| server.is_running()) {
        epoch = epoch.max(server.api().status().await?.certified_epoch.unwrap_or(0));
    }
    testnet.certified(epoch + 2, deadline).await
}

/// The balance is certified and fresh; how often the servers changed on the way.
async fn changes_seen(testnet: &Testnet, client: &LightClient) -> Result<Vec<String>> {
    let newest = testnet.servers().iter().rfind(|server| server.is_running()).context("one runs")?;
    let epoch = newest.api().checkpoint().await?.context("certified")?.epoch;
    let synced = client.succeed(&["sync"]).await?;
    ensure!(synced.json["epoch"].as_u64() >= Some(epoch), "older than epoch {epoch}: {}", synced.json);
    let address = Address(testnet.accounts().id(7)?).to_string();
    let shown = client.succeed(&["balance", &address]).await?;
    assert_eq!(shown.json["balance"], "100000", "{}", shown.json);
    let changes = synced.json["servers_changed"].as_array().context("a list")?;
    Ok(changes.iter().map(|change| change["words"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn servers_are_added_removed_and_rotated_and_an_old_trust_file_still_finds_the_balance() -> Result<()> {
    let mut testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let place = testnet.home().display().to_string();
    change(&mut testnet).await.with_context(|| format!("the logs are in {place}"))?;
    testnet.stop().await
}

async fn change(testnet: &mut Testnet) -> Result<()> {
    let early = testnet.client(1)?;
    assert_eq!(changes_seen(testnet, &early).await?, [] as [String; 0]);
    let key = |testnet: &Testnet, number: usize| testnet.servers()[number].key().to_string();

    // A fourth one joins; one of the first three is down while the set changes.
    let fourth = joined(testnet).await?;
    testnet.servers_mut()[2].kill().await?;
    let decided = order(testnet, "add", &["--add".to_owned(), key(testnet, fourth)], &[0, 1]).await?;
    ensure!(decided["state"] == "final" || decided["state"] == "certified", "{decided}");
    in_force(testnet, 4).await?;
    testnet.servers_mut()[2].restart().await?;
    in_force(testnet, 4).await?;
    let seen = changes_seen(testnet, &early).await?;
    ensure!(seen.len() == 1 && seen[0].contains("1 added"), "{seen:?}");

    // The first one leaves, for good and by itself.
    order(testnet, "remove", &["--remove".to_owned(), key(testnet, 0)], &[1, 2, fourth]).await?;
    testnet.servers_mut()[0].left(LEAVE_LIMIT).await?;
    in_force(testnet, 3).await?;

    // The second one gets another key: a fifth server with the new key takes its place.
    let fifth = joined(testnet).await?;
    let rotation = format!("{}={}", key(testnet, 1), key(testnet, fifth));
    order(testnet, "rotate", &["--rotate".to_owned(), rotation], &[2, fourth]).await?;
    testnet.servers_mut()[1].left(LEAVE_LIMIT).await?;
    in_force(testnet, 3).await?;

    let seen = changes_seen(testnet, &early).await?;
    ensure!(seen.len() == 3 && seen[2].contains("1 added") && seen[2].contains("1 removed"), "{seen:?}");
    let newcomer = testnet.client(2)?;
    assert_eq!(changes_seen(testnet, &newcomer).await?, seen, "the first trust file is enough for an empty directory");

    // The last server of the genesis leaves: a new one has nobody left whom the genesis names, and joins all the same.
    order(testnet, "remove-last", &["--remove".to_owned(), key(testnet, 2)], &[fourth, fifth]).await?;
    testnet.servers_mut()[2].left(LEAVE_LIMIT).await?;
    in_force(testnet, 2).await?;
    let sixth = joined(testnet).await?;
    order(testnet, "add-sixth", &["--add".to_owned(), key(testnet, sixth)], &[fourth, fifth]).await?;
    in_force(testnet, 3).await?;
    assert_eq!(changes_seen(testnet, &newcomer).await?.len(), 5);
    Ok(())
}
