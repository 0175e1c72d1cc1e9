//! The rules of the quorum, one test each, on one real server whose peers are played by hand.
mod agreement;
mod changing;
mod closing;
mod guarding;
mod harness;
mod headers;
mod hostile;
mod mempool;
