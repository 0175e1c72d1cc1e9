//! `seedbank wallet …`: making, showing and restoring a wallet.
//!
//! Beside the wallet file stand its addresses in clear, so that looking at a balance needs no passphrase.
use std::path::{Path, PathBuf};

use seedbank_types::{AccountSecret, Address};
use seedbank_wallet::{NONCE_BYTES, SALT_BYTES, SealCost, Wallet};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::{AddressFlags, ImportFlags, NewFlags, WalletCommand};
use crate::disk::{self, PUBLIC, SECRET};
use crate::errors::{Exit, Failure};
use crate::passphrase;
use crate::report::Answer;
use crate::settings::Settings;

/// Longest wallet file and list of addresses that are read.
const FILE_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn run(settings: &Settings, command: WalletCommand) -> Result<Answer, Failure> {
    match command {
        WalletCommand::New(flags) => new(settings, &flags),
        WalletCommand::Address(flags) => address(settings, &flags),
        WalletCommand::Import(flags) => import(settings, &flags),
        WalletCommand::Export => export(settings),
    }
}

fn new(settings: &Settings, flags: &NewFlags) -> Result<Answer, Failure> {
    check_none(&settings.wallet)?;
    let passphrase = passphrase::new_passphrase(settings.passphrase_file.as_deref())?;
    let mut entropy = Zeroizing::new([0; 32]);
    fill(&mut *entropy)?;
    let bytes = if flags.words == "24" { 32 } else { 16 };
    let wallet = Wallet::new(&entropy[..bytes]).map_err(Failure::unexpected)?;
    create(settings, &wallet, &passphrase)?;
    let address = first_address(&wallet)?;
    let words = wallet.words();
    let told = format!(
        "Your address: {address}\n\nYour words, in this order:\n\n    {}\n\n\
         Write them down on paper. Whoever has them has the money; without them and the passphrase it is lost.",
        words.as_str()
    );
    Ok(Answer::new(told, json!({ "address": address.to_string(), "words": words.as_str(), "file": settings.wallet })))
}

fn import(settings: &Settings, flags: &ImportFlags) -> Result<Answer, Failure> {
    check_none(&settings.wallet)?;
    let words = passphrase::words(flags.words_file.as_deref())?;
    let wrong =
        |error: &dyn std::fmt::Display| Failure::usage(error, "Compare with what you wrote down, word by word.");
    let mut wallet = Wallet::from_words(&words).map_err(|error| wrong(&error))?;
    wallet.set_accounts_used(flags.accounts).map_err(|error| wrong(&error))?;
    let passphrase = passphrase::new_passphrase(settings.passphrase_file.as_deref())?;
    create(settings, &wallet, &passphrase)?;
    let address = first_address(&wallet)?;
    let told = format!("The wallet is restored. Its first address: {address}");
    Ok(Answer::new(told, json!({ "address": address.to_string(), "file": settings.wallet })))
}

fn export(settings: &Settings) -> Result<Answer, Failure> {
    let (wallet, _) = open(settings)?;
    let words = wallet.words();
    Ok(Answer::new(words.to_string(), json!({ "words": words.as_str() })))
}

fn address(settings: &Settings, flags: &AddressFlags) -> Result<Answer, Failure> {
    let all = if flags.next { take_next(settings)? } else { addresses(settings)? };
    let text: Vec<_> = all.iter().map(ToString::to_string).collect();
    let newest = if flags.next { text.last() } else { text.first() };
    Ok(Answer::new(text.join("\n"), json!({ "address": newest, "addresses": text })))
}

fn take_next(settings: &Settings) -> Result<Vec<Address>, Failure> {
    let (mut wallet, passphrase) = open(settings)?;
    wallet.use_next_account().map_err(|error| Failure::usage(error, "Make another wallet."))?;
    disk::write(&settings.wallet, &seal(&wallet, &passphrase)?, SECRET)?;
    write_addresses(settings, &wallet)
}

/// The wallet's addresses, from the list beside it; only without the list the passphrase is needed.
pub(crate) fn addresses(settings: &Settings) -> Result<Vec<Address>, Failure> {
    let path = list_path(&settings.wallet);
    let Some(bytes) = disk::read(&path, FILE_BYTES_MAX)? else {
        let (wallet, _) = open(settings)?;
        return write_addresses(settings, &wallet);
    };
    let text = String::from_utf8_lossy(&bytes);
    let read = |line: &str| line.trim().parse().map_err(|error| Failure::disk("read", &path, error));
    text.lines().filter(|line| !line.trim().is_empty()).map(read).collect()
}

/// The key of one account.
pub(crate) fn secret(settings: &Settings, account: u32) -> Result<AccountSecret, Failure> {
    let (wallet, _) = open(settings)?;
    wallet.account(account).map_err(|error| Failure::usage(error, "Choose another --account."))
}

fn open(settings: &Settings) -> Result<(Wallet, Zeroizing<String>), Failure> {
    let path = &settings.wallet;
    let Some(file) = disk::read(path, FILE_BYTES_MAX)? else {
        let message = format!("there is no wallet at {}", path.display());
        return Err(Failure::new(
            Exit::NotFound,
            message,
            "Make one with `seedbank wallet new`, or name it: --wallet FILE.",
        ));
    };
    let passphrase = passphrase::passphrase(settings.passphrase_file.as_deref())?;
    let wallet = Wallet::open(&file, &passphrase).map_err(|error| {
        Failure::usage(error, "Try again with the passphrase that was chosen when the wallet was made.")
    })?;
    Ok((wallet, passphrase))
}

fn create(settings: &Settings, wallet: &Wallet, passphrase: &str) -> Result<(), Failure> {
    settings.home.root()?;
    if !disk::write_new(&settings.wallet, &seal(wallet, passphrase)?, SECRET)? {
        return Err(exists(&settings.wallet));
    }
    write_addresses(settings, wallet).map(drop)
}

fn seal(wallet: &Wallet, passphrase: &str) -> Result<Vec<u8>, Failure> {
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    fill(&mut salt)?;
    fill(&mut nonce)?;
    wallet.seal(passphrase, salt, nonce, SealCost::DEFAULT).map_err(Failure::unexpected)
}

fn write_addresses(settings: &Settings, wallet: &Wallet) -> Result<Vec<Address>, Failure> {
    let all = (0..wallet.accounts_used()).map(|index| wallet.address(index));
    let all = all.collect::<Result<Vec<_>, _>>().map_err(Failure::unexpected)?;
    let text: String = all.iter().map(|address| format!("{address}\n")).collect();
    disk::write(&list_path(&settings.wallet), text.as_bytes(), PUBLIC)?;
    Ok(all)
}

fn list_path(wallet: &Path) -> PathBuf {
    let mut name = wallet.file_name().unwrap_or_default().to_owned();
    name.push(".addresses");
    wallet.with_file_name(name)
}

fn first_address(wallet: &Wallet) -> Result<Address, Failure> {
    wallet.address(0).map_err(Failure::unexpected)
}

fn check_none(path: &Path) -> Result<(), Failure> {
    if path.exists() { Err(exists(path)) } else { Ok(()) }
}

fn exists(path: &Path) -> Failure {
    let message = format!("there is a wallet at {} already; it is never overwritten", path.display());
    Failure::usage(message, "Choose another place: --wallet FILE.")
}

fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::unexpected(format!("the system gives no entropy: {error}")))
}
