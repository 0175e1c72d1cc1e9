//! A server with a million accounts.
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use seedbank_ledger::{Place, Rules, apply};
use seedbank_store::{Commit, Store};
use seedbank_testnet::{Payments, Testnet, TestnetSettings, all_final, submit};
use seedbank_types::{Body, Entry, Hash, Header, ServerKey, TimeMs};

/// Acceptance.
const START_LIMIT: Duration = Duration::from_secs(5);
/// Acceptance, with as many batches.
const RESTART_LIMIT: Duration = Duration::from_secs(3);
const BATCHES: u32 = 100_000;
const RESIDENT_BYTES_MAX: u64 = 250 << 20;
const STEP_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(11);

#[tokio::test]
async fn a_server_with_a_million_accounts_starts_in_five_seconds_and_holds_250_mb() -> Result<()> {
    let settings = TestnetSettings { servers: 1, seeders: 0, accounts: 1_000_000, ..seedbank_tests::quick() };
    let mut testnet = seedbank_tests::ready(&settings).await?;
    let status = testnet.servers()[0].api().status().await?;
    assert_eq!(status.count, 1_000_000);

    testnet.servers_mut()[0].stop(STOP_LIMIT).await?;
    let start = Instant::now();
    testnet.servers_mut()[0].restart().await?;
    let took = start.elapsed();
    ensure!(took <= START_LIMIT, "it started in {took:?}");

    // It has to hold what it cuts files from, too: some payments, and the ends of two epochs.
    let before = testnet.servers()[0].api().checkpoint().await?.context("it was certified before")?;
    let made = Payments::new(testnet.community())?.make(testnet.accounts(), before.epoch + 1, 100)?;
    let deadline = tokio::time::Instant::now() + STEP_LIMIT;
    submit(testnet.servers()[0].api(), &made).await?;
    all_final(&testnet, &made, deadline).await?;
    testnet.certified(before.epoch + 2, deadline).await?;
    let resident = testnet.servers()[0].resident_bytes()?;
    eprintln!("started in {took:?}, {} MiB resident", resident >> 20);
    ensure!(resident <= RESIDENT_BYTES_MAX, "it holds {} MiB", resident >> 20);
    restarts_with_many_batches(&mut testnet).await?;
    testnet.stop().await
}

/// A hundred thousand batches in the open epoch, whose headers are all read at a start.
async fn restarts_with_many_batches(testnet: &mut Testnet) -> Result<()> {
    testnet.servers_mut()[0].stop(STOP_LIMIT).await?;
    let (home, key) = (testnet.servers()[0].home().to_owned(), testnet.servers()[0].key());
    let height = in_memory(&home.join("store"), |store| add_batches(testnet, store, key))?;
    let start = Instant::now();
    let server = &mut testnet.servers_mut()[0];
    server.restart().await?;
    let status = server.api().status().await?;
    let took = start.elapsed();
    eprintln!("started in {took:?} at height {}", status.height);
    ensure!(status.height >= height, "it is at height {}, not {height}", status.height);
    ensure!(took <= RESTART_LIMIT, "with {BATCHES} batches it started in {took:?}");
    Ok(())
}

/// Works on a copy in memory where there is such a place: a hundred thousand synced writes may take
/// minutes on a disk that others use too.
fn in_memory(store: &Path, work: impl FnOnce(&Path) -> Result<u64>) -> Result<u64> {
    let Ok(memory) = tempfile::Builder::new().prefix("seedbank-").tempdir_in("/dev/shm") else { return work(store) };
    copy_files(store, memory.path())?;
    let done = work(memory.path())?;
    std::fs::remove_dir_all(store)?;
    std::fs::create_dir(store)?;
    copy_files(memory.path(), store)?;
    Ok(done)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Puts batches of one payment each straight into the database; the height afterwards.
fn add_batches(testnet: &Testnet, store: &Path, proposer: ServerKey) -> Result<u64> {
    let store = Store::open(store)?;
    let mut payments = Payments::new(testnet.community())?;
    let rules = Rules::from(store.genesis());
    let (last_epoch, _, closed) = store.last_closing().context("epochs were closed")?;
    let epoch = last_epoch.next();
    // Each account goes on where it is.
    let made = payments.make_after(testnet.accounts(), epoch.0, BATCHES, |id| {
        seedbank_ledger::View::account(&store, id).map_or(0, |record| record.sequence)
    })?;
    for (number, made) in (0_u64..).zip(made) {
        let body = Body { entries: vec![Entry::Payment(made.signed)] };
        let state = store.ledger_state();
        let place = Place { height: state.height.next(), epoch };
        let changes = apply(&rules, &state, &store, place, &body, |_signed_here| true).context("a good payment")?;
        let bytes = body.encode();
        let header = Header {
            community: store.community(),
            height: state.height.next(),
            epoch,
            // After all that the server itself may have ordered in this epoch.
            time: TimeMs(closed.0 + store.genesis().epoch_ms + number),
            proposer,
            previous: store.last_header(),
            previous_state: state.digest,
            payments_root: body.payments_root(&store.community()),
            body_digest: Body::digest(&bytes),
            body_length: u32::try_from(bytes.len())?,
            next_servers: state.next_servers.hash(),
            previous_checkpoint: Hash::ZERO,
        };
        store.commit(&Commit {
            header: &header,
            body: &bytes,
            ids: &[made.id],
            decision: b"decided",
            closing: false,
            changes: &changes,
        })?;
    }
    Ok(store.ledger_state().height.0)
}
