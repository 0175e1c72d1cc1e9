//! What people mistype: every error names the place, and ends with the code for wrong use.
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use seedbank_testnet::Binaries;
use seedbank_types::{AccountId, Address, ServerSecret};

const USAGE: i32 = 2;

struct Bench {
    binaries: Binaries,
    home: tempfile::TempDir,
}

impl Bench {
    fn new() -> Result<Self> {
        Ok(Self { binaries: Binaries::find()?, home: tempfile::tempdir()? })
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.home.path().join(name);
        std::fs::write(&path, text)?;
        path.to_str().map(str::to_owned).context("a path of text")
    }

    /// Runs a program that must refuse with the code for wrong use and name all of `places`.
    fn refuses(&self, program: &Path, args: &[&str], places: &[&str]) -> Result<()> {
        let output = Command::new(program).args(args).env("HOME", self.home.path()).output()?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(USAGE), "{args:?} ended with {}: {said}", output.status);
        for place in places {
            ensure!(said.contains(place), "{args:?} does not name {place:?}: {said}");
        }
        Ok(())
    }

    fn genesis(&self, accounts: &str, more: &[&str], places: &[&str]) -> Result<()> {
        let accounts = self.file("accounts", accounts)?;
        let out = self.home.path().join("out");
        let out = out.to_str().context("a path of text")?;
        let (server, fee_account) = (key(1), address(9));
        let args = ["genesis", "new", "--out", out, "--name", "n", "--symbol", "s", "--accounts", &accounts];
        let args = [&args[..], &["--server", &server, "--fee-account", &fee_account], more].concat();
        self.refuses(&self.binaries.seedbankd, &args, places)
    }

    fn pay(&self, address: &str, amount: &str, places: &[&str]) -> Result<()> {
        let trust = self.file("good.keys", &key(1))?;
        self.refuses(&self.binaries.seedbank, &["pay", address, amount, "--trust", &trust], places)
    }
}

fn key(byte: u8) -> String {
    ServerSecret::from_bytes(&[byte; 32]).public().to_string()
}

fn address(byte: u8) -> String {
    Address(AccountId([byte; 20])).to_string()
}

/// The same address with one character mistyped.
fn mistyped(address: &str) -> String {
    let other = if address.ends_with('x') { "y" } else { "x" };
    format!("{}{other}", &address[..address.len() - 1])
}

#[test]
fn a_bad_accounts_file_names_its_line() -> Result<()> {
    let bench = Bench::new()?;
    let good = format!("{} 1.50", address(1));
    for (bad, why) in [
        (format!("{} 1", mistyped(&address(2))), "checksum"),
        (format!("{} 0.001", address(2)), "decimals"),
        (format!("{} -1", address(2)), "negative"),
        (format!("{} 184467440737095516.16", address(2)), "too large"),
        (format!("{} 2", address(1)), "twice"),
        ("nonsense".to_owned(), "nonsense"),
    ] {
        bench.genesis(&format!("{good}\n\n{bad}\n"), &[], &["accounts", "line 3", why])?;
    }
    Ok(())
}

#[test]
fn a_bad_genesis_flag_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let good = format!("{} 1.50", address(1));
    bench.genesis(&good, &["--epoch", "5 parsecs"], &["--epoch", "5 parsecs"])?;
    bench.genesis(&good, &["--quorum", "most"], &["--quorum", "most"])?;
    bench.genesis(&good, &["--decimals", "9"], &["9 decimals"])?;
    bench.genesis(&good, &["--minimum-fee", "0.001"], &["minimum-fee", "0.001"])?;
    bench.genesis(&good, &["--server", "abc"], &["--server", "abc"])?;
    bench.genesis(&good, &["--server", &key(1)], &["--server", &key(1)])
}

#[test]
fn a_bad_genesis_key_or_config_file_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let seedbankd = &bench.binaries.seedbankd;
    let home = bench.home.path().join("server");
    std::fs::create_dir(&home)?;
    let home_text = home.to_str().context("a path of text")?;
    let key = bench.file("key", "not a key\n")?;
    let run = ["run", "--home", home_text, "--genesis", &key, "--snapshot", &key, "--key", &key];
    bench.refuses(seedbankd, &run, &[&key])?;
    std::fs::write(home.join("config.toml"), "ip = \"127.0.0.1\"\nmesh-prot = 1\n")?;
    bench.refuses(seedbankd, &["run", "--home", home_text], &["config.toml", "mesh-prot", "2"])
}

#[test]
fn a_bad_trust_file_names_its_line() -> Result<()> {
    let bench = Bench::new()?;
    for (bad, why) in [
        (key(1), "line 1"),
        ("abc".to_owned(), "64 hex digits"),
        ("quorum = most".to_owned(), "most"),
        ("bootstrap = nowhere".to_owned(), "nowhere"),
        (format!("power = {} 0", key(1)), "power 0"),
    ] {
        let trust = bench.file("bad.keys", &format!("{}\n# a comment\n{bad}\n", key(1)))?;
        bench.refuses(&bench.binaries.seedbank, &["sync", "--trust", &trust], &["bad.keys", "line 3", why])?;
    }
    Ok(())
}

#[test]
fn a_bad_address_is_refused_before_anything_is_sent() -> Result<()> {
    let bench = Bench::new()?;
    let good = address(1);
    bench.pay(&mistyped(&good), "1", &[&mistyped(&good), "checksum"])?;
    bench.pay(&good.replace('S', "0"), "1", &["position 1"])?;
    bench.pay("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "1", &["not a Seedbank address"])
}

#[test]
fn a_bad_amount_is_refused_before_anything_is_sent() -> Result<()> {
    let bench = Bench::new()?;
    for (amount, why) in
        [("0", "the amount is 0"), ("-1", "negative"), ("1.123456789", "decimals"), ("1,5", "not an amount")]
    {
        bench.pay(&address(1), amount, &[why])?;
    }
    Ok(())
}
