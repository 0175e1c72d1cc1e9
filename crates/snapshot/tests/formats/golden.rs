//! Golden bytes: roots, files and proofs, compared with files under `tests/golden/`.
//!
//! A file has sections `[name]` of hex lines; `#` begins a comment. The bytes are fixed for good:
//! a change of one of them is a change of the protocol.
use seedbank_snapshot::{FileHeader, FileKind, HEADER_BYTES, Proof, bucket_hash};
use seedbank_types::{AccountId, AccountRecord, Amount};

use crate::deltas::Change;
use crate::fixtures::{expected, full_file, records, table};
use crate::proofs::proof;
use crate::slow;

const ROOT: &str = include_str!("../golden/root.hex");
const FULL_FILE: &str = include_str!("../golden/full_file.hex");
const DELTA: &str = include_str!("../golden/delta.hex");
const PROOF: &str = include_str!("../golden/proof.hex");

/// The hex digits of one section.
fn section(golden: &str, name: &str) -> String {
    let title = format!("[{name}]");
    let lines = golden.lines().skip_while(|line| *line != title).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#')).collect()
}

#[track_caller]
fn assert_golden(golden: &str, name: &str, bytes: &[u8]) {
    assert_eq!(hex::encode(bytes), section(golden, name), "[{name}]");
}

/// Three accounts that can be written down by hand.
fn three() -> Vec<AccountRecord> {
    let record =
        |byte, balance, sequence| AccountRecord { id: AccountId([byte; 20]), balance: Amount(balance), sequence };
    vec![record(0x11, 1, 0), record(0x22, 0x0203, 4), record(0xff, 1 << 63, u64::MAX)]
}

#[test]
fn roots() {
    let sets = [
        ("no account", vec![]),
        ("one account", three()[..1].to_vec()),
        ("three accounts", three()),
        ("257 accounts", records(257)),
        ("1025 accounts", records(1025)),
    ];
    for (name, records) in sets {
        assert_golden(ROOT, name, &table(&records).root().0);
        assert_golden(ROOT, name, &slow::state_root(&records).0);
    }
}

#[test]
fn buckets() {
    assert_golden(ROOT, "bucket of no account", &bucket_hash(&[]).0);
    assert_golden(ROOT, "bucket of three accounts", &bucket_hash(&three()).0);
}

#[test]
fn full_files() {
    assert_golden(FULL_FILE, "three", &full_file(&three()));
    // Two groups of two buckets; all but the records.
    assert_golden(FULL_FILE, "head of 600", &full_file(&records(600))[..HEADER_BYTES + 2 * 40 + 4 * 40]);
}

#[test]
fn deltas() {
    let record =
        |byte, balance, sequence| AccountRecord { id: AccountId([byte; 20]), balance: Amount(balance), sequence };
    let base = [record(0x11, 1, 0), record(0x22, 0x0203, 4), record(0xff, 1 << 62, 7)];
    let changed = [record(0x22, 0x0103, 5), record(0x33, 0x0100, 0)];
    let change = Change::new(base.to_vec(), changed);
    let full = change.base_file();
    let length = u16::try_from(full.len()).expect("a small file");
    assert_golden(DELTA, "full file and delta", &[&length.to_be_bytes()[..], &full, &change.delta()].concat());
}

#[test]
fn headers() {
    let bytes = hex::decode(section(FULL_FILE, "head of 600")).expect("hex digits");
    let header = FileHeader::decode(&bytes[..HEADER_BYTES]).expect("golden");
    header.check(FileKind::Full, &expected(&records(600))).expect("of these records");
    assert_eq!(header.encode(), bytes[..HEADER_BYTES]);
}

#[test]
fn proofs() {
    for (name, id) in [("present", AccountId([0x22; 20])), ("absent", AccountId([0x23; 20]))] {
        assert_golden(PROOF, name, &proof(&id, &three()).encode());
        let bytes = hex::decode(section(PROOF, name)).expect("hex digits");
        assert_eq!(Proof::decode(&bytes), Ok(proof(&id, &three())));
    }
}
