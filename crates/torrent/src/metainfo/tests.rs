use super::*;

const KIB: u64 = 1024;

/// Bytes that everybody can make again: byte i is (31 i + i / 256) mod 256.
fn bytes(count: u64) -> Vec<u8> {
    (0..count).map(|i| (i.wrapping_mul(31).wrapping_add(i >> 8) & 0xff) as u8).collect()
}

fn metainfo(name: &str, count: u64) -> Metainfo {
    Metainfo::of_reader(name, count, &bytes(count)[..]).expect("as many bytes as promised")
}

/// Name, length, pieces and infohash as libtorrent 2.1.1 (`create_torrent`, v1 only) makes them of the same bytes.
const GOLDEN: [(&str, u64, usize, &str); 6] = [
    ("seedbank-a1b2c3d4-0.snapshot", 1, 1, "7fc75b664a3eaa2fa00a86620f7ff44671c6f049"),
    ("seedbank-a1b2c3d4-7.snapshot", 16 * KIB, 1, "dd4b169cb38123ccef3be9101320525d13e7506a"),
    ("seedbank-a1b2c3d4-7.delta", 16 * KIB + 1, 2, "9c84888decea559cd938e81e2aed747fd6b61b4e"),
    ("seedbank-a1b2c3d4-42.snapshot", 100_000, 7, "4d18a8e7f3c65fef9f2e7a9970f7719e17bd2888"),
    ("seedbank-a1b2c3d4-9.snapshot", 1500 * 16 * KIB, 1500, "dcd3754fbf8bedf78f6080fb176deff583b31005"),
    ("seedbank-a1b2c3d4-9.snapshot", 1500 * 16 * KIB + 1, 751, "46c3ded25720de0f046ec9d509d0e13c61ddfd3e"),
];

#[test]
fn infohashes_are_those_of_libtorrent() {
    for (name, length, pieces, info_hash) in GOLDEN {
        let metainfo = metainfo(name, length);
        assert_eq!(metainfo.pieces.len(), pieces * HASH_BYTES, "{name} of {length}");
        assert_eq!(metainfo.info_hash().to_string(), info_hash, "{name} of {length}");
    }
}

#[test]
fn a_torrent_file_has_exactly_these_bytes() {
    let torrent = metainfo("a", 1).to_torrent_bytes();
    let mut expected = b"d4:infod6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces20:".to_vec();
    expected.extend_from_slice(&Sha1::digest([0]));
    expected.extend_from_slice(b"ee");
    assert_eq!(torrent, expected);
}

#[test]
fn pieces_grow_only_past_1500_and_never_past_4_mib() {
    for (length, expected) in [
        (1, 16 * KIB),
        (1500 * 16 * KIB, 16 * KIB),
        (1500 * 16 * KIB + 1, 32 * KIB),
        (1500 * 32 * KIB, 32 * KIB),
        (1500 * 4096 * KIB, 4096 * KIB),
        (1500 * 4096 * KIB + 1, 4096 * KIB),
        (u64::MAX, 4096 * KIB),
    ] {
        assert_eq!(u64::from(piece_length(length)), expected, "{length}");
    }
}

#[test]
fn bytes_in_any_portions_give_the_same_metainfo() {
    let whole = metainfo("a", 100_000);
    for portion in [1, 7, 16_383, 16_384, 16_385, 40_000] {
        let mut hasher = MetainfoHasher::new("a", 100_000).expect("a name and a length");
        for part in bytes(100_000).chunks(portion) {
            io::Write::write_all(&mut hasher, part).expect("within the promise");
        }
        assert_eq!(hasher.finish().expect("all bytes came"), whole, "{portion}");
    }
}

#[test]
fn a_file_has_the_metainfo_of_its_bytes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("another name");
    std::fs::write(&path, bytes(50_000)).expect("space for 50 kB");
    assert_eq!(Metainfo::of_file("a", &path).expect("readable"), metainfo("a", 50_000));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Metainfo::of_file("a", Path::new("/nowhere/at-all")).expect_err("there is no such file");
    assert!(error.to_string().contains("/nowhere/at-all"), "{error}");
}

#[test]
fn too_few_and_too_many_bytes_are_refused() {
    let few = Metainfo::of_reader("a", 10, &bytes(9)[..]).expect_err("one is missing");
    assert!(matches!(few, MetainfoError::Length { expected: 10, got: 9 }), "{few}");
    let many = Metainfo::of_reader("a", 10, &bytes(11)[..]).expect_err("one too many");
    assert!(matches!(many, MetainfoError::Length { expected: 10, got: 11 }), "{many}");
    let mut hasher = MetainfoHasher::new("a", 10).expect("a name and a length");
    io::Write::write_all(&mut hasher, &bytes(11)).expect_err("one too many");
    hasher.finish().expect_err("a refused write is not forgotten");
}

#[test]
fn nothing_and_names_that_are_paths_are_refused() {
    assert!(matches!(MetainfoHasher::new("a", 0), Err(MetainfoError::Empty)));
    for name in ["", ".", "..", "a/b", "../a", "a\\b", "a\0", &"a".repeat(256)] {
        assert!(matches!(MetainfoHasher::new(name, 1), Err(MetainfoError::Name(_))), "{name:?}");
    }
}

#[test]
fn a_magnet_link_names_the_peers() {
    let metainfo = metainfo("a b", 1);
    let peers = ["127.1.0.3:6881".parse().expect("IPv4"), "[::1]:7".parse().expect("IPv6")];
    let expected =
        format!("magnet:?xt=urn:btih:{}&dn=a%20b&xl=1&x.pe=127.1.0.3:6881&x.pe=[::1]:7", metainfo.info_hash());
    assert_eq!(metainfo.magnet(&peers), expected);
}

#[test]
fn file_names_follow_the_design() {
    let mut community = CommunityId([0xff; 32]);
    community.0[..4].copy_from_slice(&[0xa1, 0xb2, 0xc3, 0x04]);
    assert_eq!(file_name(&community, Height(0), FileKind::Snapshot), "seedbank-a1b2c304-0.snapshot");
    assert_eq!(
        file_name(&community, Height(u64::MAX), FileKind::Delta),
        "seedbank-a1b2c304-18446744073709551615.delta"
    );
}

#[test]
fn fields_that_break_the_rules_are_refused() {
    let hash = [0; HASH_BYTES];
    assert!(Metainfo::from_fields("a", 16 * KIB, 16_384, &hash).is_ok());
    assert!(matches!(Metainfo::from_fields("a", 16 * KIB, 32_768, &hash), Err(MetainfoError::PieceLength { .. })));
    assert!(matches!(Metainfo::from_fields("a", 16 * KIB + 1, 16_384, &hash), Err(MetainfoError::Pieces { .. })));
    assert!(matches!(Metainfo::from_fields("a", 0, 16_384, &[]), Err(MetainfoError::Empty)));
    assert!(matches!(Metainfo::from_fields("../a", 1, 16_384, &hash), Err(MetainfoError::Name(_))));
    assert!(matches!(Metainfo::from_fields("a", u64::MAX, 4_194_304, &hash), Err(MetainfoError::Pieces { .. })));
}
