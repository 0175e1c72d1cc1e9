//! A length, bytes taken for a full file as long as it says, and the rest taken for a delta on it
//! whose header and group lines were signed for: no panic, and what is accepted is the one delta
//! of its records.
#![no_main]
use std::collections::BTreeMap;
use std::io::Cursor;

use seedbank_snapshot::{
    BaseFile, BucketTable, DeltaFile, Expected, FileHeader, HEADER_BYTES, group_bits, state_root, verify_delta,
    write_delta,
};
use seedbank_types::{AccountId, AccountRecord, CommunityId, Hash, tree};

/// The statement that confirms header and group lines of these bytes.
fn statement(bytes: &[u8]) -> Option<Expected> {
    let header = FileHeader::decode(bytes.get(..HEADER_BYTES)?).ok()?;
    let groups = bytes[HEADER_BYTES..].chunks_exact(40).take(1 << group_bits(header.bits));
    let nodes = groups.map(|line| Hash(line[8..].try_into().expect("32 of 40 bytes"))).collect();
    let FileHeader { bits, community, height, count, supply, .. } = header;
    let root = state_root(bits, count, supply, &tree::root(nodes));
    Some(Expected { community, root, count, supply, height_max: height })
}

fn open(base: &[u8], community: CommunityId) -> Option<BaseFile<Cursor<&[u8]>>> {
    BaseFile::open(Cursor::new(base), community).ok()
}

/// The last so many records of a file.
fn of_base(base: &[u8], count: u64) -> BTreeMap<AccountId, AccountRecord> {
    let chunks = base.rchunks_exact(AccountRecord::BYTES).take(count as usize);
    let records = chunks.filter_map(|bytes| AccountRecord::decode(bytes).ok());
    records.map(|record| (record.id, record)).collect()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((length, bytes)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_be_bytes(*length));
    let Some((base, delta)) = bytes.split_at_checked(length) else { return };
    let Some(expected) = statement(delta) else { return };
    let Some(mut whole) = open(base, expected.community) else { return };
    let (base_height, base_count) = (whole.header().height, whole.header().records);
    let mut records = Vec::new();
    let verified =
        verify_delta(delta, delta.len() as u64, &mut whole, &expected, |record| records.push(*record));
    if verified.is_ok() {
        let table = BucketTable::from_records(expected.count, records.iter().copied()).expect("verified");
        let known = of_base(base, base_count);
        let changed: Vec<_> = records.iter().filter(|one| known.get(&one.id) != Some(one)).copied().collect();
        let mut again = Vec::new();
        write_delta(expected.community, expected.height_max, base_height, &table, &changed, &mut again)
            .expect("verified");
        assert_eq!(again, delta, "two deltas of one change");
    }
    let Some(base) = open(base, expected.community) else { return };
    let Ok(mut file) = DeltaFile::open(Cursor::new(delta), base, &expected) else { return };
    for record in records {
        // Nothing confirms the base's own lines, which lead a look-up: it may fail, but never lie.
        let found = file.account(&record.id);
        assert!(verified.is_err() || found.map_or(true, |found| found == Some(record)), "{record:?}");
    }
});
