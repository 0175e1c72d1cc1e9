//! `seedbank evidence` as people run it, offline.
use std::path::Path;
use std::process::{Command, Output};

use seedbank_types::{Amount, Checkpoint, CommunityId, Epoch, Evidence, FileRef, Hash, Height, ServerSecret, TimeMs};
use serde_json::Value;

const COMMUNITY: CommunityId = CommunityId([1; 32]);

fn secret(number: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[number; 32])
}

fn proof(number: u8) -> Evidence {
    let signed = |root| {
        let checkpoint = Checkpoint {
            community: COMMUNITY,
            epoch: Epoch(7),
            height: Height(3),
            time: TimeMs(4),
            root: Hash([root; 32]),
            count: 6,
            supply: Amount(7),
            closing_header: Hash([8; 32]),
            previous: Hash([9; 32]),
            servers: Hash([10; 32]),
            snapshot: FileRef::NONE,
            delta: FileRef::NONE,
        };
        let signature = checkpoint.sign(&secret(number));
        (checkpoint, signature)
    };
    Evidence::new(secret(number).public(), signed(1), signed(2)).expect("two of one epoch")
}

/// Runs it with `--json` and a home of its own.
fn seedbank(home: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let program = env!("CARGO_BIN_EXE_seedbank");
    let output: Output =
        Command::new(program).arg("--home").arg(home).arg("--json").arg("evidence").args(args).output().expect("built");
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), serde_json::from_str(words.trim()).unwrap_or_else(|error| panic!("{error}: {words}")))
}

#[test]
fn every_end_has_its_exit_code_and_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).expect("writable");
    let trust = format!("{}\ncommunity = {COMMUNITY}\n", secret(1).public());
    write("test.keys", trust.as_bytes());
    write("bad.keys", b"no key");
    write("good", &proof(1).encode());
    write("hex", hex::encode(proof(1).encode()).as_bytes());
    write("stranger", &proof(2).encode());
    write("cut", &proof(1).encode()[..675]);
    write("long", &[1; 5_000]);
    let (good, trust) = (path("good"), path("test.keys"));
    let home = dir.path().join("home");
    for (args, code) in [
        (vec!["verify", &good], 0),
        (vec!["verify", &good, "--trust", &trust], 0),
        (vec!["verify", &path("hex")], 0),
        (vec!["verify", &path("stranger")], 0),
        (vec!["verify", &path("stranger"), "--trust", &trust], 5),
        (vec!["verify", &path("cut")], 5),
        (vec!["verify", &path("nowhere")], 3),
        (vec!["verify", dir.path().to_str().expect("UTF-8")], 2),
        (vec!["verify"], 2),
        (vec!["verify", &good, "--trust", &path("bad.keys")], 2),
        (vec!["list"], 2),
        (vec!["list", "--trust", &trust], 0),
        (vec!["export", &path("out"), "--trust", &trust], 0),
        (vec!["export", &good, "--trust", &trust], 2),
        (vec!["hide"], 2),
    ] {
        let (found, answer) = seedbank(&home, &args);
        assert_eq!(found, Some(code), "{args:?}: {answer}");
        let says = answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty());
        assert_eq!(says, code != 0, "{args:?}: {answer}");
    }
    assert_ne!(seedbank(&home, &["verify", &path("long")]).0, Some(0));
    assert!(!path("out").is_empty() && !dir.path().join("out").exists(), "nothing to export");
}

#[test]
fn what_is_kept_is_listed_exported_and_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join("home");
    let kept = home.join(COMMUNITY.to_string()).join("evidence");
    std::fs::create_dir_all(&kept).expect("writable");
    std::fs::write(kept.join("one"), proof(1).encode()).expect("writable");
    std::fs::write(kept.join("stranger"), proof(2).encode()).expect("writable");
    let trust = dir.path().join("test.keys");
    std::fs::write(&trust, format!("{}\ncommunity = {COMMUNITY}\n", secret(1).public())).expect("writable");
    let trust = trust.to_str().expect("UTF-8");
    let (_, list) = seedbank(&home, &["list", "--trust", trust]);
    assert_eq!(list["evidence"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["evidence"][0]["server"], secret(1).public().to_string());
    let out = dir.path().join("out");
    let (code, exported) = seedbank(&home, &["export", out.to_str().expect("UTF-8"), "--trust", trust]);
    let file = exported["files"][0].as_str().expect("one file").to_owned();
    assert_eq!(code, Some(0), "{exported}");
    let (code, verified) = seedbank(&home, &["verify", &file, "--trust", trust]);
    assert_eq!((code, &verified["epoch"]), (Some(0), &7.into()), "{verified}");
}
