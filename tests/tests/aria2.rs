//! Any BitTorrent client can fetch a snapshot: here aria2, through the DHT, from the magnet link alone.
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_testnet::{Part, Testnet, TestnetSettings, snapshots_below};
use tokio::process::Command;
use tokio::time::timeout;

/// Acceptance.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

async fn is_there(program: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    run.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn aria2_fetches_the_snapshot_through_the_dht_byte_for_byte() -> Result<()> {
    if !is_there("aria2c").await {
        eprintln!("SKIPPED: aria2c is not installed (Debian: apt install aria2)");
        return Ok(());
    }
    // Without payments every epoch has the same file, so it does not go away while it is fetched.
    let testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let newest = testnet.servers()[0].api().checkpoint().await?.context("the testnet is ready")?;
    let fetched = fetch(&testnet, &newest.snapshot.infohash).await?;
    for server in testnet.servers() {
        let own = snapshots_below(server.home())?.into_iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
        ensure!(own.contains(&fetched), "the file differs from those of {}", server.name());
    }
    testnet.stop().await
}

async fn fetch(testnet: &Testnet, infohash: &str) -> Result<Vec<u8>> {
    let directory = testnet.home().join("aria2");
    let entry = testnet.bootstrap().first().context("the DHT has a way in")?;
    let own = TestnetSettings::default().net.address(Part::Clients, 9).to_string();
    let table = directory.join("dht.dat");
    let mut aria2 = Command::new("aria2c");
    aria2.args([
        "--no-conf",
        "--seed-time=0",
        "--enable-dht=true",
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=false",
        "--disable-ipv6=true",
    ]);
    aria2.args([
        "--follow-torrent=mem",
        "--bt-save-metadata=false",
        "--summary-interval=0",
        "--console-log-level=notice",
    ]);
    aria2.arg(format!("--dht-entry-point={entry}")).arg(format!("--dht-file-path={}", table.display()));
    aria2.arg(format!("--interface={own}")).arg(format!("--dir={}", directory.display()));
    aria2.args(["--listen-port=20000-60000", "--dht-listen-port=20000-60000"]);
    aria2.arg(format!("magnet:?xt=urn:btih:{infohash}")).stdin(Stdio::null()).kill_on_drop(true);
    std::fs::create_dir_all(&directory)?;
    let run = timeout(FETCH_LIMIT, aria2.output()).await.context("aria2 does not get the snapshot in time")??;
    ensure!(run.status.success(), "aria2: {}", String::from_utf8_lossy(&run.stdout));
    let file = snapshots_below(&directory)?.pop().context("aria2 has no file")?;
    Ok(std::fs::read(file)?)
}
