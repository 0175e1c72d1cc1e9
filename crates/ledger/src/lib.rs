//! Seedbank.
