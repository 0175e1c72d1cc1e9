//! `seedbank payment ID`: how far a payment has come; it is sent again if nobody knows it.
use seedbank_types::{PaymentId, PaymentState};

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
    let mut state = desk.state(id).await?;
    if let Some(payment) = &kept {
        let is_over = payment.payment.expires <= desk.epoch()?;
        if state == PaymentState::Unknown && is_over {
            let message = format!("payment {id} was never ordered and has expired: nothing was moved");
            return Err(Failure::new(Exit::NotFound, message, "Pay again."));
        }
        let is_lost = state == PaymentState::Unknown || matches!(state, PaymentState::Refused(why) if why.is_passing());
        if is_lost || flags.retry {
            state = desk.submit(payment).await?;
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
        return Err(Failure::refused(refusal));
    }
    if flags.wait {
        state = desk.wait(id, state).await?;
    }
    Ok(answer(&desk, id, kept.or(refused).as_ref(), &state))
}
