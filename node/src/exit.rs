//! Why the program ends, and the exit code that says so.
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;

/// What the exit codes mean; shown by `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  stopped in order
  1  unexpected failure
  2  wrong flags, configuration, genesis, key or accounts file
  3  the home directory or the key is in use by another process
  4  the key has spoken elsewhere: it was used before, so this server must not start from genesis,
     or it is in use elsewhere now
  5  the server stopped itself: its key is used elsewhere, or its database is damaged
     (then `seedbankd resync` sets it aside and begins a new one)
  9  disk: something could not be read or written";

/// A reason to end that is no success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something that should not happen.
    #[error("{0:#}")]
    Unexpected(anyhow::Error),
    /// The person must change something.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Somebody else works with the same files.
    #[error("{0}")]
    InUse(String),
    /// Starting would endanger the key.
    #[error("{0}")]
    MayHaveSpoken(String),
    /// The quorum's rules stop this server.
    #[error("{0}")]
    Halted(String),
    /// Files.
    #[error("{0:#}")]
    Disk(anyhow::Error),
}

impl Failure {
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    pub(crate) fn disk(error: impl Into<anyhow::Error>) -> Self {
        Self::Disk(error.into())
    }

    pub(crate) fn unexpected(error: impl Into<anyhow::Error>) -> Self {
        Self::Unexpected(error.into())
    }

    /// A file that cannot be read; of a missing one, what to do about it.
    pub(crate) fn unreadable(what: &str, path: &Path, error: &io::Error, if_missing: &str) -> Self {
        let path = path.display();
        Self::Usage(match error.kind() {
            io::ErrorKind::NotFound => anyhow!("{what} {path} is not there: {if_missing}"),
            _ => anyhow!("{what} {path}: {error}"),
        })
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Unexpected(_) => 1,
            Self::Usage(_) => 2,
            Self::InUse(_) => 3,
            Self::MayHaveSpoken(_) => 4,
            Self::Halted(_) => 5,
            Self::Disk(_) => 9,
        }
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("seedbankd: {self}");
        ExitCode::from(self.code())
    }
}

impl From<seedbank_store::StoreError> for Failure {
    fn from(error: seedbank_store::StoreError) -> Self {
        use seedbank_store::StoreError;
        match error {
            StoreError::Locked(_) => Self::InUse(error.to_string()),
            StoreError::NotTheGenesis(_) | StoreError::Exists(_) | StoreError::Missing(_) => Self::usage(error),
            StoreError::SupplyBroken { .. } | StoreError::Damaged(_) | StoreError::OtherCertificate(_) => {
                Self::Halted(error.to_string())
            }
            _ => Self::disk(error),
        }
    }
}
