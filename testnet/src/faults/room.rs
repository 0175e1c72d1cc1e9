//! A room for a test: namespaces of its own for processes, mounts and the network. Whatever happens in
//! it, nothing outside notices, and when its first process ends, all others end.
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::process::Command as AsyncCommand;
use tokio_util::sync::CancellationToken;

/// Tells the program that it is inside already.
pub const INSIDE_VARIABLE: &str = "SEEDBANK_FAULTS_INSIDE";

/// Where Debian keeps the library of the package `faketime`, for each kind of machine.
const FAKE_TIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
];

/// Why there can be no room on this system; `Ok` if there can.
pub fn possible() -> Result<()> {
    let tried = unshare().args(["sh", "-c"]).arg(TRY).output().context("unshare (util-linux) does not start")?;
    ensure!(tried.status.success(), "no namespaces with a TUN device are allowed here: {}", complaint(&tried));
    Ok(())
}

/// Everything that a room needs.
const TRY: &str =
    "ip tuntap add dev try0 mode tun && mount -t tmpfs -o size=1m none /mnt && nsenter --version >/dev/null";

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Whether this process is in a room.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE_VARIABLE).is_some()
}

/// Runs this very command again, in a room; its exit code. Stopped, all of the room ends at once.
pub async fn run_inside(stop: CancellationToken) -> Result<i32> {
    let own = std::env::current_exe().context("the path of the running program is not known")?;
    let mut command = AsyncCommand::from(unshare());
    command.arg(own).args(std::env::args_os().skip(1)).env(INSIDE_VARIABLE, "1").kill_on_drop(true);
    // A group of its own, so that Ctrl-C comes to us alone, and we end the room.
    let mut room = command.process_group(0).spawn().context("unshare (util-linux) does not start")?;
    tokio::select! {
        status = room.wait() => Ok(status?.code().unwrap_or(1)),
        () = stop.cancelled() => {
            room.kill().await?;
            anyhow::bail!("the run was interrupted")
        }
    }
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--");
    command
}

/// The library that gives a process another clock, if it is installed.
#[must_use]
pub(crate) fn fake_time() -> Option<&'static Path> {
    FAKE_TIME.iter().map(Path::new).find(|path| path.exists())
}

/// Whether a process can be given another clock here.
#[must_use]
pub fn has_fake_time() -> bool {
    fake_time().is_some()
}

/// Where one server of a testnet runs.
#[derive(Debug, Clone, Default)]
pub struct Station {
    /// The network namespace, as a file for `nsenter`.
    pub namespace: std::path::PathBuf,
    /// The library for a clock of its own.
    pub fake_time: Option<&'static Path>,
    /// The size of a disk of its own, in bytes.
    pub disk_bytes: Option<u64>,
}

impl Station {
    /// What stands before the command of the server. Each program replaces the one before, so it is
    /// always the same process. The clock is read from a file, and once a second anew.
    pub(crate) fn wrapped(&self, clock: &Path, program: &Path, args: Vec<OsString>) -> (OsString, Vec<OsString>) {
        let mut net = OsString::from("--net=");
        net.push(&self.namespace);
        let mut all: Vec<OsString> = vec![net, "--".into()];
        if let Some(library) = self.fake_time {
            all.push("env".into());
            for (name, value) in [
                ("LD_PRELOAD=", library.as_os_str()),
                ("FAKETIME_TIMESTAMP_FILE=", clock.as_os_str()),
                ("FAKETIME_DONT_FAKE_MONOTONIC=", "1".as_ref()),
                ("FAKETIME_CACHE_DURATION=", "1".as_ref()),
            ] {
                let mut setting = OsString::from(name);
                setting.push(value);
                all.push(setting);
            }
        }
        all.push(program.into());
        all.extend(args);
        ("nsenter".into(), all)
    }

    /// Puts a disk of its own where the server's home will be. The log stays outside: what a server with a
    /// full disk says is wanted.
    pub(crate) fn mount_disk(&self, home: &Path) -> Result<()> {
        let Some(bytes) = self.disk_bytes else { return Ok(()) };
        std::fs::create_dir_all(home)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "seedbank"]).arg(home).stdin(Stdio::null());
        ensure!(mount.status().context("mount does not start")?.success(), "no small disk can be mounted");
        let log = home.with_extension("log");
        std::fs::write(&log, "")?;
        std::os::unix::fs::symlink(log, home.join("log"))?;
        Ok(())
    }

    pub(crate) fn unmount_disk(&self, home: &Path) -> Result<()> {
        if self.disk_bytes.is_some() {
            let status = Command::new("umount").arg(home).status().context("umount does not start")?;
            ensure!(status.success(), "the small disk {} cannot be unmounted", home.display());
        }
        Ok(())
    }
}
