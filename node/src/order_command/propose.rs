//! The order that is proposed: the servers in force with the changes asked for, or an amount.
use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use seedbank_types::{Amount, Epoch, Order, OrderKind, ServerKey, ServerSet};

use super::ask::Current;
use super::file::OrderFile;
use super::{Kind, ProposeArguments};
use crate::exit::Failure;

/// An order may wait so long for its signatures unless it says otherwise.
const LAST_EPOCH_AHEAD: u64 = 1_440;

pub(super) fn order(arguments: &ProposeArguments, current: &Current) -> Result<OrderFile, Failure> {
    let kind = kind(arguments, current).map_err(Failure::Usage)?;
    let latest = current.open_epoch.saturating_add(LAST_EPOCH_AHEAD);
    let last_epoch = arguments.last_epoch.unwrap_or(latest);
    if last_epoch < current.open_epoch {
        let why = format!("--last-epoch {last_epoch} is over: epoch {} is open", current.open_epoch);
        return Err(Failure::usage(anyhow!(why)));
    }
    Ok(OrderFile {
        community: current.community,
        name: current.name.clone(),
        symbol: current.symbol.clone(),
        decimals: current.decimals,
        quorum: current.quorum,
        servers: current.servers.clone(),
        order: Order { kind, sequence: current.order_sequence, last_epoch: Epoch(last_epoch) },
        signatures: Vec::new(),
    })
}

fn kind(arguments: &ProposeArguments, current: &Current) -> anyhow::Result<OrderKind> {
    let changes = !(arguments.add.is_empty()
        && arguments.remove.is_empty()
        && arguments.power.is_empty()
        && arguments.rotate.is_empty());
    if changes && arguments.kind != Kind::Servers {
        bail!("--add, --remove, --power and --rotate belong to --kind servers");
    }
    let amount = || {
        let text = arguments.amount.as_deref().context("--amount is missing")?;
        Amount::parse(text, current.decimals).context("--amount")
    };
    Ok(match (arguments.kind, arguments.account, &arguments.amount) {
        (Kind::Servers, None, None) => {
            if current.next != current.servers {
                bail!("an order that was decided in this epoch changes the servers already: wait for the next epoch");
            }
            OrderKind::Servers(servers(arguments, &current.servers)?)
        }
        (Kind::Servers, ..) => bail!("--account and --amount do not belong to --kind servers"),
        (Kind::Issue, account, _) => {
            let account = account.context("--account is missing: who receives the money?")?.0;
            OrderKind::Issue { account, amount: amount()? }
        }
        (Kind::Retire, None, _) => OrderKind::Retire { amount: amount()? },
        (Kind::Retire, Some(_), _) => bail!("--account does not belong to --kind retire: it debits the fee account"),
    })
}

/// The servers in force with the changes asked for, each of which must change something.
fn servers(arguments: &ProposeArguments, before: &ServerSet) -> anyhow::Result<ServerSet> {
    let mut members: BTreeMap<ServerKey, u64> = before.members().iter().copied().collect();
    let absent = |key: &ServerKey| anyhow!("{key} is no server in force; ask GET /v1/servers for them");
    for (old, new) in &arguments.rotate {
        let power = members.remove(old).ok_or_else(|| absent(old))?;
        insert(&mut members, *new, power)?;
    }
    for key in &arguments.remove {
        members.remove(key).ok_or_else(|| absent(key))?;
    }
    for (key, power) in &arguments.power {
        *members.get_mut(key).ok_or_else(|| absent(key))? = *power;
    }
    for (key, power) in &arguments.add {
        insert(&mut members, *key, *power)?;
    }
    let next = ServerSet::new(members)?;
    if next == *before {
        bail!("nothing would change: say --add, --remove, --power or --rotate");
    }
    Ok(next)
}

fn insert(members: &mut BTreeMap<ServerKey, u64>, key: ServerKey, power: u64) -> anyhow::Result<()> {
    match members.insert(key, power) {
        Some(_) => bail!("{key} is a server already; another power is --power"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use seedbank_types::{CommunityId, Rule, ServerSecret};

    use super::*;

    fn key(byte: u8) -> ServerKey {
        ServerSecret::from_bytes(&[byte; 32]).public()
    }

    fn current() -> Current {
        let servers = ServerSet::new((1..=3).map(|byte| (key(byte), 1))).expect("a set");
        Current {
            community: CommunityId([7; 32]),
            name: "Village".to_owned(),
            symbol: "VIL".to_owned(),
            decimals: 2,
            quorum: Rule::Majority,
            open_epoch: 20,
            order_sequence: 4,
            next: servers.clone(),
            servers,
        }
    }

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: ProposeArguments,
    }

    fn proposed(line: &str) -> Result<Order, String> {
        let words = ["propose", "--out", "x"].into_iter().chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        order(&line.arguments, &current()).map(|file| file.order).map_err(|failure| failure.to_string())
    }

    fn next(line: &str) -> Vec<(ServerKey, u64)> {
        match proposed(line).expect("a good order").kind {
            OrderKind::Servers(set) => set.members().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn sorted(members: &[(u8, u64)]) -> Vec<(ServerKey, u64)> {
        let mut members: Vec<_> = members.iter().map(|(byte, power)| (key(*byte), *power)).collect();
        members.sort();
        members
    }

    #[test]
    fn servers_are_added_removed_weighed_and_rotated() {
        let line = format!("--kind servers --add {}=2 --remove {}", key(4), key(1));
        assert_eq!(next(&line), sorted(&[(2, 1), (3, 1), (4, 2)]));
        let line = format!("--kind servers --power {}=5 --rotate {}={}", key(2), key(3), key(9));
        assert_eq!(next(&line), sorted(&[(1, 1), (2, 5), (9, 1)]));
    }

    #[test]
    fn an_order_carries_the_next_sequence_and_an_epoch_ahead() {
        let order = proposed("--kind retire --amount 5.25").expect("good");
        assert_eq!((order.sequence, order.last_epoch), (4, Epoch(1_460)));
        assert_eq!(order.kind, OrderKind::Retire { amount: Amount(525) });
        assert_eq!(proposed("--kind retire --amount 1 --last-epoch 20").expect("good").last_epoch, Epoch(20));
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (line, named) in [
            ("--kind servers".to_owned(), "nothing would change"),
            (format!("--kind servers --remove {}", key(8)), "is no server in force"),
            (format!("--kind servers --add {}", key(1)), "is a server already"),
            (format!("--kind servers --power {}=0", key(1)), "power 0"),
            (format!("--kind retire --amount 1 --add {}", key(4)), "belong to --kind servers"),
            ("--kind issue --amount 1".to_owned(), "--account is missing"),
            ("--kind retire".to_owned(), "--amount is missing"),
            ("--kind retire --amount 1.234".to_owned(), "--amount"),
            ("--kind retire --amount 1 --last-epoch 19".to_owned(), "is over"),
        ] {
            let error = proposed(&line).expect_err(&line);
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
