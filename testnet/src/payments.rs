//! Payments among the people of a testnet: signed here, handed to the servers, and followed.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use seedbank_types::{AccountId, Address, Amount, CommunityId, Epoch, Payment, PaymentId, Rule, SignedPayment};
use tokio::time::{Instant, sleep};

use crate::accounts::Accounts;
use crate::api::{Api, SUBMIT_PAYMENTS_MAX};
use crate::founding::{DECIMALS, MINIMUM_FEE};
use crate::testnet::{Testnet, in_time};

/// So many epochs a payment of these may wait to be ordered.
const EXPIRES_IN_EPOCHS: u64 = 1_000;
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// Makes payments: who pays whom goes round, so that every account pays and is paid.
#[derive(Debug)]
pub struct Payments {
    community: CommunityId,
    fee: Amount,
    /// The next sequence of each account that has paid.
    sequences: BTreeMap<u32, u64>,
    made: u32,
}

/// A payment with its name.
#[derive(Debug, Clone)]
pub struct MadePayment {
    /// What its key signed.
    pub id: PaymentId,
    /// As it is sent.
    pub signed: SignedPayment,
    /// The number of the account that pays.
    pub payer: u32,
}

impl Payments {
    /// A community in which none of these accounts has paid yet.
    pub fn new(community: CommunityId) -> Result<Self> {
        let fee = Amount::parse_or_zero(MINIMUM_FEE, DECIMALS)?;
        Ok(Self { community, fee, sequences: BTreeMap::new(), made: 0 })
    }

    /// Signs the next `count` payments. The open epoch says how long they are good.
    pub fn make(&mut self, accounts: &Accounts, open_epoch: u64, count: u32) -> Result<Vec<MadePayment>> {
        (0..count).map(|_| self.make_one(accounts, open_epoch)).collect()
    }

    /// The same for accounts that have paid before, each as often as `paid` says.
    pub fn make_after(
        &mut self,
        accounts: &Accounts,
        open_epoch: u64,
        count: u32,
        paid: impl Fn(&AccountId) -> u64,
    ) -> Result<Vec<MadePayment>> {
        for number in 0..accounts.with_keys() {
            self.sequences.insert(number, paid(&accounts.id(number)?));
        }
        self.make(accounts, open_epoch, count)
    }

    /// These were refused: their sequences are free again.
    pub fn take_back(&mut self, made: &[MadePayment]) {
        for payment in made {
            let payer = payment.payer;
            self.sequences.entry(payer).and_modify(|next| *next = (*next).min(payment.signed.payment.sequence));
        }
    }

    fn make_one(&mut self, accounts: &Accounts, open_epoch: u64) -> Result<MadePayment> {
        // The last account receives the fees; it neither pays nor is paid here.
        let people = accounts.with_keys().min(accounts.count() - 1);
        let (payer, payee) = (self.made % people, (self.made + 1 + self.made / people % (people - 1)) % people);
        let secret = accounts.secret(payer)?;
        let sequence = self.sequences.entry(payer).or_default();
        let payment = Payment {
            payer_key: secret.public().to_bytes(),
            payee: accounts.id(payee)?,
            amount: Amount(100 + u64::from(self.made % 50)),
            fee: self.fee,
            sequence: *sequence,
            expires: Epoch(open_epoch + EXPIRES_IN_EPOCHS),
            memo: Vec::new(),
        };
        *sequence += 1;
        self.made += 1;
        let id = payment.id(&self.community);
        Ok(MadePayment { id, signed: payment.sign(&self.community, &secret), payer })
    }
}

/// Hands payments to one server; none may be refused.
pub async fn submit(api: &Api, payments: &[MadePayment]) -> Result<()> {
    for part in payments.chunks(SUBMIT_PAYMENTS_MAX) {
        let signed: Vec<SignedPayment> = part.iter().map(|one| one.signed.clone()).collect();
        for answer in api.submit(&signed).await? {
            if let Some(refusal) = answer.refusal {
                bail!("payment {} was refused: {refusal}", answer.id);
            }
        }
    }
    Ok(())
}

/// Waits until each payment is final: servers of a quorum name the same height and header for it.
pub async fn all_final(testnet: &Testnet, payments: &[MadePayment], deadline: Instant) -> Result<()> {
    for payment in payments {
        while !is_final(testnet, &payment.id).await? {
            in_time(deadline, &format!("payment {} did not become final", payment.id))?;
            sleep(POLL_PAUSE).await;
        }
    }
    Ok(())
}

/// Whether servers of a quorum name the same place for a payment. Two different places are a fork.
pub async fn is_final(testnet: &Testnet, id: &PaymentId) -> Result<bool> {
    let mut place = None;
    let mut power = 0;
    let rule: Rule = testnet.trust().quorum;
    for server in testnet.servers().iter().filter(|server| server.is_running()) {
        let Some(ordered) = server.api().payment(id).await?.and_then(|answer| answer.place()) else { continue };
        let first = place.get_or_insert_with(|| ordered.clone());
        ensure!(*first == ordered, "a fork: payment {id} is at {first:?} and at {ordered:?}");
        let number =
            testnet.trust().servers.number(&server.key()).context("the servers are those of the trust file")?;
        power += testnet.trust().servers.member(number).map_or(0, |(_, power)| power);
    }
    Ok(rule.is_quorum(power, testnet.trust().servers.total()))
}

/// The sum of what these accounts hold, as one server says.
pub async fn balance(api: &Api, address: &Address) -> Result<u64> {
    api.account(address).await?.with_context(|| format!("{address} has no account"))?.minor_units()
}
