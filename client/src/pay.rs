//! `seedbank pay`: a payment is signed, put on disk, and only then sent.
use std::time::Duration;

use seedbank_types::{
    AccountSecret, Address, Amount, AmountError, Epoch, Genesis, Height, MEMO_BYTES_MAX, Payment, PaymentId,
    PaymentState, SignedPayment,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::balance::parse_address;
use crate::cli::PayFlags;
use crate::discovery::Failed;
use crate::errors::{Exit, Failure};
use crate::network::Network;
use crate::report::{self, Answer};
use crate::servers::Servers;
use crate::settings::Settings;
use crate::sync::{Known, discover, store_conflict};
use crate::wallet_commands;

/// A payment may be ordered for so many epochs after the newest certified one.
const EXPIRES_AFTER_EPOCHS: u64 = 60;
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

    /// Sends a payment; a refusal is a failure, and one for good is remembered.
    pub(crate) async fn submit(&self, payment: &SignedPayment) -> Result<PaymentState, Failure> {
        let id = payment.payment.id(&self.genesis.community());
        let submitted = self.servers.submit(payment, self.certified()).await.and_then(accepted);
        submitted.or_else(|failure| {
            if failure.is_refused_for_good() {
                self.known.home.set_refused(id)?;
                return Err(failure);
            }
            // It is on disk: one command sends the same bytes again.
            let next = format!("{} Send this payment again: `seedbank payment {id}`.", failure.next);
            Err(Failure { next, ..failure })
        })
    }

    /// Asks once how far a payment has come, with the newest certificates verified.
    pub(crate) async fn state(&mut self, id: PaymentId) -> Result<PaymentState, Failure> {
        let state = self.servers.payment(id, self.certified()).await?;
        let PaymentState::Final { height, .. } = state else { return Ok(state) };
        if self.certified().is_some_and(|certified| certified >= height) {
            return Ok(state);
        }
        self.renew().await?;
        self.servers.payment(id, self.certified()).await
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
        self.known.home.store_newest(&self.known.newest()?.0)
    }

    fn tell(&self, state: &PaymentState, after: Duration) {
        let words = explained(state, self.servers.is_one_servers_word());
        self.settings.voice.say(&format!("{:>6.1} s  {words}", after.as_secs_f64()));
    }

    /// Waits until a payment is certified; final and not certified in time is still a good end.
    pub(crate) async fn wait(&mut self, id: PaymentId, mut state: PaymentState) -> Result<PaymentState, Failure> {
        let started = Instant::now();
        let certified_within = FINAL_WITHIN + CERTIFIED_WITHIN + 2 * Duration::from_millis(self.genesis.epoch_ms);
        loop {
            match state {
                PaymentState::Certified { .. } => return Ok(state),
                PaymentState::Refused(refusal) if !refusal.is_passing() => return Err(Failure::refused(refusal)),
                PaymentState::Final { .. } if started.elapsed() > certified_within => return Ok(state),
                PaymentState::Final { .. } => {}
                _ if started.elapsed() > FINAL_WITHIN => return Err(not_final(id, state)),
                _ => {}
            }
            sleep(POLL).await;
            let before = std::mem::replace(&mut state, self.state(id).await?);
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
    let payment = prepare(&desk, flags, &secret, payee).await?;
    let id = payment.payment.id(&desk.genesis.community());
    let state = desk.submit(&payment).await?;
    desk.tell(&PaymentState::Sent, Duration::ZERO);
    let state = if flags.wait { desk.wait(id, state).await? } else { state };
    Ok(answer(&desk, id, Some(&payment), &state))
}

/// Whether 64 bits are enough depends on the community's decimals.
fn too_large_for_now(error: AmountError) -> Result<Amount, AmountError> {
    if matches!(error, AmountError::TooLarge(_)) { Ok(Amount::ZERO) } else { Err(error) }
}

fn bad_amount(error: &AmountError) -> Failure {
    Failure::usage(error, "Write the amount like 12.50.")
}

/// The payment to send: signed and on disk. One that was made before and never reached a server is taken again.
async fn prepare(
    desk: &Desk<'_>,
    flags: &PayFlags,
    secret: &AccountSecret,
    payee: Address,
) -> Result<SignedPayment, Failure> {
    let genesis = &desk.genesis;
    let amount = Amount::parse(&flags.amount, genesis.decimals).map_err(|error| bad_amount(&error))?;
    let fee = match &flags.fee {
        Some(fee) => Amount::parse_or_zero(fee, genesis.decimals).map_err(|error| bad_amount(&error))?,
        None => genesis.minimum_fee,
    };
    let payment = Payment {
        payer_key: secret.public().to_bytes(),
        payee: payee.0,
        amount,
        fee,
        sequence: desk.servers.next_sequence(secret.public().id()).await?,
        expires: Epoch(desk.epoch()?.0.saturating_add(EXPIRES_AFTER_EPOCHS)),
        memo: flags.memo.clone().into_bytes(),
    };
    let made = desk.known.home.payments()?;
    if let Some((id, earlier)) = unsent(&made, &payment, desk.epoch()?) {
        desk.settings
            .voice
            .aside(&format!("payment {id} was made before and never arrived: it is sent again, the same bytes"));
        return Ok(earlier.clone());
    }
    let community = genesis.community();
    let signed = payment.sign(&community, secret);
    desk.known.home.store_payment(signed.payment.id(&community), &signed)?;
    Ok(signed)
}

/// The same payment made before under the same number: as the servers still expect that number, it never
/// reached them, and its bytes can be sent again. Of two payments under one number only one can ever be ordered.
fn unsent<'a>(
    made: &'a [(PaymentId, SignedPayment)],
    wanted: &Payment,
    newest: Epoch,
) -> Option<&'a (PaymentId, SignedPayment)> {
    made.iter().find(|(_, made)| {
        let made = &made.payment;
        made.expires > newest && Payment { expires: wanted.expires, ..made.clone() } == *wanted
    })
}

/// A refusal for good, or one that nobody overruled, ends the command.
fn accepted(state: PaymentState) -> Result<PaymentState, Failure> {
    match state {
        PaymentState::Refused(refusal) => Err(Failure::refused(refusal)),
        state => Ok(state),
    }
}

fn not_final(id: PaymentId, state: PaymentState) -> Failure {
    let message =
        format!("the payment is not final after {} s; the servers say: {}", FINAL_WITHIN.as_secs(), state.code());
    let next =
        format!("It may still become final. Ask with `seedbank payment {id}`; never pay a second time before that.");
    Failure { code: "not_final".into(), ..Failure::new(Exit::Unexpected, message, next) }
}

/// A state for people.
fn explained(state: &PaymentState, is_one_servers_word: bool) -> String {
    let who =
        if is_one_servers_word { "the one server that was asked names a" } else { "servers of a quorum name the same" };
    match state {
        PaymentState::Unknown => "unknown: no server that answered has heard of it".to_owned(),
        PaymentState::Sent => "sent: the servers have it, it is not ordered yet".to_owned(),
        PaymentState::Final { height, .. } => format!("final: {who} place for it, height {height}"),
        PaymentState::Certified { height, epoch, .. } => {
            format!(
                "certified: {who} place for it, height {height}; the certificate of epoch {epoch} was verified here"
            )
        }
        PaymentState::Refused(refusal) => format!("refused: {refusal}"),
    }
}

/// What became of a payment.
pub(crate) fn answer(desk: &Desk<'_>, id: PaymentId, payment: Option<&SignedPayment>, state: &PaymentState) -> Answer {
    let mut json = json!({ "id": id.to_string(), "state": state.code() });
    let mut words = format!("payment {id}\n{}", explained(state, desk.servers.is_one_servers_word()));
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

    #[test]
    fn the_same_payment_under_the_same_number_is_sent_again_and_no_other() {
        let made = [payment(3, 10)];
        let wanted = |sequence, amount| Payment { expires: Epoch(75), ..payment(sequence, amount).1.payment };
        assert_eq!(unsent(&made, &wanted(3, 10), Epoch(15)), Some(&made[0]));
        assert_eq!(unsent(&made, &wanted(4, 10), Epoch(15)), None, "the first one has arrived");
        assert_eq!(unsent(&made, &wanted(3, 11), Epoch(15)), None, "another amount");
        assert_eq!(unsent(&made, &wanted(3, 10), Epoch(70)), None, "expired");
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
