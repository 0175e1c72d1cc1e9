//! Making the stamp that servers may ask for.
use std::time::{Duration, Instant};

use seedbank_types::{PaymentId, STAMP_BITS_MAX, Stamp};

use crate::errors::{Exit, Failure};
use crate::report::Voice;

/// Numbers tried between two looks at the clock.
const TRIES: u64 = 1 << 18;
/// How often the person hears that it goes on.
const PROGRESS: Duration = Duration::from_secs(5);

/// Looks for a stamp with so many zero bits, and says how that goes.
pub(crate) async fn stamp(id: PaymentId, bits: u64, voice: Voice) -> Result<Stamp, Failure> {
    let Some(bits) = u8::try_from(bits).ok().filter(|bits| *bits <= STAMP_BITS_MAX) else {
        let message = format!("the servers ask for a stamp of {bits} bits, more than anybody can make");
        return Err(Failure::new(Exit::Refused, message, "Tell the operators; nothing was moved."));
    };
    voice.say(&format!("the servers are asked for much: making the stamp of {bits} bits that they want"));
    let (started, mut said, mut from) = (Instant::now(), Instant::now(), 0_u64);
    loop {
        let part = tokio::task::spawn_blocking(move || Stamp::search(&id, bits, from, TRIES)).await;
        if let Some(stamp) = part.map_err(Failure::unexpected)? {
            voice.say(&format!("stamp found after {:.1} s", started.elapsed().as_secs_f64()));
            return Ok(stamp);
        }
        from = from.saturating_add(TRIES);
        if said.elapsed() > PROGRESS {
            said = Instant::now();
            let expected = (1_u64 << bits) / 1_000_000;
            voice.say(&format!("{} million numbers tried, about {expected} million are usual", from / 1_000_000));
        }
    }
}
