//! The clients of the bank: they pay, they read, and one of them is a light client.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use seedbank_types::{AccountId, AccountSecret, Address, Amount, Epoch, Payment, PaymentId, SignedPayment};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::course::Course;
use crate::api::{ErrorAnswer, PaymentAnswer};
use crate::bank::{Deed, Place, Told, Transfer};
use crate::chance::Chance;
use crate::client::LightClient;
use crate::testnet::Testnet;

/// Accounts that pay each other.
pub(crate) const ACCOUNTS: u32 = 12;
const READERS: u32 = 3;
/// Who the light client is in the history.
const LIGHT_CLIENT: u32 = 1_000;
const READER: u32 = 100;
/// So many epochs a payment may wait to be ordered.
const EXPIRES_IN_EPOCHS: u64 = 1_000;
const AMOUNT_MAX: u64 = 50;
const PAY_PAUSE: Duration = Duration::from_millis(200);
const READ_PAUSE: Duration = Duration::from_millis(200);
const LIGHT_PAUSE: Duration = Duration::from_secs(4);
const POLL_PAUSE: Duration = Duration::from_millis(40);
/// A payment that is not final by then is handed to another server, the same bytes.
const RESEND_AFTER: Duration = Duration::from_millis(1_000);

/// The running clients.
pub(crate) struct Clients {
    tasks: JoinSet<Result<()>>,
}

impl Clients {
    pub(crate) fn start(course: &Arc<Course>, testnet: &Testnet, chance: &mut Chance) -> Result<Self> {
        let mut tasks = JoinSet::new();
        let accounts = testnet.accounts();
        let people: Vec<AccountId> = (0..ACCOUNTS).map(|number| accounts.id(number)).collect::<Result<_>>()?;
        let people = Arc::new(people);
        for number in 0..ACCOUNTS {
            let payer = Payer {
                course: Arc::clone(course),
                people: Arc::clone(&people),
                number,
                secret: accounts.secret(number)?,
                chance: chance.fork(),
            };
            tasks.spawn(payer.pay_on());
        }
        for number in 0..READERS {
            tasks.spawn(read_on(Arc::clone(course), Arc::clone(&people), READER + number, chance.fork()));
        }
        tasks.spawn(verify_on(Arc::clone(course), people, testnet.client(1)?, chance.fork()));
        Ok(Self { tasks })
    }

    /// Waits until every payment is final and every client has ended.
    pub(crate) async fn finish(mut self) -> Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a client died")??;
        }
        Ok(())
    }
}

/// The owner of one account, who makes the next payment when the one before is final.
struct Payer {
    course: Arc<Course>,
    people: Arc<Vec<AccountId>>,
    number: u32,
    secret: AccountSecret,
    chance: Chance,
}

impl Payer {
    async fn pay_on(mut self) -> Result<()> {
        for sequence in 0.. {
            if self.course.is_stopped() {
                break;
            }
            let (id, signed) = self.sign(sequence);
            let now = Instant::now();
            self.settle(id, &signed).await;
            self.course.became_final(now);
            let pause = self.chance.pause(PAY_PAUSE);
            self.course.sleep(pause).await;
        }
        Ok(())
    }

    fn sign(&mut self, sequence: u64) -> (PaymentId, SignedPayment) {
        let others = self.people.len() - 1;
        let own = usize::try_from(self.number).unwrap_or_default();
        let payee = self.people[(own + 1 + self.chance.index(others)) % self.people.len()];
        let payment = Payment {
            payer_key: self.secret.public().to_bytes(),
            payee,
            amount: Amount(1 + self.chance.below(AMOUNT_MAX)),
            fee: self.course.fee,
            sequence,
            expires: Epoch(self.course.open_epoch + EXPIRES_IN_EPOCHS),
            memo: Vec::new(),
        };
        let id = payment.id(&self.course.community);
        let (amount, fee) = (payment.amount.0, payment.fee.0);
        let payer = self.people[own];
        self.course.note(self.number, Deed::Signed(Transfer { id, payer, payee, amount, fee, sequence }));
        (id, payment.sign(&self.course.community, &self.secret))
    }

    /// Hands it in until it is final, always the same bytes.
    async fn settle(&mut self, id: PaymentId, signed: &SignedPayment) {
        loop {
            self.submit(id, signed).await;
            let resend = Instant::now() + RESEND_AFTER;
            while Instant::now() < resend {
                sleep(POLL_PAUSE).await;
                if let Some(place) = self.ask_all(id, signed.payment.sequence).await {
                    self.course.note(self.number, Deed::Final { payment: id, place });
                    return;
                }
            }
        }
    }

    async fn submit(&mut self, id: PaymentId, signed: &SignedPayment) {
        let server = self.chance.index(self.course.apis.len());
        let begin = Instant::now();
        let deed = match self.course.apis[server].submit(std::slice::from_ref(signed)).await {
            Ok(answers) => match answers.first() {
                Some(answer) => told(id, server, answer, signed.payment.sequence),
                None => silence(server, "an empty answer"),
            },
            Err(error) => match error.downcast_ref::<ErrorAnswer>() {
                Some(refusal) => {
                    let told = refused(refusal, signed.payment.sequence);
                    Deed::Told { payment: id, server, told }
                }
                None => silence(server, &format!("{error:#}")),
            },
        };
        self.course.note_since(begin, self.number, deed);
    }

    /// Asks all servers; the place that those of a quorum name.
    async fn ask_all(&self, id: PaymentId, sequence: u64) -> Option<Place> {
        let (course, total) = (&self.course, self.course.powers.iter().sum());
        let mut asked: FuturesUnordered<_> = (0..course.apis.len())
            .map(|server| async move { (server, self.ask(server, id, sequence).await) })
            .collect();
        let mut power: std::collections::BTreeMap<Place, u64> = std::collections::BTreeMap::new();
        let round = async {
            while let Some((server, place)) = asked.next().await {
                let Some(place) = place else { continue };
                let sum = power.entry(place.clone()).or_default();
                *sum += course.powers[server];
                if course.rule.is_quorum(*sum, total) {
                    return Some(place);
                }
            }
            None
        };
        timeout(course.patience.round, round).await.ok().flatten()
    }

    async fn ask(&self, server: usize, id: PaymentId, sequence: u64) -> Option<Place> {
        let begin = Instant::now();
        let deed = match self.course.apis[server].payment(&id).await {
            Ok(Some(answer)) => told(id, server, &answer, sequence),
            Ok(None) => Deed::Told { payment: id, server, told: Told::Unknown },
            Err(error) => silence(server, &format!("{error:#}")),
        };
        let place = match &deed {
            Deed::Told { told: Told::Final(place), .. } => Some(place.clone()),
            _ => None,
        };
        self.course.note_since(begin, self.number, deed);
        place
    }
}

fn told(payment: PaymentId, server: usize, answer: &PaymentAnswer, sequence: u64) -> Deed {
    let told = match (answer.place(), &answer.refusal) {
        (Some((height, header)), _) => Told::Final(Place { height, header }),
        (None, Some(refusal)) => refused(refusal, sequence),
        (None, None) => Told::Sent,
    };
    Deed::Told { payment, server, told }
}

/// A refusal for ever: the account has made a payment with this sequence already, or time is over, or the
/// bytes are wrong. What depends on other payments may pass.
fn refused(refusal: &ErrorAnswer, sequence: u64) -> Told {
    let for_ever = match refusal.code.as_str() {
        "wrong_sequence" => {
            let expected = refusal.message.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse().ok());
            expected.is_some_and(|expected: u64| expected > sequence)
        }
        "expired" | "malformed" | "bad_key" | "bad_signature" => true,
        _ => false,
    };
    Told::Refused { code: refusal.code.clone(), for_ever }
}

fn silence(server: usize, why: &str) -> Deed {
    Deed::Silence { server, why: why.to_owned() }
}

/// Asks any server for any account, and for its newest certificate.
async fn read_on(course: Arc<Course>, people: Arc<Vec<AccountId>>, client: u32, mut chance: Chance) -> Result<()> {
    while !course.is_stopped() {
        let (server, account) = (chance.index(course.apis.len()), people[chance.index(people.len())]);
        let (begin, api) = (Instant::now(), &course.apis[server]);
        if chance.below(8) == 0 {
            if let Ok(Some(newest)) = api.checkpoint().await {
                let (epoch, height, hash) = (newest.epoch, newest.height, newest.hash);
                course.note_since(begin, client, Deed::Certificate { server, epoch, height, hash });
            }
        } else {
            let deed = match api.account(&Address(account)).await {
                Ok(Some(told)) => {
                    let (balance, sequence, height) = (told.minor_units()?, told.sequence, told.height);
                    Deed::Read { server, account, balance, sequence, height }
                }
                Ok(None) => anyhow::bail!("server {server} does not know account {}", Address(account)),
                Err(error) => silence(server, &format!("{error:#}")),
            };
            course.note_since(begin, client, deed);
        }
        course.sleep(chance.pause(READ_PAUSE)).await;
    }
    Ok(())
}

/// Has the light client sync, and tell accounts out of what it verified. That it finds nobody while
/// faults happen is no finding; that it believes something wrong is one.
async fn verify_on(
    course: Arc<Course>,
    people: Arc<Vec<AccountId>>,
    client: LightClient,
    mut chance: Chance,
) -> Result<()> {
    while !course.is_stopped() {
        let synced = client.run(&["sync"]).await;
        if let Err(error) = synced {
            tracing::debug!(%error, "the light client did not sync");
        }
        for _ in 0..3 {
            let account = people[chance.index(people.len())];
            let begin = Instant::now();
            let Ok(outcome) = client.run(&["balance", &Address(account).to_string(), "--offline"]).await else {
                continue;
            };
            let number = |name: &str| {
                let value = &outcome.json[name];
                value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
            };
            if let (Some(balance), Some(sequence), Some(epoch)) =
                (number("balance"), number("sequence"), number("epoch"))
            {
                course.note_since(begin, LIGHT_CLIENT, Deed::Verified { account, balance, sequence, epoch });
            }
        }
        course.sleep(LIGHT_PAUSE).await;
    }
    Ok(())
}
