//! Handovers followed, kept and held against certificates.
use seedbank_types::{
    Certificate, Checkpoint, CommunityId, Epoch, Grade, Handover, Hash, NumberedSignature, ServerSecret, ServerSet,
};

use super::words;
use crate::discovery::Records;
use crate::judge::Judge;
use crate::samples::{COMMUNITY, NOW, checkpoint, trust};

fn secret(byte: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[byte; 32])
}

/// The servers of these bytes, each with power 1; 1, 2 and 3 are those of the trust file.
fn set(bytes: &[u8]) -> ServerSet {
    ServerSet::new(bytes.iter().map(|byte| (secret(*byte).public(), 1))).expect("different keys")
}

/// A certificate of the servers `of` that names `next`, signed by `by`.
fn signed(epoch: u64, of: &[u8], next: &[u8], by: &[u8]) -> Certificate {
    let checkpoint = Checkpoint { servers: set(next).hash(), ..checkpoint(COMMUNITY, epoch, 1, Hash::ZERO) };
    let set = set(of);
    let sign = |byte: &u8| {
        let number = set.number(&secret(*byte).public()).expect("a server");
        NumberedSignature { number, signature: checkpoint.sign(&secret(*byte)) }
    };
    let mut signatures: Vec<_> = by.iter().map(sign).collect();
    signatures.sort_by_key(|one| one.number);
    Certificate { checkpoint, signatures }
}

fn handover(epoch: u64, of: &[u8], next: &[u8], by: &[u8]) -> Handover {
    Handover { certificate: signed(epoch, of, next, by), next: set(next) }
}

fn judge() -> Judge {
    Judge::new(&trust(), Some(COMMUNITY))
}

#[test]
fn a_chain_of_handovers_leads_from_the_trust_file_to_the_servers_in_force() {
    let mut judge = judge();
    let first = handover(5, &[1, 2, 3], &[2, 3, 4], &[1, 2]);
    let second = handover(9, &[2, 3, 4], &[3, 4, 5], &[2, 3, 4]);
    assert!(judge.follow(&second, NOW).is_err(), "nobody has named its signers yet");
    judge.follow(&first, NOW).expect("by the servers of the file");
    assert!(judge.follow(&first, NOW).is_err(), "it is followed once");
    judge.follow(&second, NOW).expect("by those that the first one names");
    assert_eq!(*judge.servers(), set(&[3, 4, 5]));
    let grade = |certificate: &Certificate| judge.grade(certificate, NOW).ok();
    assert_eq!(grade(&signed(10, &[3, 4, 5], &[3, 4, 5], &[3, 5])), Some(Grade::Crash));
    assert_eq!(grade(&signed(5, &[1, 2, 3], &[2, 3, 4], &[1, 3])), Some(Grade::Crash), "each set signs its epochs");
    assert_eq!(grade(&signed(7, &[2, 3, 4], &[2, 3, 4], &[2, 3, 4])), Some(Grade::Byzantine));
    assert_eq!(grade(&signed(10, &[1, 2, 3], &[1, 2, 3], &[1, 2, 3])), None, "never back to the file's");
    assert_eq!(judge.all_keys().len(), 5, "records of all sets are looked for");
    let told = words(&set(&[1, 2, 3]), &first);
    let expected = format!("1 added ({}), 1 removed ({})", secret(4).public().short(), secret(1).public().short());
    assert!(told.starts_with("the servers changed at epoch 5: ") && told.contains(&expected), "{told}");
}

#[test]
fn a_handover_of_too_few_or_with_other_servers_than_it_names_is_not_followed() {
    let mut judge = judge();
    let good = handover(5, &[1, 2, 3], &[2, 3, 4], &[1, 2]);
    let too_few = handover(5, &[1, 2, 3], &[2, 3, 4], &[1]);
    let others = Handover { next: set(&[4, 5, 6]), ..good.clone() };
    let unchanged = handover(5, &[1, 2, 3], &[1, 2, 3], &[1, 2]);
    for bad in [too_few, others, unchanged] {
        assert!(judge.follow(&bad, NOW).is_err(), "{bad:?}");
    }
    let elsewhere = Judge::new(&trust(), Some(CommunityId([9; 32]))).follow(&good, NOW);
    assert!(elsewhere.is_err(), "of another community");
}

#[test]
fn a_set_that_hands_over_and_comes_back_later_is_believed_again() {
    let mut records = Records::new(judge(), None);
    let there = handover(5, &[1, 2, 3], &[1, 2, 3, 4], &[1, 2, 3]);
    let back = handover(8, &[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3]);
    records.follow(&[vec![there, back]], NOW).expect("no contradiction");
    assert_eq!(*records.judge().servers(), set(&[1, 2, 3]));
    records.take_certificate(&signed(10, &[1, 2, 3], &[1, 2, 3], &[1, 2]), NOW).expect("in force again");
    assert_eq!(records.newest().expect("one").0.checkpoint.epoch, Epoch(10));
}

#[test]
fn two_certified_handovers_of_one_set_are_a_conflict() {
    for later in [5, 9] {
        let one = vec![handover(5, &[1, 2, 3], &[2, 3, 4], &[1, 2])];
        // Signed by 2 and 3, the later one could as well be the next handover, of the set 2, 3, 4.
        let other = vec![handover(later, &[1, 2, 3], &[3, 4, 5], &[1, 3])];
        for answers in [[one.clone(), other.clone()], [other, one]] {
            let conflict = Records::new(judge(), None).follow(&answers, NOW);
            assert!(conflict.is_err(), "at epochs 5 and {later}");
        }
    }
}

#[test]
fn a_set_that_signs_on_after_its_handover_is_a_conflict() {
    let newest = signed(7, &[1, 2, 3], &[1, 2, 3], &[1, 2]);
    let mut records = Records::new(judge(), Some((newest, Grade::Crash)));
    let conflict = records.follow(&[vec![handover(5, &[1, 2, 3], &[3, 4, 5], &[2, 3])]], NOW);
    assert_eq!(conflict.expect_err("epoch 7 is another set's").epoch(), Epoch(5));
}

#[test]
fn kept_handovers_are_followed_from_whichever_set_the_trust_file_names() {
    let first = handover(5, &[7, 8, 9], &[1, 2, 3], &[7, 8]);
    let second = handover(9, &[1, 2, 3], &[2, 3, 4], &[1, 2]);
    let mut judge = judge();
    judge.follow_kept(&[first, second.clone()], NOW);
    assert_eq!((judge.servers(), judge.handovers()), (&set(&[2, 3, 4]), &[second][..]));
}

#[test]
fn handovers_are_kept_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = crate::home::Home::new(dir.path().to_owned()).community(COMMUNITY);
    assert_eq!(home.handovers().expect("none"), []);
    let all = [handover(5, &[1, 2, 3], &[2, 3, 4], &[1, 2]), handover(9, &[2, 3, 4], &[4, 5, 6], &[2, 3])];
    home.store_handovers(&all).expect("written");
    assert_eq!(home.handovers().expect("there"), all);
}
