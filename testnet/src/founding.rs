//! How a community is founded: keys, genesis, trust file and wallet, made with the real programs.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use seedbank_types::{Address, CommunityId, Genesis, ServerKey, TrustFile};
use tokio::process::Command;

use crate::accounts::{Accounts, PASSPHRASE};
use crate::binaries::Binaries;
use crate::testnet::TestnetSettings;

const NAME: &str = "testnet";
const SYMBOL: &str = "TST";
/// Digits after the point.
pub const DECIMALS: u8 = 2;
/// The least fee of a payment, in whole units.
pub const MINIMUM_FEE: &str = "0.01";
const OPENING_MINIMUM: &str = "1";

/// The files of a community that was just founded.
#[derive(Debug)]
pub(crate) struct Founded {
    pub(crate) community: CommunityId,
    pub(crate) trust: TrustFile,
    pub(crate) trust_file: PathBuf,
    pub(crate) genesis: PathBuf,
    pub(crate) snapshot: PathBuf,
    pub(crate) wallet: PathBuf,
    pub(crate) passphrase_file: PathBuf,
    /// Public keys, ascending, each with the file of its secret key.
    pub(crate) keys: Vec<(ServerKey, PathBuf)>,
}

pub(crate) async fn found(
    settings: &TestnetSettings,
    binaries: &Binaries,
    home: &Path,
    accounts: &Accounts,
    bootstrap: &[String],
) -> Result<Founded> {
    let mut keys = Vec::new();
    for number in 0..settings.servers {
        keys.push(new_key(binaries, &home.join(format!("key-{number}"))).await?);
    }
    keys.sort();
    let account_list = home.join("accounts");
    accounts.write(&account_list)?;
    let community = home.join("community");
    let args = genesis_args(settings, &community, &account_list, accounts, &keys, bootstrap)?;
    run(&binaries.seedbankd, &args).await?;
    let trust_file = community.join(format!("{NAME}.keys"));
    let trust = std::fs::read_to_string(&trust_file).with_context(|| format!("{}", trust_file.display()))?.parse()?;
    let genesis = community.join("genesis");
    let (wallet, passphrase_file) = write_wallet(home, accounts)?;
    Ok(Founded {
        community: Genesis::decode(&std::fs::read(&genesis)?)?.community(),
        trust,
        trust_file,
        snapshot: community.join("genesis.snapshot"),
        genesis,
        wallet,
        passphrase_file,
        keys,
    })
}

fn genesis_args(
    settings: &TestnetSettings,
    community: &Path,
    account_list: &Path,
    accounts: &Accounts,
    keys: &[(ServerKey, PathBuf)],
    bootstrap: &[String],
) -> Result<Vec<OsString>> {
    let mut args: Vec<OsString> = vec!["genesis".into(), "new".into()];
    args.extend(["--out".into(), community.into(), "--accounts".into(), account_list.into()]);
    let fee_account = Address(accounts.fee_account()?).to_string();
    let values = [
        ("--name", NAME),
        ("--symbol", SYMBOL),
        ("--decimals", &DECIMALS.to_string()),
        ("--epoch", &settings.epoch),
        ("--quorum", &settings.quorum.to_string()),
        ("--fee-account", &fee_account),
        ("--minimum-fee", MINIMUM_FEE),
        ("--opening-minimum", OPENING_MINIMUM),
        ("--full-interval", "1"),
    ];
    args.extend(values.iter().flat_map(|(flag, value)| [OsString::from(flag), OsString::from(value)]));
    for (key, _file) in keys {
        args.extend(["--server".into(), key.to_string().into()]);
    }
    for host in bootstrap {
        args.extend(["--bootstrap".into(), host.into()]);
    }
    Ok(args)
}

pub(crate) async fn new_key(binaries: &Binaries, file: &Path) -> Result<(ServerKey, PathBuf)> {
    let said = run(&binaries.seedbankd, &["key".into(), "new".into(), "--out".into(), file.into()]).await?;
    let key = said.split(|c: char| !c.is_ascii_hexdigit()).find_map(|word| word.parse().ok());
    let key = key.with_context(|| format!("`seedbankd key new` did not print the public key, but {said:?}"))?;
    Ok((key, file.to_owned()))
}

fn write_wallet(home: &Path, accounts: &Accounts) -> Result<(PathBuf, PathBuf)> {
    let (wallet, passphrase_file) = (home.join("wallet"), home.join("passphrase"));
    std::fs::write(&wallet, accounts.wallet_file()?)?;
    std::fs::write(&passphrase_file, format!("{PASSPHRASE}\n"))?;
    Ok((wallet, passphrase_file))
}

/// Runs a program to its end; what it printed, or an error with what it complained about.
async fn run(program: &Path, args: &[OsString]) -> Result<String> {
    let output = Command::new(program).args(args).output().await;
    let output = output.with_context(|| format!("{} does not start", program.display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {args:?} failed: {complaint}", program.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
