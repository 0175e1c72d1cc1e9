//! What an order does, in words and as JSON.
use seedbank_types::{Address, Guarantee, OrderKind, ServerKey};
use serde_json::{Value, json};

use super::file::OrderFile;
use crate::handovers;

/// What its bytes say; this is in the file, too.
pub(super) fn what(file: &OrderFile) -> Vec<String> {
    let money = |amount: seedbank_types::Amount| format!("{} {}", amount.display(file.decimals), file.symbol);
    let mut lines = match &file.order.kind {
        OrderKind::Issue { account, amount } => vec![format!("issues {} to {}", money(*amount), Address(*account))],
        OrderKind::Retire { amount } => vec![format!("retires {} of the fee account", money(*amount))],
        OrderKind::Servers(next) => {
            let mut lines = vec![format!("changes the servers: {}", handovers::words(&file.servers, next))];
            lines.extend(next.members().iter().map(|(key, power)| format!("then server {key} has power {power}")));
            lines.push(format!("before: {}", Guarantee::of(&file.servers, file.quorum)));
            lines.push(format!("then: {}", Guarantee::of(next, file.quorum)));
            lines
        }
    };
    lines.push(format!("order number {}, to be decided until epoch {}", file.order.sequence, file.order.last_epoch));
    lines
}

/// How far the signatures reach.
pub(super) fn signatures(file: &OrderFile) -> String {
    let guarantee = Guarantee::of(&file.servers, file.quorum);
    let (power, needed) = (file.power(), guarantee.power_needed);
    let unsigned: Vec<String> = file.unsigned().iter().map(ServerKey::short).collect();
    let told = format!(
        "signed by {} of {} servers: power {power} of {}, {needed} is needed",
        file.signatures.len(),
        file.servers.count(),
        guarantee.power
    );
    if power >= needed { format!("{told}: enough") } else { format!("{told}; not yet: {}", unsigned.join(", ")) }
}

pub(super) fn words(file: &OrderFile) -> String {
    let id = file.order.id(&file.community);
    format!("order {id} of {}\n  {}\n{}", file.name, what(file).join("\n  "), signatures(file))
}

pub(super) fn json(file: &OrderFile) -> Value {
    let guarantee = Guarantee::of(&file.servers, file.quorum);
    let kind = match &file.order.kind {
        OrderKind::Issue { .. } => "issue",
        OrderKind::Retire { .. } => "retire",
        OrderKind::Servers(_) => "servers",
    };
    json!({
        "id": file.order.id(&file.community).to_string(),
        "community": file.community.to_string(),
        "kind": kind,
        "what": what(file),
        "sequence": file.order.sequence,
        "last_epoch": file.order.last_epoch.0,
        "order": hex::encode(file.order.encode()),
        "power": file.power(),
        "power_needed": guarantee.power_needed,
        "power_total": guarantee.power,
        "enough": file.power() >= guarantee.power_needed,
        "unsigned": file.unsigned().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
