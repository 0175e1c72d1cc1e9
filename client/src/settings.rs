//! Checked settings: where the home is, which community is meant, from which address sockets are bound.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use seedbank_types::{Bootstrap, CommunityId, TrustFile};

use crate::cli::Common;
use crate::errors::Failure;
use crate::home::{CommunityHome, Home};
use crate::report::Voice;

/// Longest trust file that is read.
const TRUST_FILE_BYTES_MAX: u64 = 64 << 10;

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) home: Home,
    pub(crate) wallet: PathBuf,
    pub(crate) passphrase_file: Option<PathBuf>,
    pub(crate) voice: Voice,
    trust: Option<PathBuf>,
    ip: Option<IpAddr>,
    api: Option<String>,
}

/// The trust file that applies.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    pub(crate) file: TrustFile,
    pub(crate) text: String,
    /// By the file, or by an earlier sync with the same servers.
    pub(crate) community: Option<CommunityId>,
    /// Local address for all sockets.
    pub(crate) ip: IpAddr,
    /// A server to be asked by HTTP instead of the mesh.
    pub(crate) api: Option<String>,
}

impl Settings {
    pub(crate) fn new(common: Common) -> Result<Self, Failure> {
        let root = match common.home {
            Some(root) => root,
            None => default_home()?,
        };
        if let Some(api) = &common.api
            && !api.starts_with("http://")
        {
            let message = format!("--api is {api:?}; it must begin with http://");
            return Err(Failure::usage(message, "Give the server's address like http://127.0.0.1:6883."));
        }
        Ok(Self {
            wallet: common.wallet.unwrap_or_else(|| root.join("wallet")),
            home: Home::new(root),
            passphrase_file: common.passphrase_file,
            voice: Voice::new(common.json),
            trust: common.trust,
            ip: common.ip,
            api: common.api,
        })
    }

    /// The trust file of the command line, else that of the community synced last.
    pub(crate) fn trusted(&self) -> Result<Trusted, Failure> {
        self.trusted_if_any()?.ok_or_else(|| {
            let next = "Run `seedbank sync --trust FILE` with the community's trust file first.";
            Failure::usage("no community is known yet", next)
        })
    }

    /// The same for commands that can do without.
    pub(crate) fn trusted_if_any(&self) -> Result<Option<Trusted>, Failure> {
        if let Some(path) = &self.trust {
            let (file, text) = read_trust(path)?;
            let community = match file.community {
                Some(community) => Some(community),
                None => self.home.community_of(&file)?,
            };
            return Ok(Some(self.trust_with(file, text, community)));
        }
        let kept = match self.home.current()? {
            Some(community) => self.home.community(community).trust()?.map(|kept| (community, kept)),
            None => None,
        };
        Ok(kept.map(|(community, (file, text))| self.trust_with(file, text, Some(community))))
    }

    /// Whether the command line names a trust file.
    pub(crate) const fn names_trust(&self) -> bool {
        self.trust.is_some()
    }

    /// The local address of the command line.
    pub(crate) const fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    fn trust_with(&self, file: TrustFile, text: String, community: Option<CommunityId>) -> Trusted {
        let ip = self.ip.unwrap_or_else(|| default_ip(&file.bootstrap));
        Trusted { file, text, community, ip, api: self.api.clone() }
    }

    /// The place of the community that is meant, if it is known which.
    pub(crate) fn community_home(&self, trusted: &Trusted) -> Option<CommunityHome> {
        trusted.community.map(|community| self.home.community(community))
    }
}

fn default_home() -> Result<PathBuf, Failure> {
    match std::env::home_dir() {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(".seedbank")),
        _ => Err(Failure::usage("there is no home directory", "Say where to keep things: --home DIR.")),
    }
}

/// Reads a trust file that the person named; an error names the line.
pub(crate) fn read_trust(path: &Path) -> Result<(TrustFile, String), Failure> {
    let wrong = |why: String| {
        let message = format!("the trust file {} cannot be used: {why}", path.display());
        Failure::usage(message, "Correct it, or ask the people who run the servers for theirs.")
    };
    let bytes = match crate::disk::read(path, TRUST_FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(wrong("there is no such file".to_owned())),
        Err(failure) => return Err(wrong(failure.message)),
    };
    let text = String::from_utf8(bytes).map_err(|error| wrong(format!("it is not text: {error}")))?;
    let file = text.parse().map_err(|error: seedbank_types::TrustError| wrong(error.to_string()))?;
    Ok((file, text))
}

/// A client whose whole DHT is on this machine stays there.
pub(crate) fn default_ip(bootstrap: &Bootstrap) -> IpAddr {
    let is_local = |host: &String| match host.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => host.starts_with("localhost:"),
    };
    match bootstrap {
        Bootstrap::Hosts(hosts) if !hosts.iter().all(is_local) => Ipv4Addr::UNSPECIFIED.into(),
        Bootstrap::Public => Ipv4Addr::UNSPECIFIED.into(),
        Bootstrap::Hosts(_) | Bootstrap::None => Ipv4Addr::LOCALHOST.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dht_on_loopback_keeps_the_client_there() {
        let hosts = |hosts: &[&str]| Bootstrap::Hosts(hosts.iter().map(|host| (*host).to_owned()).collect());
        assert!(default_ip(&Bootstrap::None).is_loopback());
        assert!(default_ip(&hosts(&["127.1.0.2:6881", "localhost:7"])).is_loopback());
        assert!(default_ip(&hosts(&["127.1.0.2:6881", "192.0.2.1:6881"])).is_unspecified());
        assert!(default_ip(&hosts(&["dht.example:6881"])).is_unspecified());
        assert!(default_ip(&Bootstrap::Public).is_unspecified());
    }

    #[test]
    fn a_bad_trust_file_is_wrong_use_and_names_the_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bad.keys");
        std::fs::write(&path, "# servers\nnot a key\n").expect("writable");
        let failure = read_trust(&path).expect_err("line 2 is no key");
        assert_eq!(failure.exit, crate::errors::Exit::Usage);
        assert!(failure.message.contains("line 2"), "{}", failure.message);
        assert!(read_trust(&directory.path().join("none")).is_err());
    }
}
