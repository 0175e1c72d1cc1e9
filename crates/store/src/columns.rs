//! Column families, their keys, and how RocksDB is set up for them.
use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, LogLevel, Options};

use crate::StoreError;

/// `account 20` -> `balance 8 ‖ sequence 8`.
pub(crate) const ACCOUNTS: &str = "accounts";
/// The same. One of the two is in use; the other is where accounts that take their place are laid.
pub(crate) const ACCOUNTS_TOO: &str = "accounts too";
/// `HEADER ‖ height` -> `header 285 ‖ decision`; `BODY_DIGEST ‖ digest` -> `height`; `CLOSING ‖ epoch` -> `height`.
pub(crate) const HEADERS: &str = "headers";
/// `height` -> body.
pub(crate) const BODIES: &str = "bodies";
/// `payment id 32` -> `height ‖ index u32`.
pub(crate) const PAYMENTS: &str = "payments";
/// `account 20` -> its record as it was at the last closing header, empty if it was not there; only
/// accounts that changed since.
pub(crate) const CLOSED: &str = "closed";
/// `account 20 ‖ height ‖ index u32` -> `payment id 32 ‖ role u8`.
pub(crate) const HISTORY: &str = "history";
/// `INTENT ‖ epoch` -> checkpoint; `CERTIFICATE ‖ epoch` -> certificate.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// `server key 32 ‖ epoch` -> evidence.
pub(crate) const EVIDENCE: &str = "evidence";
/// `height ‖ number u64` -> bytes.
pub(crate) const QUORUM_LOG: &str = "quorum_log";
/// Names -> values, see `store/meta.rs`.
pub(crate) const META: &str = "meta";

/// Name, bytes of one write buffer, whether single keys that may be absent are looked up.
const COLUMNS: [(&str, usize, bool); 11] = [
    (ACCOUNTS, 16 << 20, true),
    (ACCOUNTS_TOO, 16 << 20, true),
    (CLOSED, 4 << 20, true),
    (HEADERS, 2 << 20, true),
    (BODIES, 16 << 20, false),
    (PAYMENTS, 8 << 20, true),
    (HISTORY, 8 << 20, false),
    (CHECKPOINTS, 1 << 20, false),
    (EVIDENCE, 1 << 20, false),
    (QUORUM_LOG, 8 << 20, false),
    (META, 1 << 20, false),
];

/// Shared by all column families; index and filter blocks live in it too.
const BLOCK_CACHE_BYTES: usize = 32 << 20;
/// All write buffers together; beyond it the largest is flushed.
const WRITE_BUFFERS_BYTES: usize = 48 << 20;
/// How much RocksDB's own log may hold before old parts are flushed; read again at a start after a crash.
const WAL_BYTES: u64 = 64 << 20;
const OPEN_FILES: i32 = 256;
const FILTER_BITS: f64 = 10.0;
const LOG_FILES: usize = 2;
const LOG_FILE_BYTES: usize = 1 << 20;

/// Opens or makes the database with all column families.
pub(crate) fn open(dir: &Path, is_new: bool) -> Result<DB, StoreError> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    let columns = COLUMNS.map(|(name, buffer_bytes, has_filter)| {
        ColumnFamilyDescriptor::new(name, column_options(&cache, buffer_bytes, has_filter))
    });
    DB::open_cf_descriptors(&database_options(is_new), dir, columns).map_err(|error| {
        let why = error.into_string();
        // RocksDB gives a held lock no kind of its own; the text is all there is.
        if why.contains("lock file") || why.contains("lock hold by current process") {
            StoreError::Locked(dir.to_owned())
        } else {
            StoreError::Read(why)
        }
    })
}

fn database_options(is_new: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(is_new);
    // Databases of earlier versions have no second column of accounts; whatever else is missing is noticed.
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_total_wal_size(WAL_BYTES);
    // A log that vanished as a whole is noticed; a torn end, as a power cut leaves it, is dropped: what
    // was synced stands before it.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_open_files(OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(LOG_FILES);
    options.set_max_log_file_size(LOG_FILE_BYTES);
    options
}

fn column_options(cache: &Cache, buffer_bytes: usize, has_filter: bool) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(5);
    if has_filter {
        blocks.set_bloom_filter(FILTER_BITS, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(buffer_bytes);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}
