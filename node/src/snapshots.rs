//! Snapshot files in the home directory.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use seedbank_snapshot::{BucketTable, full_length, write_full};
use seedbank_torrent::{FileKind, Metainfo, MetainfoHasher, file_name};
use seedbank_types::{AccountRecord, CommunityId, FileRef, Height, InfoHash};

/// A snapshot file that is on the disk.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    pub(crate) height: Height,
    pub(crate) table: Arc<BucketTable>,
    pub(crate) metainfo: Metainfo,
    pub(crate) path: PathBuf,
}

impl SnapshotFile {
    pub(crate) fn file_ref(&self) -> FileRef {
        FileRef { info_hash: self.metainfo.info_hash(), length: self.metainfo.length() }
    }
}

/// Writes the full file of `height` in one pass for the root and one for the bytes.
pub(crate) fn cut(
    dir: &Path,
    community: CommunityId,
    height: Height,
    count: u64,
    first: impl Iterator<Item = AccountRecord>,
    second: impl Iterator<Item = AccountRecord>,
) -> anyhow::Result<SnapshotFile> {
    let table = BucketTable::from_records(count, first).context("the accounts on disk are damaged")?;
    let name = file_name(&community, height, FileKind::Snapshot);
    let length = full_length(count).context("there are more accounts than the format has room for")?;
    let (path, staged) = (dir.join(&name), dir.join(format!("{name}.staged")));
    let write = || -> anyhow::Result<Metainfo> {
        fs::create_dir_all(dir)?;
        let mut tee = Tee { file: File::create(&staged)?, hasher: MetainfoHasher::new(&name, length)? };
        write_full(community, height, &table, second, &mut tee)?;
        tee.file.sync_all()?;
        fs::rename(&staged, &path)?;
        File::open(dir)?.sync_all()?;
        Ok(tee.hasher.finish()?)
    };
    let metainfo = write().with_context(|| path.display().to_string())?;
    Ok(SnapshotFile { height, table: Arc::new(table), metainfo, path })
}

/// Writes to a file and hashes on the way.
struct Tee {
    file: File,
    hasher: MetainfoHasher,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Snapshot files by infohash.
pub(crate) type Files = BTreeMap<InfoHash, (Metainfo, PathBuf)>;

/// Looks through what an earlier run left, before anything is cut: files of these checkpoints are
/// kept, everything else (older snapshots, and what a crash left) is deleted.
pub(crate) fn sort_leftovers(dir: &Path, community: &CommunityId, certified: &[FileRef]) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries.with_context(|| dir.display().to_string())?,
    };
    for entry in entries {
        let path = entry?.path();
        match wanted(&path, community, certified).with_context(|| path.display().to_string())? {
            Some(metainfo) => drop(files.insert(metainfo.info_hash(), (metainfo, path))),
            None => fs::remove_file(&path).with_context(|| path.display().to_string())?,
        }
    }
    Ok(files)
}

/// The metainfo of a file that a checkpoint speaks of.
fn wanted(path: &Path, community: &CommunityId, certified: &[FileRef]) -> anyhow::Result<Option<Metainfo>> {
    let length = fs::metadata(path)?.len();
    let Some(height) = height_in(path).filter(|_| certified.iter().any(|file| file.length == length)) else {
        return Ok(None);
    };
    let metainfo = Metainfo::of_file(&file_name(community, height, FileKind::Snapshot), path)?;
    Ok(certified.iter().any(|file| file.info_hash == metainfo.info_hash()).then_some(metainfo))
}

/// The height in `seedbank-….-<height>.snapshot`.
fn height_in(path: &Path) -> Option<Height> {
    let name = path.file_name()?.to_str()?.strip_suffix(".snapshot")?;
    name.rsplit_once('-')?.1.parse().ok().map(Height)
}

#[cfg(test)]
mod tests {
    use seedbank_snapshot::{Expected, verify_full};
    use seedbank_types::{AccountId, Amount};

    use super::*;

    #[test]
    fn a_cut_is_the_file_that_its_root_and_infohash_say() {
        let dir = tempfile::tempdir().expect("a directory");
        let records: Vec<_> =
            (0..10).map(|n| AccountRecord { id: AccountId([n; 20]), balance: Amount(5), sequence: 0 }).collect();
        let community = CommunityId([1; 32]);
        let all = || records.iter().copied();
        let file = cut(dir.path(), community, Height(7), 10, all(), all()).expect("cut");
        let bytes = fs::read(&file.path).expect("there");
        let expected =
            Expected { community, root: file.table.root(), count: 10, supply: Amount(50), height_max: Height(7) };
        verify_full(&bytes[..], bytes.len() as u64, &expected, |_record| ()).expect("as signed");
        let name = file_name(&community, Height(7), FileKind::Snapshot);
        assert_eq!(Metainfo::of_file(&name, &file.path).expect("readable"), file.metainfo);
    }

    #[test]
    fn of_what_an_earlier_run_left_only_certified_files_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let record = |n| AccountRecord { id: AccountId([n; 20]), balance: Amount(5), sequence: 0 };
        let community = CommunityId([1; 32]);
        let cut = |height, count| {
            let records = || (0..count).map(record);
            cut(dir.path(), community, Height(height), u64::from(count), records(), records()).expect("cut")
        };
        let (kept, old, same_length) = (cut(7, 10), cut(5, 9), cut(6, 10));
        fs::write(dir.path().join("seedbank-01010101-8.snapshot.staged"), b"half").expect("writable");
        let files = sort_leftovers(dir.path(), &community, &[kept.file_ref()]).expect("sorted");
        assert_eq!(files.into_keys().collect::<Vec<_>>(), [kept.metainfo.info_hash()]);
        assert!(kept.path.exists() && !old.path.exists() && !same_length.path.exists());
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }
}
