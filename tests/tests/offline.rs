//! A community on one machine needs no network, and tries to reach none.
use std::process::Command;

use anyhow::{Context, Result, ensure};
use seedbank_testnet::Binaries;

/// The demo, where nothing but loopback exists; then the kernel's counters of that place.
const SCRIPT: &str = "ip link set lo up && \"$1\" demo --json; code=$?; cat /proc/net/snmp; exit $code";

/// Makes a network namespace: as root, else as the root of a user namespace of one's own.
fn namespace() -> Option<Vec<&'static str>> {
    let ways = [vec!["--net"], vec!["--net", "--map-root-user"]];
    ways.into_iter()
        .find(|way| Command::new("unshare").args(way).arg("true").output().is_ok_and(|ran| ran.status.success()))
}

/// How often somebody wanted to send to where no route leads: every try to leave loopback counts.
fn tries_to_leave(snmp: &str) -> Result<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = lines.next().zip(lines.next()).context("/proc/net/snmp has other lines")?;
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let (_, count) = columns.find(|(name, _)| *name == "OutNoRoutes").context("/proc/net/snmp has no OutNoRoutes")?;
    Ok(count.parse()?)
}

#[test]
fn the_demo_passes_with_loopback_alone_and_tries_nothing_else() -> Result<()> {
    let Some(way) = namespace() else {
        eprintln!("SKIPPED: no network namespace can be made here");
        return Ok(());
    };
    let testnet = Binaries::find()?.testnet;
    let run = Command::new("unshare").args(way).args(["sh", "-c", SCRIPT, "offline"]).arg(testnet).output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    ensure!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(tries_to_leave(&said)?, 0, "somebody tried to leave loopback");
    Ok(())
}
