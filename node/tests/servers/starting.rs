//! What keeps a server from starting, and what it says then.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::{Community, eventually, run};

fn failed(args: &[String]) -> (Option<i32>, String) {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(&args);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn with(args: &[String], flag: &str, value: &str) -> Vec<String> {
    let mut args = args.to_vec();
    let at = args.iter().position(|arg| arg == flag).expect("the flag is there");
    value.clone_into(&mut args[at + 1]);
    args
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_files_and_flags_are_named() {
    let community = Community::found(5, 1, "60s").await;
    let args = community.args(0);
    let bad = community.dir.path().join("bad");
    let bad_text = bad.to_str().expect("UTF-8");
    fs::write(&bad, "no such thing").expect("writable");
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o600)).expect("own file");
    for flag in ["--genesis", "--snapshot", "--key"] {
        let (code, said) = failed(&with(&args, flag, bad_text));
        assert_eq!(code, Some(2), "{flag}: {said}");
        assert!(said.contains(bad_text), "{flag}: {said}");
    }
    let stranger = community.dir.path().join("stranger");
    let stranger = stranger.to_str().expect("UTF-8");
    run(&["key", "new", "--out", stranger]);
    let (code, said) = failed(&with(&args, "--key", stranger));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is no server of Test"), "{said}");
    assert!(!community.home(0).join("store").exists(), "nothing was made for a stranger");
    let nowhere = community.dir.path().join("nowhere");
    let nowhere = nowhere.to_str().expect("UTF-8");
    for (flag, next) in [
        ("--genesis", "--genesis"),
        ("--snapshot", "--snapshot"),
        ("--key", &format!("seedbankd key new --out {nowhere}")),
    ] {
        let (code, said) = failed(&with(&args, flag, nowhere));
        assert_eq!(code, Some(2), "{flag}: {said}");
        assert!(said.contains(nowhere) && said.contains(next), "{flag}: {said}");
    }
    let (code, said) = failed(&with(&args, "--bootstrap", "192.0.2.1:6881"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("192.0.2.1:6881"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_first_snapshot_is_refused() {
    let community = Community::found(6, 1, "60s").await;
    let snapshot = community.dir.path().join("community/genesis.snapshot");
    let mut bytes = fs::read(&snapshot).expect("there");
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    fs::write(&snapshot, bytes).expect("writable");
    let (code, said) = failed(&community.args(0));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("genesis.snapshot"), "{said}");
    assert!(!community.home(0).join("store").exists(), "nothing was made of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn home_and_key_are_used_by_one_process_at_a_time() {
    let community = Community::found(7, 1, "1s").await;
    let server = community.start(0).await;
    let (code, said) = failed(&community.args(0));
    assert_eq!(code, Some(3), "{said}");
    let other = community.dir.path().join("other");
    let (code, said) = failed(&with(&community.args(0), "--home", other.to_str().expect("UTF-8")));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the key"), "{said}");
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_record_is_in_the_dht_does_not_begin_again_from_genesis() {
    let community = Community::found(8, 1, "500ms").await;
    let server = community.start(0).await;
    server.certified_after(0).await;
    let key = community.genesis.servers.keys().next().expect("one server");
    eventually("its record is in the DHT", async || {
        community.dht[1].record(key).await.expect("the DHT answers").map(drop)
    })
    .await;
    server.kill();
    fs::rename(community.home(0).join("store"), community.dir.path().join("lost")).expect("it does not run");
    let (code, said) = failed(&community.args(0));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("has signed before"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_key_puts_records_elsewhere_stops() {
    let community = Community::found(10, 1, "500ms").await;
    let server = community.start(0).await;
    server.certified_after(0).await;
    let secret = community.secret(0);
    let own = eventually("its record is in the DHT", async || {
        community.dht[1].record(secret.public()).await.expect("the DHT answers")
    })
    .await;
    // An hour ahead, so that no record of the server itself comes to be the newer one.
    let elsewhere = own.seq + 3_600_000;
    community.dht[1].put_record(&secret, elsewhere, own.value).await.expect("stored");
    assert_eq!(server.ended().await, Some(4), "{}", community.log_of(0));
    assert!(community.log_of(0).contains("in use elsewhere"), "{}", community.log_of(0));
}
