//! The rules of the layers (design, section 11), held against what Cargo says of the workspace.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const PURE: [&str; 6] = ["types", "ledger", "quorum", "snapshot", "wallet", "dht-proto"];
const ADAPTERS: [&str; 5] = ["store", "dht", "mesh", "torrent", "api"];
const BINARIES: [&str; 2] = ["node", "client"];
const TEST_SIDE: [&str; 3] = ["sim", "testnet", "tests"];

/// Each heavy dependency, by the beginning of its name, with the one crate that may name it.
const OWNERS: [(&str, &str); 7] = [
    ("rocksdb", "store"),
    ("libp2p", "mesh"),
    ("librqbit", "torrent"),
    ("axum", "api"),
    ("arc-malachitebft", "quorum"),
    ("bip32", "wallet"),
    ("argon2", "wallet"),
];

/// What brings sockets, files, threads or a runtime; a pure crate must not even reach them through others.
const IMPURE: [&str; 13] = [
    "async-std",
    "axum",
    "hyper",
    "libp2p",
    "libp2p-swarm",
    "librocksdb-sys",
    "librqbit",
    "mio",
    "rayon",
    "reqwest",
    "rocksdb",
    "socket2",
    "tokio",
];

/// The one way to an impure crate that leads nowhere: the engine declares tokio and uses nothing of it.
const UNUSED: (&str, &str) = ("arc-malachitebft-core-consensus", "tokio");

/// What Cargo says of the workspace and all it is built from.
struct Workspace {
    /// Folder name of each crate of ours with the names of what it depends on, by kind.
    ours: BTreeMap<String, Vec<(String, Kind)>>,
    /// Every package with those it is built from (not for its tests).
    graph: BTreeMap<String, Vec<String>>,
    names: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Tests,
}

impl Workspace {
    fn read() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        let cargo =
            cargo.args(["metadata", "--format-version", "1", "--offline", "--locked", "--manifest-path"]).arg(root);
        let output = cargo.output().context("cargo does not start")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let packages = list(&metadata["packages"])?;
        let names = packages.iter().map(|package| Ok((text(&package["id"])?, text(&package["name"])?)));
        let ours = packages.iter().filter(|package| package["source"].is_null());
        Ok(Self {
            names: names.collect::<Result<_>>()?,
            ours: ours.map(declared).collect::<Result<_>>()?,
            graph: list(&metadata["resolve"]["nodes"])?.iter().map(built_from).collect::<Result<_>>()?,
        })
    }

    /// Names of all packages that a crate of ours is built from, directly or not.
    fn reached(&self, of: &str) -> Result<BTreeSet<&str>> {
        let own = format!("seedbank-{of}");
        let start = self.names.iter().find(|(_, name)| **name == own).with_context(|| format!("there is no {own}"))?;
        let (mut seen, mut next) = (BTreeSet::new(), vec![start.0]);
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                let unused = |other: &&String| (self.name(id), self.name(other)) == UNUSED;
                next.extend(self.graph.get(id).into_iter().flatten().filter(|other| !unused(other)));
            }
        }
        Ok(seen.into_iter().map(|id| self.name(id)).collect())
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }
}

fn declared(package: &Value) -> Result<(String, Vec<(String, Kind)>)> {
    let dependencies = list(&package["dependencies"])?.iter();
    let dependencies = dependencies.map(|dependency| {
        let kind = if dependency["kind"] == "dev" { Kind::Tests } else { Kind::Normal };
        Ok((text(&dependency["name"])?, kind))
    });
    let name = text(&package["name"])?;
    let folder = name.strip_prefix("seedbank-").context("every crate of ours begins with seedbank-")?;
    Ok((folder.to_owned(), dependencies.collect::<Result<_>>()?))
}

fn built_from(node: &Value) -> Result<(String, Vec<String>)> {
    let dependencies = list(&node["deps"])?.iter().filter(|dependency| {
        let kinds = dependency["dep_kinds"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    });
    Ok((text(&node["id"])?, dependencies.map(|dependency| text(&dependency["pkg"])).collect::<Result<_>>()?))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("cargo metadata has another form")
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("cargo metadata has another form")
}

#[test]
fn every_crate_has_its_layer() -> Result<()> {
    let known: BTreeSet<&str> = [&PURE[..], &ADAPTERS, &BINARIES, &TEST_SIDE].concat().into_iter().collect();
    let workspace = Workspace::read()?;
    let there: BTreeSet<&str> = workspace.ours.keys().map(String::as_str).collect();
    assert_eq!(there, known, "a new crate needs a layer, and a reason");
    Ok(())
}

#[test]
fn pure_crates_reach_no_sockets_files_threads_or_runtime() -> Result<()> {
    let workspace = Workspace::read()?;
    for pure in PURE {
        for reached in workspace.reached(pure)? {
            ensure!(!IMPURE.contains(&reached), "{pure} is pure, but it reaches {reached}");
        }
    }
    Ok(())
}

#[test]
fn each_heavy_dependency_is_named_by_its_one_crate() -> Result<()> {
    for (folder, dependencies) in Workspace::read()?.ours {
        for (name, _) in dependencies {
            let owner = OWNERS.iter().find(|(heavy, _)| name.starts_with(heavy));
            ensure!(owner.is_none_or(|(_, owner)| *owner == folder), "{folder} names {name}: that is for {owner:?}");
        }
    }
    Ok(())
}

#[test]
fn arrows_point_down() -> Result<()> {
    let below_binaries = [&PURE[..], &ADAPTERS].concat();
    for (folder, dependencies) in Workspace::read()?.ours {
        let allowed: &[&str] = match folder.as_str() {
            "types" => &[],
            pure if PURE.contains(&pure) => &PURE,
            adapter if ADAPTERS.contains(&adapter) => &PURE,
            binary if BINARIES.contains(&binary) => &below_binaries,
            _ => continue,
        };
        for (name, _) in dependencies.iter().filter(|(_, kind)| *kind == Kind::Normal) {
            let Some(below) = name.strip_prefix("seedbank-") else { continue };
            ensure!(allowed.contains(&below), "{folder} depends on {below}: that arrow does not point down");
        }
    }
    Ok(())
}

#[test]
fn adapters_do_not_know_each_other_even_in_their_tests() -> Result<()> {
    let workspace = Workspace::read()?;
    for adapter in ADAPTERS {
        for (name, _) in &workspace.ours[adapter] {
            let other = name.strip_prefix("seedbank-").filter(|name| ADAPTERS.contains(name));
            ensure!(other.is_none(), "{adapter} knows {name}");
        }
    }
    Ok(())
}

#[test]
fn pure_crates_forbid_unsafe_code_and_have_the_lints_against_clock_and_threads() -> Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    for pure in PURE {
        let lib = std::fs::read_to_string(crates.join(pure).join("src/lib.rs")).context(pure)?;
        ensure!(lib.contains("#![forbid(unsafe_code)]"), "crates/{pure}/src/lib.rs does not forbid unsafe code");
        let lints = std::fs::read_to_string(crates.join(pure).join("clippy.toml")).context(pure)?;
        for word in ["std::time::SystemTime::now", "std::thread::spawn", "std::collections::HashMap", "std::fs::File"] {
            ensure!(lints.contains(word), "crates/{pure}/clippy.toml does not name {word}");
        }
    }
    Ok(())
}

#[test]
fn nothing_is_published_and_everything_shares_lints_and_version() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (folder, _) in Workspace::read()?.ours {
        let at_top = root.join(&folder).join("Cargo.toml");
        let manifest = if at_top.exists() { at_top } else { root.join("crates").join(&folder).join("Cargo.toml") };
        let text = std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
        for line in ["publish.workspace = true", "version.workspace = true", "[lints]\nworkspace = true"] {
            ensure!(text.contains(line), "{} lacks {line:?}", manifest.display());
        }
    }
    Ok(())
}
