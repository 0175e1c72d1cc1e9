//! The directory of a testnet.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A named directory, or a temporary one.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    temporary: bool,
}

impl Home {
    /// Makes the directory; a named one must be empty, for a testnet founds its community anew.
    pub(crate) fn open(named: Option<&Path>) -> Result<Self> {
        let Some(named) = named else {
            // What went wrong is in the logs, so only a stop in order takes them away.
            let path = tempfile::Builder::new().prefix("seedbank-testnet-").tempdir()?.keep();
            return Ok(Self { path: path.canonicalize()?, temporary: true });
        };
        std::fs::create_dir_all(named).with_context(|| format!("{} cannot be made", named.display()))?;
        let path = named.canonicalize()?;
        let empty = std::fs::read_dir(&path)?.next().is_none();
        ensure!(empty, "{} is not empty: name an empty directory, or none for a temporary one", path.display());
        Ok(Self { path, temporary: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn remove_if_temporary(&self) -> Result<()> {
        if !self.temporary {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.path).with_context(|| format!("{} stays behind", self.path.display()))
    }
}
