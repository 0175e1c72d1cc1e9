//! `seedbank verify FILE`: whether a file is what the trusted servers signed, whatever kind it is of.
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use seedbank_snapshot::{Expected, FileHeader, FileKind, HEADER_BYTES, Proof, verify_full};
use seedbank_torrent::{Metainfo, file_name};
use seedbank_types::{
    Address, Certificate, Checkpoint, CommunityId, DecodeError, Evidence, Genesis, Grade, Handover, Receipt,
    ServerRecord, TimeMs,
};
use serde_json::{Value, json};

use crate::cli::VerifyFlags;
use crate::disk;
use crate::errors::{Exit, Failure};
use crate::judge::Judge;
use crate::network::Network;
use crate::report::{self, Answer};
use crate::settings::{Settings, Trusted};
use crate::sync;

/// Statements are short; only snapshots are longer.
const STATEMENT_BYTES_MAX: u64 = 1 << 20;
const SNAPSHOT_MAGIC: &[u8; 8] = b"SEEDBANK";
const GENESIS_PREFIX: &[u8] = b"seedbank/genesis/1";
const REFUSED: &str = "Do not rely on this file. Get it again from somewhere else.";

pub(crate) async fn run(settings: &Settings, flags: &VerifyFlags) -> Result<Answer, Failure> {
    let trusted = settings.trusted()?;
    check_is_file(&flags.file)?;
    let mut file = open(&flags.file)?;
    let mut start = [0; SNAPSHOT_MAGIC.len()];
    let is_snapshot = file.read_exact(&mut start).is_ok() && start == *SNAPSHOT_MAGIC;
    if is_snapshot {
        return snapshot(settings, flags, &trusted, file).await;
    }
    let bytes = disk::read(&flags.file, STATEMENT_BYTES_MAX)?.unwrap_or_default();
    let (records, _) = sync::start(&settings.home, &trusted)?;
    statement(&bytes, records.judge(), report::now())
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let message = format!("cannot open {}: {error}", path.display());
        Failure::new(Exit::NotFound, message, "Check the name of the file.")
    })
}

fn check_is_file(path: &Path) -> Result<(), Failure> {
    if !path.is_dir() {
        return Ok(());
    }
    let message = format!("{} is a directory", path.display());
    Err(Failure::usage(message, "Name one file in it."))
}

/// A snapshot is measured by the certificates on disk, and if those do not fit by the newest that is found.
async fn snapshot(settings: &Settings, flags: &VerifyFlags, trusted: &Trusted, file: File) -> Result<Answer, Failure> {
    let (records, genesis) = sync::start(&settings.home, trusted)?;
    let mut known: Vec<_> = records.newest().cloned().into_iter().collect();
    if let Some(home) = settings.community_home(trusted)
        && let Some(verified) = home.verified()?
        && let Ok(grade) = records.judge().grade(&verified, report::now())
    {
        known.push((verified, grade));
    }
    let mut file = file;
    let first = check_snapshot(&mut file, &known, genesis.as_ref());
    let failure = match first {
        Ok(answer) => return Ok(answer),
        Err(failure) if flags.offline => return Err(failure),
        Err(failure) => failure,
    };
    let network = match Network::start(trusted).await {
        Ok(network) => network,
        Err(_) if !known.is_empty() => return Err(failure),
        Err(failure) => return Err(failure),
    };
    match sync::discover(&settings.home, trusted, &network).await {
        Ok(found) => check_snapshot(&mut file, &[found.newest()?], found.genesis.as_ref()),
        Err(_) if !known.is_empty() => Err(failure),
        Err(failure) => Err(failure),
    }
}

/// Tries one certificate after the other; the first one's reason is the one told.
fn check_snapshot(
    file: &mut File,
    known: &[(Certificate, Grade)],
    genesis: Option<&Genesis>,
) -> Result<Answer, Failure> {
    let header = read_header(file)?;
    if header.kind == FileKind::Delta {
        return Err(Failure::unverified(
            "this is a delta file, which this version cannot check",
            "Check the full file.",
        ));
    }
    let mut reasons = Vec::new();
    if let Some(genesis) = genesis.filter(|_| header.height.0 == 0) {
        match check_whole(file, &Expected::of_genesis(genesis)) {
            Ok(()) => return Ok(snapshot_answer(&header, None)),
            Err(failure) => reasons.push(failure),
        }
    }
    for (certificate, grade) in known {
        let whole = check_whole(file, &Expected::of_checkpoint(&certificate.checkpoint));
        match whole.and_then(|()| check_bytes(file, &header, &certificate.checkpoint)) {
            Ok(()) => return Ok(snapshot_answer(&header, Some((certificate, *grade)))),
            Err(failure) => reasons.push(failure),
        }
    }
    let nothing = || {
        Failure::new(Exit::NoRecord, "no certificate is known to measure this file by", "Run `seedbank sync` first.")
    };
    Err(reasons.into_iter().next().unwrap_or_else(nothing))
}

fn read_header(file: &mut File) -> Result<FileHeader, Failure> {
    let mut bytes = [0; HEADER_BYTES];
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes));
    read.map_err(|error| Failure::unverified(format!("the snapshot file has no whole header: {error}"), REFUSED))?;
    FileHeader::decode(&bytes).map_err(|error| Failure::unverified(error, REFUSED))
}

fn check_whole(file: &mut File, expected: &Expected) -> Result<(), Failure> {
    let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    verify_full(file, length, expected, |_record| ()).map(drop).map_err(|error| Failure::unverified(error, REFUSED))
}

/// The state root confirms all but the height in the header; the infohash covers every byte.
fn check_bytes(file: &mut File, header: &FileHeader, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let name = file_name(&header.community, header.height, seedbank_torrent::FileKind::Snapshot);
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let metainfo = Metainfo::of_reader(&name, checkpoint.snapshot.length, file).map_err(unreadable)?;
    if metainfo.info_hash() == checkpoint.snapshot.info_hash {
        return Ok(());
    }
    let message = format!(
        "the balances are right, but the file is not the one signed for: its header says height {}",
        header.height
    );
    Err(Failure::unverified(message, REFUSED))
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Disk, format!("the file cannot be read: {error}"), "Try again.")
}

fn snapshot_answer(header: &FileHeader, by: Option<(&Certificate, Grade)>) -> Answer {
    let measured = match by {
        Some((certificate, grade)) => format!("epoch {}, grade {grade}", certificate.checkpoint.epoch),
        None => "the genesis".to_owned(),
    };
    let words = format!(
        "right: a snapshot of {} accounts with {} minor units at height {}, as signed for in {measured}",
        report::grouped(header.count),
        header.supply,
        header.height
    );
    let mut json = valid("snapshot", header.community);
    json["height"] = header.height.0.into();
    json["accounts"] = header.count.into();
    json["supply"] = header.supply.to_string().into();
    json["epoch"] = by.map(|(certificate, _)| certificate.checkpoint.epoch.0).into();
    json["grade"] = by.map(|(_, grade)| grade.to_string()).into();
    Answer::new(words, json)
}

fn valid(kind: &str, community: CommunityId) -> Value {
    json!({ "kind": kind, "valid": true, "community": community.to_string() })
}

/// The kinds of short files; each has exactly one encoding, so at most one fits.
fn statement(bytes: &[u8], judge: &Judge, now: TimeMs) -> Result<Answer, Failure> {
    if bytes.starts_with(GENESIS_PREFIX) {
        return genesis(bytes, judge);
    }
    let mut reasons = Vec::new();
    macro_rules! try_kind {
        ($kind:ty, $check:expr) => {
            match <$kind>::decode(bytes) {
                Ok(value) => return $check(&value, judge, now),
                Err(error) => reasons.push(error),
            }
        };
    }
    try_kind!(Certificate, certificate);
    try_kind!(ServerRecord, record);
    try_kind!(Proof, proof);
    try_kind!(Receipt, receipt);
    try_kind!(Evidence, evidence);
    try_kind!(Handover, handover);
    Err(Failure::unverified(no_kind(&reasons), REFUSED))
}

/// The kind that could be read furthest is the likeliest.
fn no_kind(reasons: &[DecodeError]) -> String {
    match reasons.iter().rev().max_by_key(|error| error.at).filter(|error| error.at > 0) {
        Some(likeliest) => format!("the file is nothing that servers sign; it looks most like this: {likeliest}"),
        None => "the file is nothing that servers sign".to_owned(),
    }
}

fn refused(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::unverified(format!("the {what} is refused: {error}"), REFUSED)
}

fn community(judge: &Judge, of_file: CommunityId) -> CommunityId {
    judge.community().unwrap_or(of_file)
}

fn genesis(bytes: &[u8], judge: &Judge) -> Result<Answer, Failure> {
    let genesis = Genesis::decode(bytes).map_err(|error| refused("genesis", error))?;
    let mut judge = judge.clone();
    if judge.community().is_none() && genesis.servers == *judge.servers() {
        judge.pin(genesis.community());
    }
    judge.learn(&genesis).map_err(|error| refused("genesis", error))?;
    let words = format!("right: the genesis of {}, community {}", report::shown(&genesis.name), genesis.community());
    Ok(Answer::new(words, valid("genesis", genesis.community())))
}

fn graded(kind: &str, certificate: &Certificate, grade: Grade, rule_words: &str) -> Answer {
    let checkpoint = &certificate.checkpoint;
    let words = format!("right: a {kind} of epoch {}, {rule_words}", checkpoint.epoch);
    let mut json = valid(kind, checkpoint.community);
    json["epoch"] = checkpoint.epoch.0.into();
    json["grade"] = grade.to_string().into();
    Answer::new(words, json)
}

fn certificate(certificate: &Certificate, judge: &Judge, now: TimeMs) -> Result<Answer, Failure> {
    let grade = judge.grade(certificate, now).map_err(|error| refused("certificate", error))?;
    Ok(graded("certificate", certificate, grade, report::guarantee(grade, judge.rule())))
}

fn record(record: &ServerRecord, judge: &Judge, now: TimeMs) -> Result<Answer, Failure> {
    let grade = judge.grade(&record.certificate, now).map_err(|error| refused("record", error))?;
    Ok(graded("record", &record.certificate, grade, report::guarantee(grade, judge.rule())))
}

fn proof(proof: &Proof, judge: &Judge, now: TimeMs) -> Result<Answer, Failure> {
    judge.grade(proof.certificate(), now).map_err(|error| refused("proof", error))?;
    let community = community(judge, proof.certificate().checkpoint.community);
    let proven = proof.verify(&proof.id(), &community, judge.servers(), judge.rule());
    let proven = proven.map_err(|error| refused("proof", error))?;
    let address = Address(proof.id());
    let says = match proven.record {
        Some(record) => format!("{address} holds {} minor units after {} payments", record.balance, record.sequence),
        None => format!("{address} was never opened"),
    };
    let mut answer = graded("proof", proof.certificate(), proven.grade, &says);
    answer.json["address"] = address.to_string().into();
    answer.json["balance"] = proven.record.map(|record| record.balance.to_string()).into();
    answer.json["sequence"] = proven.record.map(|record| record.sequence).into();
    Ok(answer)
}

fn receipt(receipt: &Receipt, judge: &Judge, now: TimeMs) -> Result<Answer, Failure> {
    judge.grade(&receipt.certificate, now).map_err(|error| refused("receipt", error))?;
    let community = community(judge, receipt.certificate.checkpoint.community);
    let grade = receipt.verify(&community, judge.servers(), judge.rule());
    let grade = grade.map_err(|error| refused("receipt", error))?;
    let payment = &receipt.payment.payment;
    let id = payment.id(&community);
    let says = format!("payment {id} of {} minor units to {} was made", payment.amount, Address(payment.payee));
    let mut answer = graded("receipt", &receipt.certificate, grade, &says);
    answer.json["id"] = id.to_string().into();
    Ok(answer)
}

fn evidence(evidence: &Evidence, judge: &Judge, _now: TimeMs) -> Result<Answer, Failure> {
    evidence.verify().map_err(|error| refused("evidence", error))?;
    if judge.servers().number(&evidence.key).is_none() {
        return Err(refused("evidence", "the accused key is no server of the trust file"));
    }
    if judge.community().is_some_and(|community| community != evidence.a.community) {
        return Err(refused("evidence", "it is of another community"));
    }
    let words = format!("right: server {} signed two checkpoints of epoch {}", evidence.key, evidence.a.epoch);
    let mut json = valid("evidence", evidence.a.community);
    json["server"] = evidence.key.to_string().into();
    json["epoch"] = evidence.a.epoch.0.into();
    Ok(Answer::new(words, json))
}

fn handover(handover: &Handover, judge: &Judge, now: TimeMs) -> Result<Answer, Failure> {
    let grade = judge.grade(&handover.certificate, now).map_err(|error| refused("handover", error))?;
    handover.verify(judge.servers(), judge.rule()).map_err(|error| refused("handover", error))?;
    let says =
        format!("the next servers are {}", handover.next.keys().map(|key| key.short()).collect::<Vec<_>>().join(", "));
    Ok(graded("handover", &handover.certificate, grade, &says))
}

#[cfg(test)]
mod tests {
    use seedbank_types::{Contact, Rule};

    use super::*;
    use crate::samples::{self, COMMUNITY, NOW, trust};

    fn kind(bytes: &[u8]) -> Result<String, Exit> {
        let judge = Judge::new(&trust(), Some(COMMUNITY));
        let answer = statement(bytes, &judge, NOW).map_err(|failure| failure.exit)?;
        Ok(answer.json["kind"].as_str().expect("a text").to_owned())
    }

    #[test]
    fn a_file_is_known_by_its_form() {
        let certificate = samples::certificate(7, 1, &[0, 1]);
        assert_eq!(kind(&certificate.encode()).as_deref(), Ok("certificate"));
        let record = ServerRecord { certificate, contacts: vec![Contact::Api("http://127.0.0.1".to_owned())] };
        assert_eq!(kind(&record.encode()).as_deref(), Ok("record"));
        let conflict = crate::ranking::Conflict {
            one: samples::certificate(7, 1, &[0, 1]),
            other: samples::certificate(7, 2, &[1, 2]),
        };
        let evidence = &conflict.evidence(&samples::servers())[0];
        assert_eq!(kind(&evidence.encode()).as_deref(), Ok("evidence"));
        assert_eq!(kind(b"something else"), Err(Exit::Unverified));
        assert_eq!(kind(b""), Err(Exit::Unverified));
    }

    #[test]
    fn of_a_cut_file_only_the_likeliest_kind_is_named() {
        let bytes = samples::certificate(7, 1, &[0, 1]).encode();
        let judge = Judge::new(&trust(), Some(COMMUNITY));
        let failure = statement(&bytes[..bytes.len() - 1], &judge, NOW).expect_err("cut");
        assert_eq!(failure.message.matches("bad ").count(), 1, "{failure}");
        assert!(check_is_file(tempfile::tempdir().expect("a directory").path()).is_err());
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused() {
        let certificate = samples::certificate(7, 1, &[0, 1]);
        let record = ServerRecord { certificate: certificate.clone(), contacts: Vec::new() };
        for bytes in [certificate.encode(), record.encode()] {
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(kind(&changed), Err(Exit::Unverified), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_genesis_must_be_that_of_the_community() {
        let genesis = samples::genesis(Rule::Majority);
        assert_eq!(kind(&genesis.encode()), Err(Exit::Unverified));
        let judge = Judge::new(&trust(), Some(genesis.community()));
        assert!(statement(&genesis.encode(), &judge, NOW).is_ok());
    }
}
