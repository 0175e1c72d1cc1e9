//! Answers as JSON: amounts as decimal strings of minor units, hashes as hex.
use seedbank_types::{AccountRecord, Address, Certificate, Evidence, FileRef, Genesis, Grade, PaymentState};
use serde_json::{Value, json};

use crate::error::Fault;
use crate::{AccountView, CatchingUp, DhtStatus, Differing, Divergence, Status, SubmittedPayment, servers};

pub(crate) fn status(status: &Status) -> Value {
    let certified = status.certified;
    let liars = status.double_signers.iter();
    let liars: Vec<Value> = liars.map(|(key, epoch)| json!({ "server": key.to_string(), "epoch": epoch.0 })).collect();
    json!({
        "version": status.version,
        "community": status.community.to_string(),
        "name": status.name,
        "symbol": status.symbol,
        "decimals": status.decimals,
        "epoch_ms": status.epoch_ms,
        "server": status.server.to_string(),
        "quorum": status.quorum.to_string(),
        "guarantee": status.guarantee.to_string(),
        "guarantee_in_force": servers::guarantee(&status.guarantee),
        "state": status.state.to_string(),
        "height": status.height.0,
        "open_epoch": status.open_epoch.0,
        "certified_epoch": certified.map(|(epoch, _)| epoch.0),
        "grade": certified.map(|(_, grade)| grade.to_string()),
        "root": status.root.to_string(),
        "supply": status.supply.to_string(),
        "count": status.count,
        "snapshot": status.snapshot.map(file),
        "servers": { "connected": status.servers_connected, "total": status.servers_total },
        "quorum_in_reach": status.quorum_in_reach,
        "waiting": status.waiting,
        "stamp_bits": status.stamp_bits,
        "mesh": status.mesh,
        "torrent": status.torrent.to_string(),
        "dht": status.dht.address.to_string(),
        "dht_health": dht(&status.dht),
        "double_signers": liars,
        "divergence": status.divergence.as_ref().map(divergence),
        "catching_up": status.catching_up.as_ref().map(catching_up),
        "lowest_batch": status.lowest_batch.0,
    })
}

fn catching_up(catching_up: &CatchingUp) -> Value {
    json!({ "step": catching_up.step, "to": catching_up.to.0, "percent": catching_up.percent })
}

fn divergence(divergence: &Divergence) -> Value {
    let findings = divergence.findings.as_ref().map(|findings| {
        json!({
            "epoch": findings.epoch.0,
            "height": findings.height.0,
            "buckets": findings.buckets,
            "records": findings.records,
            "first": findings.first.iter().map(differing).collect::<Vec<_>>(),
        })
    });
    json!({
        "height": divergence.height.0,
        "why": divergence.why,
        "kept": divergence.kept,
        "findings": findings,
        "problem": divergence.problem,
    })
}

fn differing(differing: &Differing) -> Value {
    let record = |record: AccountRecord| json!({ "balance": record.balance.to_string(), "sequence": record.sequence });
    json!({
        "address": Address(differing.id).to_string(),
        "own": differing.own.map(record),
        "certified": differing.certified.map(record),
    })
}

/// The two checkpoints are told by their hashes; all of it is in the hex.
pub(crate) fn evidence(evidence: &Evidence) -> Value {
    json!({
        "server": evidence.key.to_string(),
        "epoch": evidence.a.epoch.0,
        "checkpoints": [evidence.a.hash().to_string(), evidence.b.hash().to_string()],
        "evidence": hex::encode(evidence.encode()),
    })
}

fn dht(status: &DhtStatus) -> Value {
    let record = status.record.map(|record| {
        let age_ms = u64::try_from(record.age.as_millis()).unwrap_or(u64::MAX);
        json!({ "stored": record.nodes, "tried": record.tried, "age_ms": age_ms })
    });
    json!({ "nodes": status.nodes, "last_answer_ms": status.last_answer_ms, "record": record })
}

fn file(file: FileRef) -> Value {
    json!({ "infohash": file.info_hash.to_string(), "length": file.length })
}

pub(crate) fn account(view: &AccountView) -> Value {
    json!({
        "address": Address(view.record.id).to_string(),
        "balance": view.record.balance.to_string(),
        "sequence": view.record.sequence,
        "next_sequence": view.next_sequence,
        "height": view.height.0,
        "epoch": view.epoch.0,
    })
}

pub(crate) fn checkpoint(certificate: &Certificate, grade: Grade) -> Value {
    let checkpoint = &certificate.checkpoint;
    let signers: Vec<u8> = certificate.signatures.iter().map(|one| one.number).collect();
    json!({
        "community": checkpoint.community.to_string(),
        "epoch": checkpoint.epoch.0,
        "height": checkpoint.height.0,
        "time_ms": checkpoint.time.0,
        "root": checkpoint.root.to_string(),
        "count": checkpoint.count,
        "supply": checkpoint.supply.to_string(),
        "closing_header": checkpoint.closing_header.to_string(),
        "previous": checkpoint.previous.to_string(),
        "servers": checkpoint.servers.to_string(),
        "snapshot": file(checkpoint.snapshot),
        "delta": (checkpoint.delta != FileRef::NONE).then(|| file(checkpoint.delta)),
        "hash": checkpoint.hash().to_string(),
        "grade": grade.to_string(),
        "signed_by": signers,
        "certificate": hex::encode(certificate.encode()),
    })
}

pub(crate) fn genesis(genesis: &Genesis) -> Value {
    let servers = genesis.servers.members().iter();
    let servers: Vec<Value> =
        servers.map(|(key, power)| json!({ "key": key.to_string(), "power": power.to_string() })).collect();
    json!({
        "community": genesis.community().to_string(),
        "created_ms": genesis.created.0,
        "epoch_ms": genesis.epoch_ms,
        "full_interval": genesis.full_interval,
        "quorum": genesis.quorum.to_string(),
        "decimals": genesis.decimals,
        "name": genesis.name,
        "symbol": genesis.symbol,
        "fee_account": Address(genesis.fee_account).to_string(),
        "minimum_fee": genesis.minimum_fee.to_string(),
        "opening_minimum": genesis.opening_minimum.to_string(),
        "root": genesis.root.to_string(),
        "count": genesis.count,
        "supply": genesis.supply.to_string(),
        "servers": servers,
    })
}

/// A payment with what has become of it.
pub(crate) fn payment(submitted: &SubmittedPayment) -> Value {
    let mut value = json!({ "id": submitted.id.to_string(), "state": submitted.state.code() });
    let more = match submitted.state {
        PaymentState::Unknown | PaymentState::Sent => json!({}),
        PaymentState::Final { height, header } => json!({ "height": height.0, "header": header.to_string() }),
        PaymentState::Certified { height, header, epoch } => {
            json!({ "height": height.0, "header": header.to_string(), "epoch": epoch.0 })
        }
        PaymentState::Refused(refusal) => json!({ "refusal": Fault::refused(refusal).json() }),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}
