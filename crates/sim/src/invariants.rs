//! What must hold whatever happens, one file each. A broken one panics and says what it saw.
pub mod final_stays;
pub mod no_fork;
pub mod one_checkpoint;
pub mod one_signature;
pub mod supply;
