//! Whether every server holds exactly what the payments say.
use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use seedbank_types::{AccountId, Address, Amount};

use super::signing::Signed;
use crate::accounts::FIRST_BALANCE;
use crate::founding::DECIMALS;
use crate::testnet::Testnet;

/// Balance and number of payments made, of each account.
type Expected = BTreeMap<AccountId, (u64, u64)>;

/// Compares the accounts that paid or were paid, and the fee account, on every server.
pub(super) async fn check(testnet: &Testnet, signed: &Signed, people: u32) -> Result<()> {
    let expected = expected(testnet, signed, people)?;
    for server in testnet.servers() {
        for (id, (balance, sequence)) in &expected {
            let address = Address(*id);
            let account = server.api().account(&address).await?;
            let account = account.with_context(|| format!("{} does not know {address}", server.name()))?;
            let found = (account.minor_units()?, account.sequence);
            ensure!(
                found == (*balance, *sequence),
                "{} has balance and sequence {found:?} for {address}, but {:?} is right",
                server.name(),
                (balance, sequence)
            );
        }
    }
    Ok(())
}

fn expected(testnet: &Testnet, signed: &Signed, people: u32) -> Result<Expected> {
    let first = Amount::parse_or_zero(FIRST_BALANCE, DECIMALS)?.0;
    let accounts = testnet.accounts();
    let fee_account = accounts.fee_account()?;
    let ids = (0..people).map(|number| accounts.id(number)).chain([Ok(fee_account)]);
    let all: Expected = ids.map(|id| id.map(|id| (id, (first, 0)))).collect::<Result<_>>()?;
    let (mut now, mut touched) = (all, std::collections::BTreeSet::from([fee_account]));
    for (_, payment) in &signed.payments {
        let payment = &payment.payment;
        let (payer, paid) = (payment.payer(), payment.amount.0 + payment.fee.0);
        let record = now.get_mut(&payer).context("an account of the testnet pays")?;
        *record = (record.0.checked_sub(paid).context("nobody pays more than it holds")?, record.1 + 1);
        now.get_mut(&payment.payee).context("an account of the testnet is paid")?.0 += payment.amount.0;
        now.get_mut(&fee_account).context("it is in the list")?.0 += payment.fee.0;
        touched.extend([payer, payment.payee]);
    }
    now.retain(|id, _| touched.contains(id));
    Ok(now)
}
