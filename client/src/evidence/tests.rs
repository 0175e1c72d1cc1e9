use seedbank_types::ServerKey;

use super::*;
use crate::home::Home;
use crate::ranking::Conflict;
use crate::samples::{self, COMMUNITY, certificate, trust};

fn proof(server: u8, epoch: u64) -> Evidence {
    let conflict = Conflict { one: certificate(epoch, 1, &[server]), other: certificate(epoch, 2, &[server]) };
    conflict.evidence(&samples::servers()).remove(0)
}

fn key(server: usize) -> ServerKey {
    samples::secrets()[server].public()
}

fn trusted() -> Trusted {
    let (file, ip) = (trust(), std::net::Ipv4Addr::LOCALHOST.into());
    Trusted { text: file.to_string(), file, community: Some(COMMUNITY), ip, api: None }
}

#[test]
fn a_proof_is_right_by_itself_and_names_a_server_by_the_trust_file() {
    let bytes = proof(1, 7).encode();
    let alone = judge(&bytes, None).expect("two signatures");
    assert_eq!((&alone.json["epoch"], &alone.json["in_trust_file"]), (&7.into(), &Value::Null));
    let with = judge(&bytes, Some(&trusted())).expect("a server");
    assert_eq!(with.json["in_trust_file"], true);
    assert!(with.words.contains(&key(1).to_string()), "{}", with.words);
    let hex = format!("{}\n", hex::encode(&bytes));
    assert_eq!(judge(hex.as_bytes(), None).expect("the same").json, alone.json);
}

#[test]
fn what_proves_nothing_is_exit_5() {
    let good = proof(1, 7).encode();
    let mut flipped = good.clone();
    flipped[300] ^= 1;
    for bytes in [&b""[..], b"hello", &good[..good.len() - 1], &flipped, b"01ff"] {
        assert_eq!(judge(bytes, None).expect_err("no proof").exit, Exit::Unverified);
    }
    let others = Trusted { community: Some(CommunityId([9; 32])), ..trusted() };
    assert!(judge(&good, Some(&others)).expect_err("elsewhere").message.contains("another community"));
    let stranger = seedbank_types::ServerSecret::from_bytes(&[99; 32]).public();
    let servers = seedbank_types::ServerSet::new([(stranger, 1)]).expect("one server");
    let others = Trusted { file: seedbank_types::TrustFile { servers, ..trust() }, ..trusted() };
    assert!(judge(&good, Some(&others)).expect_err("a stranger").message.contains("no server"));
}

#[test]
fn evidence_is_kept_once_and_of_one_key_only_a_few() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = Home::new(directory.path().to_owned()).community(COMMUNITY);
    for epoch in [3, 3, 9, 4, 5, 6] {
        home.store_evidence(&proof(1, epoch)).expect("writable");
    }
    home.store_evidence(&proof(2, 8)).expect("writable");
    std::fs::write(home.evidence_directory().join("notes"), "hello").expect("writable");
    let all = read_all(&home.evidence_directory(), COMMUNITY, &samples::servers()).expect("readable");
    let all: Vec<_> = all.iter().map(|(one, _)| (one.key, one.a.epoch.0)).collect();
    assert_eq!(all, [(key(1), 3), (key(1), 4), (key(1), 5), (key(2), 8), (key(1), 9)]);
}
