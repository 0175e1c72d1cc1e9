//! `genesis new`: the three files that found a community.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use seedbank_snapshot::{BucketTable, write_full};
use seedbank_types::{
    AccountId, AccountRecord, Address, Amount, Genesis, Guarantee, Height, RESERVED_ORDERS_ACCOUNT, ServerSet, TimeMs,
    TrustFile,
};

use crate::cli::GenesisArguments;
use crate::exit::Failure;
use crate::home::write_whole;
use crate::settings::bootstrap_of;

/// Writes `genesis`, `genesis.snapshot` and `<name>.keys`.
pub(crate) fn new(arguments: &GenesisArguments) -> Result<(), Failure> {
    let missing = "write one, with a line `ADDRESS AMOUNT` for each account";
    let text = fs::read_to_string(&arguments.accounts)
        .map_err(|error| Failure::unreadable("accounts file", &arguments.accounts, &error, missing))?;
    let place = || format!("accounts file {}", arguments.accounts.display());
    let accounts = read_accounts(&text, arguments.decimals).with_context(place).map_err(Failure::Usage)?;
    let founded = found(arguments, accounts, now()).map_err(Failure::Usage)?;
    write(arguments, &founded)
}

/// A community about to be written.
#[derive(Debug)]
struct Founded {
    genesis: Genesis,
    table: BucketTable,
    records: Vec<AccountRecord>,
    trust: TrustFile,
}

fn found(
    arguments: &GenesisArguments,
    mut accounts: BTreeMap<AccountId, Amount>,
    created: TimeMs,
) -> anyhow::Result<Founded> {
    check_full_interval(arguments.full_interval)?;
    let fee_account = arguments.fee_account.0;
    accounts.entry(fee_account).or_insert(Amount::ZERO);
    accounts.insert(RESERVED_ORDERS_ACCOUNT, Amount::ZERO);
    let records: Vec<_> =
        accounts.into_iter().map(|(id, balance)| AccountRecord { id, balance, sequence: 0 }).collect();
    let table = BucketTable::from_records(records.len() as u64, records.iter().copied())?;
    let amount =
        |flag: &str, text: &str| Amount::parse_or_zero(text, arguments.decimals).with_context(|| format!("--{flag}"));
    let genesis = Genesis {
        created,
        epoch_ms: arguments.epoch,
        full_interval: arguments.full_interval,
        quorum: arguments.quorum,
        decimals: arguments.decimals,
        name: arguments.name.clone(),
        symbol: arguments.symbol.clone(),
        fee_account,
        minimum_fee: amount("minimum-fee", &arguments.minimum_fee)?,
        opening_minimum: amount("opening-minimum", &arguments.opening_minimum)?,
        root: table.root(),
        count: table.count(),
        supply: table.supply(),
        servers: ServerSet::new(arguments.servers.iter().copied()).context("--server")?,
    };
    genesis.check()?;
    let trust = TrustFile {
        servers: genesis.servers.clone(),
        quorum: genesis.quorum,
        community: Some(genesis.community()),
        bootstrap: bootstrap_of(&arguments.bootstrap)?,
        apis: Vec::new(),
    };
    Ok(Founded { genesis, table, records, trust })
}

/// Whoever follows the community would wait for deltas that nobody makes.
fn check_full_interval(full_interval: u32) -> anyhow::Result<()> {
    if full_interval == 1 {
        return Ok(());
    }
    bail!(
        "--full-interval is {full_interval}: it must be 1, because this version makes a full file of every epoch; \
         deltas come in a later version"
    )
}

fn write(arguments: &GenesisArguments, founded: &Founded) -> Result<(), Failure> {
    let (out, genesis) = (&arguments.out, &founded.genesis);
    fs::create_dir_all(out).with_context(|| out.display().to_string()).map_err(Failure::Disk)?;
    let (genesis_file, snapshot, trust) = (out.join("genesis"), out.join("genesis.snapshot"), trust_path(out, genesis));
    for path in [&genesis_file, &snapshot, &trust] {
        if path.exists() {
            let why = format!("{} exists already: a community is never overwritten", path.display());
            return Err(Failure::usage(anyhow!("{why}; name another directory")));
        }
    }
    let mut file = Vec::new();
    let records = founded.records.iter().copied();
    write_full(genesis.community(), Height(0), &founded.table, records, &mut file).map_err(Failure::unexpected)?;
    write_whole(&snapshot, &file)?;
    write_whole(&trust, founded.trust.to_string().as_bytes())?;
    write_whole(&genesis_file, &genesis.encode())?;
    let supply = genesis.supply.display(genesis.decimals);
    let mut stdout = std::io::stdout().lock();
    let said = writeln!(
        stdout,
        "community {}\nservers {}, {}\n{} accounts with {supply} {}\ntrust file {}",
        genesis.community(),
        genesis.servers.count(),
        Guarantee::of(&genesis.servers, genesis.quorum),
        genesis.count,
        genesis.symbol,
        trust.display()
    );
    said.map_err(Failure::disk)
}

/// `<name>.keys`, with what cannot stand in a file name replaced.
fn trust_path(out: &Path, genesis: &Genesis) -> PathBuf {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | ' ') { c } else { '-' };
    out.join(format!("{}.keys", genesis.name.chars().map(safe).collect::<String>()))
}

fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// One account a line: `ADDRESS AMOUNT`, in major units; `#` starts a comment.
fn read_accounts(text: &str, decimals: u8) -> anyhow::Result<BTreeMap<AccountId, Amount>> {
    let mut accounts = BTreeMap::new();
    let mut supply = Amount::ZERO;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let place = || format!("line {}", number + 1);
        let (id, balance) = read_account(line, decimals).with_context(place)?;
        supply = supply
            .checked_add(balance)
            .ok_or_else(|| anyhow!("the balances up to here together do not fit 64 bits"))
            .with_context(place)?;
        if accounts.insert(id, balance).is_some() {
            return Err(anyhow!("account {} is listed twice", Address(id))).with_context(place);
        }
    }
    Ok(accounts)
}

fn read_account(line: &str, decimals: u8) -> anyhow::Result<(AccountId, Amount)> {
    let mut words = line.split_whitespace();
    let (Some(address), Some(amount), None) = (words.next(), words.next(), words.next()) else {
        bail!("{line:?} must be an address and an amount");
    };
    let Address(id) = address.parse()?;
    if id == RESERVED_ORDERS_ACCOUNT {
        bail!("{address} is the reserved account of the orders: it holds nothing");
    }
    Ok((id, Amount::parse_or_zero(amount, decimals)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(byte: u8) -> String {
        Address(AccountId([byte; 20])).to_string()
    }

    #[test]
    fn accounts_are_read_in_major_units() {
        let text = format!("# first\n{} 1.50\n\n  {}   0 # nothing yet\n", address(1), address(2));
        let accounts = read_accounts(&text, 2).expect("good");
        assert_eq!(accounts, BTreeMap::from([(AccountId([1; 20]), Amount(150)), (AccountId([2; 20]), Amount(0))]));
    }

    #[test]
    fn only_full_files_are_founded_until_there_are_deltas() {
        check_full_interval(1).expect("full files");
        for full_interval in [0, 2, 5] {
            let error = check_full_interval(full_interval).expect_err("refused").to_string();
            assert!(error.contains("deltas come in a later version"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let (a, b) = (address(1), address(2));
        let mistyped = a.replacen(&a[5..6], if &a[5..6] == "x" { "y" } else { "x" }, 1);
        for (text, line) in [
            (format!("{a} 1\n{a} 2"), 2),
            (format!("{a} 1\n\n{b}"), 3),
            (format!("{a} -1"), 1),
            (format!("{a} 1.234"), 1),
            (format!("{a} 1 2"), 1),
            (format!("{mistyped} 1"), 1),
            (format!("{} 1", Address(RESERVED_ORDERS_ACCOUNT)), 1),
            (format!("{a} 184467440737095516.15\n{b} 0.01"), 2),
        ] {
            let error = format!("{:#}", read_accounts(&text, 2).expect_err(&text));
            assert!(error.starts_with(&format!("line {line}: ")), "{error}");
        }
    }
}
