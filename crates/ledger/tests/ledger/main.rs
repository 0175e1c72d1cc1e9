//! Every rule of the ledger, and long random runs against a model.
mod common;
mod orders;
mod payments;
mod random;
mod state;
