//! Bytes taken for a full file whose header and group lines were signed for, so that all the rest
//! is reached: no panic, and what is accepted is the one file of its records.
#![no_main]
use std::io::Cursor;

use seedbank_snapshot::{
    BucketTable, Expected, FileHeader, FullFile, HEADER_BYTES, group_bits, state_root, verify_full, write_full,
};
use seedbank_types::{Hash, tree};

/// The statement that confirms header and group lines of these bytes.
fn statement(bytes: &[u8]) -> Option<Expected> {
    let header = FileHeader::decode(bytes.get(..HEADER_BYTES)?).ok()?;
    let groups = bytes[HEADER_BYTES..].chunks_exact(40).take(1 << group_bits(header.bits));
    let nodes = groups.map(|line| Hash(line[8..].try_into().expect("32 of 40 bytes"))).collect();
    let FileHeader { bits, community, height, count, supply, .. } = header;
    let root = state_root(bits, count, supply, &tree::root(nodes));
    Some(Expected { community, root, count, supply, height_max: height })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(expected) = statement(bytes) else { return };
    let mut records = Vec::new();
    let verified = verify_full(bytes, bytes.len() as u64, &expected, |record| records.push(*record));
    if let Ok(verified) = &verified {
        let table = BucketTable::from_records(expected.count, records.iter().copied()).expect("verified");
        assert_eq!(table, verified.table);
        let mut again = Vec::new();
        write_full(expected.community, expected.height_max, &table, records.iter().copied(), &mut again)
            .expect("verified");
        assert_eq!(again, bytes, "two files of one state");
    }
    let Ok(mut file) = FullFile::open(Cursor::new(bytes), &expected) else { return };
    for record in records {
        let found = file.account(&record.id);
        assert!(verified.is_err() || found.is_ok_and(|found| found == Some(record)), "{record:?}");
    }
});
