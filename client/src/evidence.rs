//! `seedbank evidence`: proofs that a server signed two checkpoints of one epoch, as they are on this disk. All of
//! it works offline.
mod keep;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use seedbank_types::{CommunityId, Evidence};
use serde_json::{Value, json};

pub(crate) use keep::{EVIDENCE_PER_KEY_MAX, ask, is_against, read_all};

use crate::disk::{self, PUBLIC};
use crate::errors::{Exit, Failure};
use crate::report::Answer;
use crate::settings::{Settings, Trusted};

/// Evidence has 676 bytes; in hex, with a line's end, twice as many.
const FILE_BYTES_MAX: u64 = 4 << 10;
const REFUSED: &str = "It proves nothing against anybody. Ask whoever gave it for the file as their program wrote it.";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seedbank evidence list
  seedbank evidence verify evidence-8a88e3dd-7 --trust keys/village.keys
  seedbank evidence export for-the-others/

Exit codes: 0 fine; 2 usage; 3 no such file; 5 it proves nothing, or nothing against a server of the trust file; 9 disk.")]
pub(crate) struct EvidenceFlags {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Show which servers were caught, with the files that prove it
    List,
    /// Check a file; with a trust file, also whether the accused key is one of its servers
    Verify {
        /// The file: the bytes, or their hex as servers give it at /v1/evidence
        file: PathBuf,
    },
    /// Write all evidence to a directory, for others to verify
    Export {
        /// The directory; it is made if need be
        directory: PathBuf,
    },
}

pub(crate) fn run(settings: &Settings, flags: &EvidenceFlags) -> Result<Answer, Failure> {
    match &flags.command {
        EvidenceCommand::List => list(settings),
        EvidenceCommand::Verify { file } => verify(settings, file),
        EvidenceCommand::Export { directory } => export(settings, directory),
    }
}

/// The name of a piece of evidence wherever it is written.
pub(crate) fn file_name(evidence: &Evidence) -> String {
    format!("evidence-{}-{}", evidence.key.short(), evidence.a.epoch)
}

/// What people are told about a double signer, and what they can do.
pub(crate) fn words(evidence: &Evidence) -> String {
    format!(
        "server {} signed two checkpoints of epoch {}: it lies, or its key is used by two; its signatures count no \
         more. Tell the people who run the servers; the proof: seedbank evidence list",
        evidence.key.short(),
        evidence.a.epoch
    )
}

/// For scripts: who was caught, and in which epoch.
pub(crate) fn json_of(all: &[Evidence]) -> Vec<Value> {
    all.iter().map(|one| json!({ "server": one.key.to_string(), "epoch": one.a.epoch.0 })).collect()
}

/// The evidence on this disk against the servers of the community that is meant.
fn kept(settings: &Settings) -> Result<(CommunityId, Vec<(Evidence, PathBuf)>), Failure> {
    let trusted = settings.trusted()?;
    let community = trusted.community.ok_or_else(|| {
        let next = "Run `seedbank sync` once, or name a trust file with a `community` line.";
        Failure::usage("which community is meant is not known yet", next)
    })?;
    Ok((
        community,
        read_all(&settings.home.community(community).evidence_directory(), community, &trusted.file.servers)?,
    ))
}

fn list(settings: &Settings) -> Result<Answer, Failure> {
    let (community, all) = kept(settings)?;
    let lines: Vec<String> = all
        .iter()
        .map(|(one, path)| {
            format!("server {} signed two checkpoints of epoch {}: {}", one.key.short(), one.a.epoch, path.display())
        })
        .collect();
    let words = if lines.is_empty() { "no server is known to have signed twice".to_owned() } else { lines.join("\n") };
    let entry = |(one, path): &(Evidence, PathBuf)| json!({ "server": one.key.to_string(), "epoch": one.a.epoch.0, "file": path });
    let all: Vec<Value> = all.iter().map(entry).collect();
    Ok(Answer::new(words, json!({ "community": community.to_string(), "evidence": all })))
}

fn verify(settings: &Settings, path: &Path) -> Result<Answer, Failure> {
    if path.is_dir() {
        return Err(Failure::usage(format!("{} is a directory", path.display()), "Name one file in it."));
    }
    let bytes = disk::read(path, FILE_BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no file {}", path.display()), "Check the name of the file.")
    })?;
    let trusted = settings.trusted_if_any()?;
    judge(&bytes, trusted.as_ref())
}

/// Whether the bytes, or their hex, prove that a key signed twice; by a trust file, that it is a server's.
fn judge(bytes: &[u8], trusted: Option<&Trusted>) -> Result<Answer, Failure> {
    let unhexed = std::str::from_utf8(bytes).ok().and_then(|text| hex::decode(text.trim()).ok());
    let refused = |why: &dyn std::fmt::Display| Failure::unverified(format!("this is no evidence: {why}"), REFUSED);
    let evidence = Evidence::decode(unhexed.as_deref().unwrap_or(bytes)).map_err(|error| refused(&error))?;
    evidence.verify().map_err(|error| refused(&error))?;
    let is_server = trusted.map(|trusted| trusted.file.servers.number(&evidence.key).is_some());
    if is_server == Some(false) {
        return Err(refused(&format!("the key {} is no server of the trust file", evidence.key)));
    }
    let community = trusted.and_then(|trusted| trusted.community);
    if community.is_some_and(|community| community != evidence.a.community) {
        return Err(refused(&format!("it is of another community, {}", evidence.a.community)));
    }
    Ok(answer(&evidence, is_server))
}

fn answer(evidence: &Evidence, is_server: Option<bool>) -> Answer {
    let whose = match is_server {
        Some(_) => "a server of the trust file",
        None => "whose key that is, is for you to compare: no trust file is named",
    };
    let words = format!(
        "right: key {} signed two checkpoints of epoch {} ({whose})\nit lies, or the key is used by two: tell the \
         people who run the servers of community {}",
        evidence.key, evidence.a.epoch, evidence.a.community
    );
    let json = json!({
        "kind": "evidence",
        "valid": true,
        "community": evidence.a.community.to_string(),
        "server": evidence.key.to_string(),
        "epoch": evidence.a.epoch.0,
        "checkpoints": [evidence.a.hash().to_string(), evidence.b.hash().to_string()],
        "in_trust_file": is_server,
    });
    Answer::new(words, json)
}

fn export(settings: &Settings, directory: &Path) -> Result<Answer, Failure> {
    let (community, all) = kept(settings)?;
    if directory.exists() && !directory.is_dir() {
        return Err(Failure::usage(format!("{} is no directory", directory.display()), "Name another one."));
    }
    let mut files = Vec::new();
    for (evidence, _) in &all {
        disk::make_directory(directory)?;
        let path = directory.join(file_name(evidence));
        disk::write(&path, &evidence.encode(), PUBLIC)?;
        files.push(path);
    }
    let words = match files.len() {
        0 => "no server is known to have signed twice: nothing was written".to_owned(),
        count => format!("{count} written to {}; check with `seedbank evidence verify FILE`", directory.display()),
    };
    Ok(Answer::new(words, json!({ "community": community.to_string(), "files": files })))
}

#[cfg(test)]
mod tests;
