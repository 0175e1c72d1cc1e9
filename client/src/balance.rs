//! `seedbank balance`: one account, from verified balances.
use seedbank_types::{AccountRecord, Address, Certificate, Genesis, Grade};
use serde_json::json;

use crate::cli::BalanceFlags;
use crate::errors::{Exit, Failure};
use crate::home::CommunityHome;
use crate::judge::Judge;
use crate::network::Network;
use crate::report::{self, Answer};
use crate::settings::{Settings, Trusted};
use crate::{obtain, sync, wallet_commands};

pub(crate) async fn run(settings: &Settings, flags: &BalanceFlags) -> Result<Answer, Failure> {
    let address = match &flags.address {
        Some(text) => parse_address(text)?,
        None => *wallet_commands::addresses(settings)?.first().ok_or_else(|| Failure::unexpected("an empty wallet"))?,
    };
    let trusted = settings.trusted()?;
    let kept = if flags.offline { load(settings, &trusted)? } else { refreshed(settings, &trusted).await? };
    let record = kept.account(address)?;
    let age_ms = report::now().since(kept.certificate.checkpoint.time);
    let failure = sync::stale(&kept.judge, age_ms).filter(|_| flags.require_fresh);
    Ok(answer(&kept, &record, age_ms).with(failure))
}

/// An address that the person wrote.
pub(crate) fn parse_address(text: &str) -> Result<Address, Failure> {
    text.parse().map_err(|error| Failure::usage(error, "Check the address character by character."))
}

/// Verified balances on disk, with what they are judged by.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) home: CommunityHome,
    pub(crate) judge: Judge,
    pub(crate) genesis: Option<Genesis>,
    pub(crate) certificate: Certificate,
    pub(crate) grade: Grade,
}

impl Kept {
    fn account(&self, address: Address) -> Result<AccountRecord, Failure> {
        let checkpoint = &self.certificate.checkpoint;
        let Some(mut file) = obtain::open(&self.home, checkpoint)? else { return Err(not_synced()) };
        let path = self.home.snapshot_path(checkpoint.snapshot.info_hash);
        let record = file.account(&address.0).map_err(|error| obtain::damaged(&path, &error))?;
        record.ok_or_else(|| {
            let message = format!("account {address} was never opened, as of epoch {}", checkpoint.epoch);
            Failure::new(
                Exit::NotFound,
                message,
                "An account opens with the first payment to it; that shows after the epoch's end.",
            )
        })
    }
}

/// Syncs first; if that fails for want of others, what is on disk still counts.
async fn refreshed(settings: &Settings, trusted: &Trusted) -> Result<Kept, Failure> {
    let synced = async {
        let network = Network::start(trusted).await?;
        sync::sync(&settings.home, trusted, &network, settings.voice).await
    };
    match synced.await {
        Ok(synced) => {
            load(settings, &Trusted { community: synced.known.records.judge().community(), ..trusted.clone() })
        }
        Err(failure) if matches!(failure.exit, Exit::NoPeers | Exit::NoRecord | Exit::Disk) => {
            match load(settings, trusted) {
                Ok(kept) => {
                    settings.voice.aside(&format!("not synced: {}; these are the balances on disk", failure.message));
                    Ok(kept)
                }
                Err(_not_there) => Err(failure),
            }
        }
        Err(failure) => Err(failure),
    }
}

/// The balances on disk.
pub(crate) fn load(settings: &Settings, trusted: &Trusted) -> Result<Kept, Failure> {
    let (records, genesis) = sync::start(&settings.home, trusted)?;
    let Some(home) = settings.community_home(trusted) else { return Err(not_synced()) };
    let Some(certificate) = home.verified()? else { return Err(not_synced()) };
    let judge = records.judge().clone();
    let grade = judge
        .grade(&certificate, report::now())
        .map_err(|error| sync::unbelieved(&home, trusted, &home.verified_path(), &error))?;
    Ok(Kept { home, judge, genesis, certificate, grade })
}

fn not_synced() -> Failure {
    Failure::new(Exit::NotFound, "there are no verified balances on disk yet", "Run `seedbank sync` first.")
}

fn answer(kept: &Kept, record: &AccountRecord, age_ms: u64) -> Answer {
    let (address, checkpoint) = (Address(record.id), &kept.certificate.checkpoint);
    let words = format!(
        "{address} holds {}\nat the end of epoch {}, {} old{}; {} payments made so far\n{}",
        report::money(record.balance, kept.genesis.as_ref()),
        report::grouped(checkpoint.epoch.0),
        report::age(age_ms),
        if kept.judge.is_stale(age_ms) { " and STALE: newer payments are missing" } else { "" },
        record.sequence,
        report::guarantee(kept.grade, kept.judge.rule()),
    );
    let json = json!({
        "address": address.to_string(),
        "balance": record.balance.to_string(),
        "sequence": record.sequence,
        "epoch": checkpoint.epoch.0,
        "age_s": age_ms / 1000,
        "grade": kept.grade.to_string(),
    });
    Answer::new(words, json)
}
