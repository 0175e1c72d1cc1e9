//! A server whose accounts are not what the others agreed on: it stops signing, names the difference, and starts anew.
use std::fs;

use seedbank_ledger::View as _;
use seedbank_store::Store;
use seedbank_types::{AccountRecord, Amount};

use crate::common::{Community, Server, address, eventually, run};

/// Moves money between two accounts behind the ledger's back, so that the sum still is the supply.
fn damage(community: &Community, number: u8) {
    let store = Store::open(&community.home(number).join("store")).expect("it does not run");
    let record = |number| store.account(&address(number).0).expect("opened in genesis");
    let (one, other) = (record(5), record(6));
    for (record, balance) in [(one, one.balance.0 - 77), (other, other.balance.0 + 77)] {
        store.damage_account(&AccountRecord { balance: Amount(balance), ..record }).expect("writable");
    }
}

async fn diverges(server: &Server) -> serde_json::Value {
    eventually("the difference is found", async || {
        let status = server.status().await;
        let findings = status["divergence"]["findings"].clone();
        (status["state"] == "diverged" && !findings.is_null()).then_some(status["divergence"].clone())
    })
    .await
}

fn resync(community: &Community, number: u8) -> (Option<i32>, String) {
    let home = community.home(number);
    let output = run(&["resync", "--home", home.to_str().expect("UTF-8")]);
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_other_balances_stops_signing_names_them_and_joins_again_after_a_resync() {
    let community = Community::found(42, 3, "1s").await;
    let mut servers = community.start_all().await;
    servers[0].certified_after(1).await;
    assert_eq!(servers.pop().expect("three").stop().await, Some(0));
    damage(&community, 2);
    // The state root covers every record, also of accounts that nobody uses; a payment makes a new file.
    let damaged = community.start(2).await;
    let payment = community.payment(1, 2, 0);
    eventually("the payment is taken", async || {
        (servers[0].submit(std::slice::from_ref(&payment)).await.0 == 200).then_some(())
    })
    .await;
    let told = diverges(&damaged).await;
    let named: Vec<_> =
        told["findings"]["first"].as_array().expect("a list").iter().map(|one| &one["address"]).collect();
    let mut expected = [address(5), address(6)];
    expected.sort_by_key(|address| address.0);
    assert_eq!(named, expected.map(|address| serde_json::Value::from(address.to_string())).iter().collect::<Vec<_>>());
    assert_eq!(told["findings"]["records"], 2, "{told}");
    let kept = community.home(2).join("store");
    assert_eq!(told["kept"], kept.to_str().expect("UTF-8"));
    let report = community.home(2).join("diverged/report.txt");
    eventually("the report is there", async || fs::read_to_string(&report).ok().filter(|text| text.contains("resync")))
        .await;

    assert_eq!(resync(&community, 2).0, Some(3), "it runs");
    assert_eq!(damaged.stop().await, Some(0));
    let again = community.start(2).await;
    diverges(&again).await;
    assert_eq!(again.stop().await, Some(0), "a restart cures nothing");

    let (code, said) = resync(&community, 2);
    assert_eq!(code, Some(0), "{said}");
    let aside = fs::read_dir(community.home(2)).expect("readable").filter_map(Result::ok);
    let aside = aside.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("before-resync-"));
    assert!(aside.expect("a dated directory").join("store").is_dir(), "nothing is deleted");

    let cured = community.start(2).await;
    let own = community.genesis.servers.number(&community.secret(2).public()).expect("a server");
    eventually("it signs again", async || {
        let (_, checkpoint) = cured.ask("/v1/checkpoint").await;
        let signers = checkpoint["signed_by"].as_array()?;
        signers.iter().any(|number| number.as_u64() == Some(own.into())).then_some(())
    })
    .await;
    let status = cured.status().await;
    assert_eq!((&status["state"], &status["divergence"]), (&"active".into(), &serde_json::Value::Null));
    for server in &servers {
        let (_, evidence) = server.ask("/v1/evidence").await;
        assert_eq!(evidence["evidence"].as_array().map(Vec::len), Some(0), "an honest server framed itself");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_names_what_is_missing() {
    let community = Community::found(43, 1, "60s").await;
    let (code, said) = resync(&community, 0);
    assert_eq!(code, Some(2), "{said}");
    fs::create_dir_all(community.home(0)).expect("writable");
    let (code, said) = resync(&community, 0);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no database"), "{said}");
}
