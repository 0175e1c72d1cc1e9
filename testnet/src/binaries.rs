//! Where the programs of this workspace are.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Names the directory of the programs, if they are not beside the one that runs.
pub const BINARIES_VARIABLE: &str = "SEEDBANK_BIN_DIR";

/// The programs that a testnet is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// A server.
    pub seedbankd: PathBuf,
    /// A light client or a seeder.
    pub seedbank: PathBuf,
    /// This program.
    pub testnet: PathBuf,
}

impl Binaries {
    /// Finds the programs in `SEEDBANK_BIN_DIR`, else beside the running program, or one directory
    /// up, where Cargo puts them for its tests.
    pub fn find() -> Result<Self> {
        if let Some(named) = std::env::var_os(BINARIES_VARIABLE) {
            return Self::in_directory(Path::new(&named))
                .with_context(|| format!("{BINARIES_VARIABLE} names {named:?}"));
        }
        let own = std::env::current_exe().context("the path of the running program is not known")?;
        let beside = own.parent().context("a program lies in a directory")?;
        Self::in_directory(beside).or_else(|error| match beside.parent() {
            Some(above) => Self::in_directory(above).map_err(|_not_there_either| error),
            None => Err(error),
        })
    }

    fn in_directory(directory: &Path) -> Result<Self> {
        let find = |name: &str| {
            let path = directory.join(name);
            if path.is_file() {
                return Ok(path);
            }
            bail!(
                "there is no {name} in {}: build all programs first, with `cargo build --workspace`",
                directory.display()
            )
        };
        Ok(Self { seedbankd: find("seedbankd")?, seedbank: find("seedbank")?, testnet: find("seedbank-testnet")? })
    }
}
