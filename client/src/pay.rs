//! `seedbank pay`: a payment is signed, put on disk, and only then sent.
use std::time::Duration;

use seedbank_types::{
    AccountId, AccountSecret, Address, Amount, AmountError, Epoch, Genesis, Height, MEMO_BYTES_MAX, Payment, PaymentId,
    PaymentState, Refusal, SignedPayment,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::balance::parse_address;
use crate::cli::PayFlags;
use crate::discovery::Failed;
use crate::errors::{Exit, Failure};
use crate::network::Network;
use crate::obtain;
use crate::outcome::Word;
use crate::report::{self, Answer};
use crate::servers::Servers;
use crate::settings::Settings;
use crate::stamping;
use crate::sync::{Known, check_same, discover, store_conflict};
use crate::wallet_commands;

/// A payment may be ordered for so many epochs after the newest certified one.
const EXPIRES_AFTER_EPOCHS: u64 = 60;
/// Stamps that are made for one payment, while the servers ask for more and more.
const STAMPS_MAX: usize = 3;
/// How often the servers are asked while waiting.
const POLL: Duration = Duration::from_millis(200);
/// How long `--wait` waits until a payment is final.
const FINAL_WITHIN: Duration = Duration::from_secs(60);
/// How long it then waits beyond two epochs until it is certified.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(30);

/// A connection to the servers, with what is known of their newest epoch.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) known: Known,
    pub(crate) servers: Servers,
    pub(crate) genesis: Genesis,
    _network: Network,
}

impl<'a> Desk<'a> {
    /// Finds the servers and connects to them.
    pub(crate) async fn open(settings: &'a Settings) -> Result<Self, Failure> {
        let trusted = settings.trusted()?;
        let network = Network::start(&trusted).await?;
        let known = discover(&settings.home, &trusted, &network).await?;
        let servers = known.servers(&trusted).await?;
        servers.check_reached()?;
        let Some(genesis) = known.genesis.clone() else {
            let message = "the genesis is not known, so nobody knows how many decimals an amount has";
            return Err(Failure::new(Exit::NoPeers, message, "Run `seedbank sync` when more servers can be reached."));
        };
        Ok(Self { settings, known, servers, genesis, _network: network })
    }

    pub(crate) fn epoch(&self) -> Result<Epoch, Failure> {
        Ok(self.known.newest()?.0.checkpoint.epoch)
    }

    /// The height up to which the client has verified a certificate itself.
    pub(crate) fn certified(&self) -> Option<Height> {
        self.known.records.newest().map(|(newest, _)| newest.checkpoint.height)
    }

    /// Sends a payment; a refusal is a failure, and a quorum's for good is remembered.
    pub(crate) async fn submit(&self, payment: &SignedPayment) -> Result<PaymentState, Failure> {
        let id = payment.payment.id(&self.genesis.community());
        let (failure, is_quorums) = match self.submit_stamped(payment).await {
            Ok(Word { state: PaymentState::Refused(refusal), is_quorums }) => (self.refused(refusal), is_quorums),
            Ok(Word { state, .. }) => {
                self.known.home.set_sent(id)?;
                return Ok(state);
            }
            Err(failure) => (failure, false),
        };
        if !failure.is_refused_for_good() {
            // It is on disk: one command sends the same bytes again.
            let next = format!("{} Send this payment again: `seedbank payment {id}`.", failure.next);
            return Err(Failure { next, ..failure });
        }
        if is_quorums {
            self.known.home.set_refused(id)?;
            return Err(failure);
        }
        let next = format!(
            "Not enough servers say so to be sure: the payment is kept, and may still be ordered if another server \
             took it. Ask with `seedbank payment {id}` before you pay again."
        );
        Err(Failure { next, ..failure })
    }

    /// Sends a payment, with a stamp if the servers ask for one, and again if they then ask for more.
    async fn submit_stamped(&self, payment: &SignedPayment) -> Result<Word, Failure> {
        let id = payment.payment.id(&self.genesis.community());
        let mut word = self.servers.submit(payment, None, self.certified()).await?;
        for _ in 0..STAMPS_MAX {
            let PaymentState::Refused(Refusal::StampTooWeak { bits }) = word.state else { break };
            let stamp = stamping::stamp(id, bits, self.settings.voice).await?;
            word = self.servers.submit(payment, Some(stamp), self.certified()).await?;
        }
        Ok(word)
    }

    /// A refusal with amounts as people of this community write them.
    pub(crate) fn refused(&self, refusal: Refusal) -> Failure {
        Failure::refused_in(refusal, &self.genesis)
    }

    /// Asks once how far a payment has come, with the newest certificates verified.
    pub(crate) async fn state(&mut self, id: PaymentId) -> Result<Word, Failure> {
        let word = self.servers.payment(id, self.certified()).await?;
        let PaymentState::Final { height, .. } = word.state else { return Ok(word) };
        if self.certified().is_some_and(|certified| certified >= height) {
            return Ok(word);
        }
        self.renew().await?;
        self.servers.payment(id, self.certified()).await
    }

    /// The epoch of the verified balances on disk, and how many payments the payer had made at its end.
    pub(crate) fn verified_sequence(&self, payer: AccountId) -> Option<(Epoch, u64)> {
        let home = &self.known.home;
        let certificate = home.verified().ok()??;
        self.known.records.judge().grade(&certificate, report::now()).ok()?;
        let mut file = obtain::open(home, &certificate.checkpoint).ok()??;
        let record = file.account(&payer).ok()?;
        Some((certificate.checkpoint.epoch, record.map_or(0, |record| record.sequence)))
    }

    /// Asks the servers for their newest certificates and verifies them.
    async fn renew(&mut self) -> Result<(), Failure> {
        for certificate in self.servers.newest_certificates().await {
            match self.known.records.take_certificate(&certificate, report::now()) {
                Ok(()) => {}
                Err(Failed::Unbelieved(why)) => tracing::warn!(%why, "a certificate is not believed"),
                Err(Failed::Conflict(conflict)) => {
                    return Err(store_conflict(&self.settings.home, &self.known.records, &conflict));
                }
            }
        }
        let newest = &self.known.newest()?.0;
        let kept = self.known.home.store_newest(newest)?;
        let path = self.known.home.newest_path();
        check_same(&self.settings.home, &self.known.records, &path, newest, kept)
    }

    fn tell(&self, state: &PaymentState, after: Duration) {
        let words = self.explained(state);
        self.settings.voice.say(&format!("{:>6.1} s  {words}", after.as_secs_f64()));
    }

    fn explained(&self, state: &PaymentState) -> String {
        let verified = self.known.records.newest().map(|(newest, _)| newest.checkpoint.epoch);
        explained(state, self.servers.is_one_servers_word(), verified)
    }

    /// Waits until a payment is certified; final and not certified in time is still a good end.
    pub(crate) async fn wait(&mut self, id: PaymentId, mut state: PaymentState) -> Result<PaymentState, Failure> {
        let started = Instant::now();
        let mut is_quorums = false;
        let certified_within = FINAL_WITHIN + CERTIFIED_WITHIN + 2 * Duration::from_millis(self.genesis.epoch_ms);
        loop {
            match state {
                PaymentState::Certified { .. } => return Ok(state),
                PaymentState::Refused(refusal) if is_quorums && !refusal.is_passing() => {
                    return Err(self.refused(refusal));
                }
                PaymentState::Final { .. } if started.elapsed() > certified_within => return Ok(state),
                PaymentState::Final { .. } => {}
                _ if started.elapsed() > FINAL_WITHIN => return Err(not_final(id, state)),
                _ => {}
            }
            sleep(POLL).await;
            let word = self.state(id).await?;
            is_quorums = word.is_quorums;
            let before = std::mem::replace(&mut state, word.state);
            if before.code() != state.code() {
                self.tell(&state, started.elapsed());
            }
        }
    }
}

pub(crate) async fn run(settings: &Settings, flags: &PayFlags) -> Result<Answer, Failure> {
    let payee = parse_address(&flags.address)?;
    if flags.memo.len() > MEMO_BYTES_MAX {
        let message = format!("the memo has {} bytes, at most {MEMO_BYTES_MAX} are possible", flags.memo.len());
        return Err(Failure::usage(message, "Shorten the memo."));
    }
    // With at most 8 decimals: what is no amount at all is said before anything is asked or sent.
    Amount::parse(&flags.amount, 8).or_else(too_large_for_now).map_err(|error| bad_amount(&error))?;
    let secret = wallet_commands::secret(settings, flags.account)?;
    let mut desk = Desk::open(settings).await?;
    let lock = desk.known.home.lock_payments().await?;
    let prepared = prepare(&mut desk, flags, &secret, payee).await?;
    let id = prepared.payment.payment.id(&desk.genesis.community());
    let state = match prepared.state {
        Some(state) => state,
        None => desk.submit(&prepared.payment).await?,
    };
    drop(lock);
    desk.tell(&PaymentState::Sent, Duration::ZERO);
    let state = if flags.wait { desk.wait(id, state).await? } else { state };
    let mut answer = answer(&desk, id, Some(&prepared.payment), &state);
    if prepared.is_again {
        answer.json["again"] = true.into();
    }
    Ok(answer)
}

/// A payment that is signed and on disk.
#[derive(Debug)]
struct Prepared {
    payment: SignedPayment,
    /// Whether it was made by an earlier command that did not see it arrive.
    is_again: bool,
    /// Known if it has arrived after all: then it need not be sent.
    state: Option<PaymentState>,
}

/// Whether 64 bits are enough depends on the community's decimals.
fn too_large_for_now(error: AmountError) -> Result<Amount, AmountError> {
    if matches!(error, AmountError::TooLarge(_)) { Ok(Amount::ZERO) } else { Err(error) }
}

fn bad_amount(error: &AmountError) -> Failure {
    Failure::usage(error, "Write the amount like 12.50.")
}

/// The payment to send. One that was made before and was not seen to arrive is taken again. To be called with the
/// lock of payments held.
async fn prepare(
    desk: &mut Desk<'_>,
    flags: &PayFlags,
    secret: &AccountSecret,
    payee: Address,
) -> Result<Prepared, Failure> {
    let payment = wanted(desk, flags, secret, payee).await?;
    let newest = desk.epoch()?;
    let made = desk.known.home.payments()?;
    for (id, earlier) in unsent(&made, &payment, newest, |id| desk.known.home.is_sent(id)) {
        if earlier.payment.sequence == payment.sequence {
            let words =
                format!("payment {id} was made before and not seen to arrive: it is sent again, the same bytes");
            desk.settings.voice.aside(&words);
            return Ok(Prepared { payment: earlier, is_again: true, state: None });
        }
        let state = desk.state(id).await?.state;
        if !matches!(state, PaymentState::Unknown | PaymentState::Refused(_)) {
            desk.known.home.set_sent(id)?;
            desk.settings
                .voice
                .aside(&format!("payment {id} was made before and has arrived after all: it is this one"));
            return Ok(Prepared { payment: earlier, is_again: true, state: Some(state) });
        }
    }
    let sequence = after_waiting(desk, &made, &payment).await?;
    let community = desk.genesis.community();
    let signed = Payment { sequence, ..payment }.sign(&community, secret);
    desk.known.home.store_payment(signed.payment.id(&community), &signed)?;
    Ok(Prepared { payment: signed, is_again: false, state: None })
}

/// What was asked for, under the number that the servers expect.
async fn wanted(desk: &Desk<'_>, flags: &PayFlags, secret: &AccountSecret, payee: Address) -> Result<Payment, Failure> {
    let genesis = &desk.genesis;
    let amount = Amount::parse(&flags.amount, genesis.decimals).map_err(|error| bad_amount(&error))?;
    let fee = match &flags.fee {
        Some(fee) => Amount::parse_or_zero(fee, genesis.decimals).map_err(|error| bad_amount(&error))?,
        None => genesis.minimum_fee,
    };
    Ok(Payment {
        payer_key: secret.public().to_bytes(),
        payee: payee.0,
        amount,
        fee,
        sequence: desk.servers.next_sequence(secret.public().id()).await?,
        expires: Epoch(desk.epoch()?.0.saturating_add(EXPIRES_AFTER_EPOCHS)),
        memo: flags.memo.clone().into_bytes(),
    })
}

/// Payments like the wanted one that no server is known to have taken, by number: whoever asks for it again means
/// one of these. Under the number that the servers still expect it never reached them, and its bytes can be sent
/// again; under a lower one it may have arrived without an answer.
fn unsent(
    made: &[(PaymentId, SignedPayment)],
    wanted: &Payment,
    newest: Epoch,
    is_sent: impl Fn(PaymentId) -> bool,
) -> Vec<(PaymentId, SignedPayment)> {
    let is_like = |made: &Payment| {
        let (expires, sequence) = (wanted.expires, wanted.sequence);
        made.expires > newest && made.sequence <= sequence && Payment { expires, sequence, ..made.clone() } == *wanted
    };
    let mut like: Vec<_> = made.iter().filter(|(id, made)| is_like(&made.payment) && !is_sent(*id)).cloned().collect();
    like.sort_by_key(|(_, made)| made.payment.sequence);
    like
}

/// The number for a new payment. Payments that were taken before and that the servers do not count are sent again,
/// and the new one comes after them: of two under one number only one is ever ordered.
async fn after_waiting(desk: &Desk<'_>, made: &[(PaymentId, SignedPayment)], wanted: &Payment) -> Result<u64, Failure> {
    let waiting = waiting(made, wanted, desk.epoch()?, |id| desk.known.home.is_sent(id));
    for payment in &waiting {
        desk.submit(payment).await?;
    }
    Ok(wanted.sequence.saturating_add(waiting.len() as u64))
}

/// Payments that a server took, numbered on from the one that the servers expect.
fn waiting(
    made: &[(PaymentId, SignedPayment)],
    wanted: &Payment,
    newest: Epoch,
    is_sent: impl Fn(PaymentId) -> bool,
) -> Vec<SignedPayment> {
    let taken = |sequence| {
        made.iter().find(|(id, made)| {
            let made = &made.payment;
            made.payer_key == wanted.payer_key && made.sequence == sequence && made.expires > newest && is_sent(*id)
        })
    };
    (wanted.sequence..).map_while(taken).map(|(_, payment)| payment.clone()).collect()
}

fn not_final(id: PaymentId, state: PaymentState) -> Failure {
    let message =
        format!("the payment is not final after {} s; the servers say: {}", FINAL_WITHIN.as_secs(), state.code());
    let next =
        format!("It may still become final. Ask with `seedbank payment {id}`; never pay a second time before that.");
    Failure { code: "not_final".into(), ..Failure::new(Exit::Unexpected, message, next) }
}

/// A state for people.
fn explained(state: &PaymentState, is_one_servers_word: bool, verified: Option<Epoch>) -> String {
    let who =
        if is_one_servers_word { "the one server that was asked names a" } else { "servers of a quorum name the same" };
    match state {
        PaymentState::Unknown => "unknown: no server that answered has heard of it".to_owned(),
        PaymentState::Sent => "sent: the servers have it, it is not ordered yet".to_owned(),
        PaymentState::Final { height, .. } => format!("final: {who} place for it, height {height}"),
        PaymentState::Certified { height, epoch, .. } => {
            // The servers name the epoch of the payment; what was verified here may be a later one.
            let verified = verified.unwrap_or(*epoch);
            format!(
                "certified: {who} place for it, height {height}; the certificate of epoch {verified}, which covers \
                 it, was verified here"
            )
        }
        PaymentState::Refused(refusal) => format!("refused: {refusal}"),
    }
}

/// What became of a payment.
pub(crate) fn answer(desk: &Desk<'_>, id: PaymentId, payment: Option<&SignedPayment>, state: &PaymentState) -> Answer {
    let mut json = json!({ "id": id.to_string(), "state": state.code() });
    let mut words = format!("payment {id}\n{}", desk.explained(state));
    if let PaymentState::Final { height, header } | PaymentState::Certified { height, header, .. } = state {
        json["height"] = height.0.into();
        json["header"] = header.to_string().into();
    }
    if let PaymentState::Certified { epoch, .. } = state {
        json["epoch"] = epoch.0.into();
    }
    if let Some(SignedPayment { payment, .. }) = payment {
        let (payee, money) = (Address(payment.payee), |amount| report::money(amount, Some(&desk.genesis)));
        words.push_str(&format!("\n{} to {payee}, fee {}", money(payment.amount), money(payment.fee)));
        json["payer"] = Address(payment.payer()).to_string().into();
        json["payee"] = payee.to_string().into();
        json["amount"] = payment.amount.to_string().into();
        json["fee"] = payment.fee.to_string().into();
        json["sequence"] = payment.sequence.into();
        json["expires"] = payment.expires.0.into();
    }
    if desk.servers.is_one_servers_word() {
        json["word_of"] = "one server".into();
    }
    Answer::new(words, json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::payment;

    fn wanted(sequence: u64, amount: u64) -> Payment {
        Payment { expires: Epoch(75), ..payment(sequence, amount).1.payment }
    }

    #[test]
    fn only_a_payment_that_was_not_seen_to_arrive_is_taken_again() {
        let made = [payment(3, 10)];
        let again = |sequence, amount, newest| unsent(&made, &wanted(sequence, amount), Epoch(newest), |_| false);
        assert_eq!(again(3, 10, 15), made);
        assert_eq!(again(4, 10, 15), made, "it may have arrived without an answer");
        assert_eq!(again(2, 10, 15), [], "another number");
        assert_eq!(again(3, 11, 15), [], "another amount");
        assert_eq!(again(3, 10, 70), [], "expired");
        assert_eq!(unsent(&made, &wanted(3, 10), Epoch(15), |_| true), [], "a server took it: this is a second one");
    }

    #[test]
    fn a_new_payment_comes_after_those_that_a_server_took() {
        let made = [payment(3, 10), payment(4, 10), payment(6, 10)];
        let count = |sequence, is_sent: bool| waiting(&made, &wanted(sequence, 10), Epoch(15), |_| is_sent).len();
        assert_eq!(count(3, true), 2, "5 was never made");
        assert_eq!(count(5, true), 0);
        assert_eq!(count(3, false), 0);
    }

    #[test]
    fn only_the_size_of_an_amount_waits_for_the_decimals() {
        let early = |text| Amount::parse(text, 8).or_else(too_large_for_now);
        assert!(early("184467440737095516.15").is_ok());
        for bad in ["0", "-1", "1.123456789", "ten", "1.", ""] {
            assert!(early(bad).is_err(), "{bad}");
        }
    }
}
