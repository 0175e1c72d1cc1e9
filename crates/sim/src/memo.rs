//! Checking each signature only once, for speed: many servers check the same ones.

/// Whether this build can do that.
pub const CAN_MEMOISE: bool = cfg!(feature = "memoise");

/// From now on this thread remembers which signatures it has checked, or forgets them.
#[cfg(feature = "memoise")]
pub fn memoise_signatures(on: bool) {
    seedbank_types::memoise_signatures(on);
}

/// From now on this thread remembers which signatures it has checked, or forgets them.
#[cfg(not(feature = "memoise"))]
pub fn memoise_signatures(_never: bool) {}
