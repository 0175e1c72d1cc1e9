//! Whole BitTorrent clients, which are given an infohash and one way into the DHT.
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use seedbank_types::InfoHash;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::Ours;
use crate::exchange::our_peers;
use crate::prober::compact;
use crate::program::logged;

/// aria2 takes about half a minute, transmission up to one: they wait before they trust their DHT.
const SWARM_LIMIT: Duration = Duration::from_secs(80);
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// A torrent that nobody has the data of: its `info`, and the SHA-1 of that.
const INFO: &[u8] = b"d6:lengthi16384e4:name4:none12:piece lengthi16384e6:pieces20:....................e";
pub(crate) const INFO_HASH: &str = "e05da715f508eb301bef1768fab9d2864c3fc8fc";

/// A free address for a client, whose DHT and whose torrents share the port.
pub(crate) fn free_address(ip: IpAddr) -> Result<SocketAddr> {
    Ok(UdpSocket::bind((ip, 0))?.local_addr()?)
}

/// Announces a listener of ours, and waits until the client at `client` has connected to it, which only the DHT
/// can have told it, and until the DHT tells us of the client, which must answer us then.
pub(crate) async fn meet(us: &Ours, client: SocketAddr, start: impl FnOnce() -> Result<Child>) -> Result<()> {
    let listener = TcpListener::bind((us.server.local_address().ip(), 0)).await?;
    let info_hash = InfoHash(hex::decode(INFO_HASH)?.try_into().ok().context("20 bytes")?);
    let announcement = us.server.announce(info_hash, listener.local_addr()?.port());
    announcement.announced().await;
    let mut running = start()?;
    let found = async { tokio::try_join!(connected(&listener, client.ip()), found(us, info_hash, client)) };
    tokio::select! {
        found = timeout(SWARM_LIMIT, found) => found.context("the client and we do not find each other")??,
        ended = running.wait() => bail!("the client has ended: {}", ended?),
    };
    ensure!(our_peers(&us.reader, info_hash).await.contains(&client), "a new reader does not find the client");
    us.reader.ping(client).await.context("the client does not answer")?;
    Ok(())
}

async fn connected(listener: &TcpListener, client: IpAddr) -> Result<()> {
    while listener.accept().await?.1.ip() != client {}
    Ok(())
}

/// Asks by the node that serves: transmission would wait long for answers of one that does not.
async fn found(us: &Ours, info_hash: InfoHash, client: SocketAddr) -> Result<()> {
    while !our_peers(&us.server, info_hash).await.contains(&client) {
        sleep(POLL_PAUSE).await;
    }
    Ok(())
}

/// aria2 with the magnet link.
pub(crate) fn aria2(program: &Path, home: &Path, own: SocketAddr, entry: SocketAddr) -> Result<Child> {
    let mut aria2 = logged(program, &home.join("log"))?;
    aria2.args(["--no-conf", "--enable-dht=true", "--bt-enable-lpd=false", "--enable-peer-exchange=false"]);
    aria2.arg(format!("--listen-port={}", own.port())).arg(format!("--dht-listen-port={}", own.port()));
    aria2.arg(format!("--dht-file-path={}", home.join("dht.dat").display()));
    aria2.arg(format!("--interface={}", own.ip())).arg("--disable-ipv6=true");
    aria2.arg(format!("--dir={}", home.display())).arg(format!("--dht-entry-point={entry}"));
    Ok(aria2.arg(format!("magnet:?xt=urn:btih:{INFO_HASH}")).spawn()?)
}

/// transmission with the torrent, and with a table of these nodes as if from an earlier run.
pub(crate) fn transmission(program: &Path, home: &Path, own: SocketAddr, nodes: &[SocketAddr]) -> Result<Child> {
    let settings = json!({
        "bind-address-ipv4": own.ip(), "peer-port": own.port(), "bind-address-ipv6": "::1", "dht-enabled": true, "lpd-enabled": false,
        "utp-enabled": false, "pex-enabled": false, "port-forwarding-enabled": false, "rpc-enabled": false,
        "download-dir": home,
    });
    fs::write(home.join("settings.json"), settings.to_string())?;
    fs::write(home.join("dht.dat"), table(nodes))?;
    fs::write(home.join("none.torrent"), [b"d4:info", INFO, b"e"].concat())?;
    let mut transmission = logged(program, &home.join("log"))?;
    Ok(transmission.arg("--config-dir").arg(home).arg(home.join("none.torrent")).spawn()?)
}

/// transmission's file of nodes.
fn table(nodes: &[SocketAddr]) -> Vec<u8> {
    let compact: Vec<u8> = nodes.iter().flat_map(compact).collect();
    let head = format!("d2:id20:an id of this client5:nodes{}:", compact.len());
    [head.as_bytes(), &compact, b"e"].concat()
}
