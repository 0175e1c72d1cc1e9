//! `seedbank payment ID`: how far a payment has come; it is sent again if nobody knows it.
use seedbank_types::{Epoch, Payment, PaymentId, PaymentState};

use crate::cli::PaymentFlags;
use crate::errors::{Exit, Failure};
use crate::pay::{Desk, answer};
use crate::report::Answer;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, flags: &PaymentFlags) -> Result<Answer, Failure> {
    let id: PaymentId = flags.id.parse().map_err(|error: seedbank_types::HexError| {
        Failure::usage(error, "Take the id as `seedbank pay` printed it.")
    })?;
    let mut desk = Desk::open(settings).await?;
    let kept = desk.known.home.payment(id)?;
    let refused = desk.known.home.refused_payment(id)?;
    let word = desk.state(id).await?;
    let mut state = word.state;
    if let Some(payment) = &kept {
        if state == PaymentState::Unknown && payment.payment.expires < desk.epoch()? {
            return Err(expired(&desk, id, &payment.payment, word.is_quorums));
        }
        let is_lost = state == PaymentState::Unknown || matches!(state, PaymentState::Refused(why) if why.is_passing());
        if is_lost || flags.retry {
            state = desk.submit(payment).await?;
        } else if !matches!(state, PaymentState::Refused(_)) {
            desk.known.home.set_sent(id)?;
        }
    }
    if let Some(payment) = refused.as_ref().filter(|_| state == PaymentState::Unknown) {
        if !flags.retry {
            let next = format!("Pay again, or send the same payment again: `seedbank payment {id} --retry`.");
            return Err(Failure::new(
                Exit::Refused,
                "the payment was refused when it was sent: nothing was moved",
                next,
            ));
        }
        state = desk.submit(payment).await?;
    }
    if state == PaymentState::Unknown {
        let message = format!("no server that answered knows payment {id}, and it was not made from here");
        return Err(Failure::new(Exit::NotFound, message, "Check the id, and that the community is the right one."));
    }
    if let PaymentState::Refused(refusal) = state {
        return Err(desk.refused(refusal));
    }
    if flags.wait {
        state = desk.wait(id, state).await?;
    }
    Ok(answer(&desk, id, kept.or(refused).as_ref(), &state))
}

/// An expired payment that nobody who answered knows. That it never will be ordered must be proven: by verified
/// balances of a later epoch, else by the word of a quorum in one.
fn expired(desk: &Desk<'_>, id: PaymentId, payment: &Payment, is_quorums: bool) -> Failure {
    if was_never_ordered(payment, desk.verified_sequence(payment.payer()), is_quorums) {
        let message = format!("payment {id} was never ordered and has expired: nothing was moved");
        return Failure::new(Exit::NotFound, message, "Pay again.");
    }
    let message = format!("payment {id} is not known here and has expired; it may have been made all the same");
    let next = "Do not pay again yet. Run `seedbank sync`, and ask again when more servers can be reached.";
    Failure { code: "unknown".into(), ..Failure::new(Exit::NoPeers, message, next) }
}

/// `verified` is the epoch of the verified balances and the payer's sequence at its end.
fn was_never_ordered(payment: &Payment, verified: Option<(Epoch, u64)>, is_quorums: bool) -> bool {
    match verified {
        Some((epoch, sequence)) if epoch > payment.expires => sequence <= payment.sequence,
        _ => is_quorums,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn never_ordered_needs_a_proof() {
        let payment = samples::payment(3, 10).1.payment;
        let after = |sequence| Some((Epoch(payment.expires.0 + 1), sequence));
        assert!(was_never_ordered(&payment, after(3), false), "its number is still to come");
        assert!(!was_never_ordered(&payment, after(4), true), "its number was used, and maybe by it");
        assert!(!was_never_ordered(&payment, Some((payment.expires, 3)), false), "it may be ordered yet");
        assert!(!was_never_ordered(&payment, None, false), "one server's word");
        assert!(was_never_ordered(&payment, None, true));
    }
}
