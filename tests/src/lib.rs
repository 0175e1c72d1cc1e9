//! Seedbank end to end tests.
