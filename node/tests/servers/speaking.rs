//! More servers than may fail have forgotten what their keys said.
use seedbank_quorum::Guard;
use seedbank_store::Store;
use seedbank_types::{Epoch, Height};

use crate::common::{Community, eventually, run};

fn speak_again(community: &Community, number: u8, more: &[&str]) -> (Option<i32>, String) {
    let home = community.home(number);
    let output = run(&[&["speak-again", "--home", home.to_str().expect("UTF-8")], more].concat());
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_all_wait_speak_again_when_their_operators_say_so() {
    let community = Community::found(46, 3, "1s").await;
    let servers = community.start_all().await;
    let certified = servers[0].certified_after(1).await;
    assert_eq!(speak_again(&community, 0, &["--i-take-the-risk"]).0, Some(3), "it runs");
    for server in servers {
        assert_eq!(server.stop().await, Some(0));
    }
    for number in 0..3 {
        let store = Store::open(&community.home(number).join("store")).expect("closed");
        let guard = Guard { vote_from: Height(10_000), sign_from: Epoch(10_000), ..Guard::default() };
        store.meta_put("guard", &guard.encode()).expect("writable");
    }

    let servers = community.start_all().await;
    for server in &servers {
        eventually("it waits", async || (server.status().await["state"] == "observing").then_some(())).await;
    }
    for server in servers {
        assert_eq!(server.stop().await, Some(0));
    }

    let (code, said) = speak_again(&community, 0, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("votes from height 10000") && said.contains("proof against it"), "{said}");
    for number in 0..3 {
        let (code, said) = speak_again(&community, number, &["--i-take-the-risk"]);
        assert_eq!(code, Some(0), "{said}");
    }
    let servers = community.start_all().await;
    for server in &servers {
        server.certified_after(certified + 3).await;
    }
}
