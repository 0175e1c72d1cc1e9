//! What the processes have used so far, as the kernel counts it.
use std::time::Duration;

use anyhow::{Context, Result};

use crate::testnet::Testnet;

/// The kernel counts time for programs in ticks of 10 ms.
const TICK: Duration = Duration::from_millis(10);
/// Fields 14 and 15 of `stat`, counted behind the name in parentheses.
const UTIME: usize = 11;

/// Counters of all servers together, and of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Of the servers.
    pub(super) servers_cpu: Duration,
    /// Of the load generator, which is this process.
    pub(super) generator_cpu: Duration,
    /// What the servers had the kernel write to disks.
    pub(super) disk_bytes: u64,
    /// What went over the loopback interface, whoever sent it.
    pub(super) wire_bytes: u64,
}

impl Usage {
    pub(super) fn of(testnet: &Testnet) -> Result<Self> {
        let pids: Vec<u32> = testnet.servers().iter().map(|server| server.addresses().pid).collect();
        Ok(Self {
            servers_cpu: pids.iter().map(|pid| cpu(*pid)).sum::<Result<_>>()?,
            generator_cpu: cpu(std::process::id())?,
            disk_bytes: pids.iter().map(|pid| disk_bytes(*pid)).sum::<Result<_>>()?,
            wire_bytes: wire_bytes(&std::fs::read_to_string("/proc/net/dev")?)?,
        })
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            servers_cpu: self.servers_cpu.saturating_sub(before.servers_cpu),
            generator_cpu: self.generator_cpu.saturating_sub(before.generator_cpu),
            disk_bytes: self.disk_bytes.saturating_sub(before.disk_bytes),
            wire_bytes: self.wire_bytes.saturating_sub(before.wire_bytes),
        }
    }
}

/// The most anonymous memory that a server holds now, in bytes.
pub(super) fn rss_anon(testnet: &Testnet) -> Result<u64> {
    let of_server = |pid: u32| -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = value_of(&status, "RssAnon:").context("no line RssAnon")?;
        Ok(kib * 1024)
    };
    let all = testnet.servers().iter().map(|server| of_server(server.addresses().pid)).collect::<Result<Vec<_>>>()?;
    all.into_iter().max().context("a testnet has servers")
}

fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("/proc/{pid}/stat has another form"))?;
    Ok(TICK * ticks)
}

fn cpu_ticks(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(UTIME);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

fn disk_bytes(pid: u32) -> Result<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    value_of(&io, "write_bytes:").with_context(|| format!("/proc/{pid}/io has another form"))
}

fn value_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn wire_bytes(interfaces: &str) -> Result<u64> {
    let line = interfaces.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let received = line.and_then(|line| line.split_whitespace().next());
    received.context("there is no loopback interface")?.parse().context("its bytes are no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_found_behind_any_name() {
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert!(cpu(std::process::id()).is_ok());
    }

    #[test]
    fn bytes_of_loopback_alone_are_counted() {
        let text = "Inter-|   Receive\n face |bytes\n  eth0: 9 9\n    lo: 4711 12 0\n";
        assert_eq!(wire_bytes(text).expect("a line for lo"), 4711);
    }
}
