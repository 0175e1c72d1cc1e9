//! Trust files: all a client needs to know.
use std::collections::BTreeMap;
use std::str::FromStr;

use crate::{CommunityId, Rule, ServerKey, ServerSet, ServerSetError};

/// Longest trust file that is read.
const TRUST_FILE_BYTES_MAX: usize = 64 << 10;

/// How to enter the DHT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Bootstrap {
    /// Not at all: nothing is contacted.
    #[default]
    None,
    /// The public hosts of the Mainline DHT.
    Public,
    /// These hosts, `host:port`.
    Hosts(Vec<String>),
}

/// The contents of `keys/<community>.keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFile {
    /// The servers that are trusted.
    pub servers: ServerSet,
    /// The rule to apply; `majority` if the file names none.
    pub quorum: Rule,
    /// The community, if the file names it.
    pub community: Option<CommunityId>,
    /// How to enter the DHT.
    pub bootstrap: Bootstrap,
    /// HTTP APIs that may be asked.
    pub apis: Vec<String>,
}

/// A trust file that cannot be read: which line and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// One line is wrong.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The file as a whole is wrong.
    #[error("{0}")]
    Whole(String),
}

#[derive(Default)]
struct Draft {
    keys: BTreeMap<ServerKey, usize>,
    powers: BTreeMap<ServerKey, (u64, usize)>,
    quorum: Option<Rule>,
    community: Option<CommunityId>,
    bootstrap: Bootstrap,
    apis: Vec<String>,
}

impl FromStr for TrustFile {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > TRUST_FILE_BYTES_MAX {
            return Err(TrustError::Whole(format!("a trust file has at most {TRUST_FILE_BYTES_MAX} bytes")));
        }
        let mut draft = Draft::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                draft.take(line, number + 1).map_err(|why| TrustError::Line { line: number + 1, why })?;
            }
        }
        draft.finish()
    }
}

impl Draft {
    fn take(&mut self, line: &str, number: usize) -> Result<(), String> {
        let Some((key, value)) = line.split_once('=') else { return self.take_key(line, number) };
        let value = value.trim();
        match key.trim() {
            "power" => self.take_power(value, number),
            "community" => once(&mut self.community, parse(value)?, "community"),
            "quorum" => once(&mut self.quorum, value.parse()?, "quorum"),
            "bootstrap" => self.take_bootstrap(value),
            "api" if value.starts_with("http://") || value.starts_with("https://") => {
                self.apis.push(value.to_owned());
                Ok(())
            }
            "api" => Err(format!("api is {value:?}; it must begin with http:// or https://")),
            other => Err(format!(
                "{other:?} is not known; a line is a server's key, or power, community, quorum, bootstrap or api = ..."
            )),
        }
    }

    fn take_key(&mut self, line: &str, number: usize) -> Result<(), String> {
        let key: ServerKey = parse(line)?;
        if !key.is_valid() {
            return Err(ServerSetError::BadKey(key).to_string());
        }
        match self.keys.insert(key, number) {
            Some(before) => Err(format!("server {key} is on line {before} already")),
            None => Ok(()),
        }
    }

    fn take_power(&mut self, value: &str, number: usize) -> Result<(), String> {
        let (key, power) = value.split_once(char::is_whitespace).ok_or("power needs a server's key and a number")?;
        let (key, power) = (parse(key)?, power.trim());
        let power = power.parse().map_err(|error| format!("power {power:?}: {error}"))?;
        if power == 0 {
            return Err(ServerSetError::NoPower(key).to_string());
        }
        match self.powers.insert(key, (power, number)) {
            Some((_, before)) => Err(format!("the power of server {key} is on line {before} already")),
            None => Ok(()),
        }
    }

    fn take_bootstrap(&mut self, value: &str) -> Result<(), String> {
        self.bootstrap = match (std::mem::take(&mut self.bootstrap), value) {
            (Bootstrap::None | Bootstrap::Public, "public") => Bootstrap::Public,
            (Bootstrap::Hosts(_), "public") | (Bootstrap::Public, _) => {
                return Err("bootstrap is either `public` or hosts, not both".to_owned());
            }
            (before, host) => {
                if !is_host_and_port(host) {
                    return Err(format!("bootstrap is {host:?}; it must be host:port or `public`"));
                }
                let mut hosts = if let Bootstrap::Hosts(hosts) = before { hosts } else { Vec::new() };
                hosts.push(host.to_owned());
                Bootstrap::Hosts(hosts)
            }
        };
        Ok(())
    }

    fn finish(mut self) -> Result<TrustFile, TrustError> {
        if self.keys.is_empty() {
            let why = "it names no server: at least one line of 64 hex digits, a server's public key, is needed";
            return Err(TrustError::Whole(why.to_owned()));
        }
        let mut members = Vec::new();
        for key in self.keys.keys() {
            members.push((*key, self.powers.remove(key).map_or(1, |(power, _)| power)));
        }
        if let Some((key, (_, line))) = self.powers.into_iter().next() {
            return Err(TrustError::Line { line, why: format!("{key} has a power but no line of its own") });
        }
        Ok(TrustFile {
            servers: ServerSet::new(members).map_err(|error| TrustError::Whole(error.to_string()))?,
            quorum: self.quorum.unwrap_or(Rule::Majority),
            community: self.community,
            bootstrap: self.bootstrap,
            apis: self.apis,
        })
    }
}

fn parse<T: FromStr<Err = crate::HexError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: crate::HexError| error.to_string())
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    match place.replace(value) {
        Some(_) => Err(format!("{what} is named twice")),
        None => Ok(()),
    }
}

/// The file as this program writes it; reading it gives the same back.
impl std::fmt::Display for TrustFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "# Servers that are trusted together, one public key a line.")?;
        for (key, power) in self.servers.members() {
            writeln!(f, "{key}")?;
            if *power != 1 {
                writeln!(f, "power = {key} {power}")?;
            }
        }
        if let Some(community) = self.community {
            writeln!(f, "community = {community}")?;
        }
        writeln!(f, "quorum = {}", self.quorum)?;
        match &self.bootstrap {
            Bootstrap::None => {}
            Bootstrap::Public => writeln!(f, "bootstrap = public")?,
            Bootstrap::Hosts(hosts) => hosts.iter().try_for_each(|host| writeln!(f, "bootstrap = {host}"))?,
        }
        self.apis.iter().try_for_each(|api| writeln!(f, "api = {api}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerSecret;

    fn key(byte: u8) -> ServerKey {
        ServerSecret::from_bytes(&[byte; 32]).public()
    }

    #[test]
    fn nothing_but_keys_is_a_trust_file() {
        let file: TrustFile = format!("{}\n\n{}\n", key(1), key(2)).parse().expect("two keys");
        assert_eq!((file.servers.count(), file.quorum), (2, Rule::Majority));
        assert_eq!(file.bootstrap, Bootstrap::None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = TrustFile {
            servers: ServerSet::new([(key(1), 1), (key(2), 5)]).expect("a set"),
            quorum: Rule::TwoThirds,
            community: Some(CommunityId([7; 32])),
            bootstrap: Bootstrap::Hosts(vec!["127.0.0.1:6881".into(), "[::1]:6881".into()]),
            apis: vec!["http://127.0.0.1:6883".into()],
        };
        assert_eq!(file.to_string().parse(), Ok(file));
    }

    #[test]
    fn errors_name_the_line() {
        let good = key(1).to_string();
        for (text, line) in [
            (format!("{good}\n{good}"), 2),
            (format!("{good}\nabc"), 2),
            (format!("{good}\n{}", "02".repeat(32)), 2),
            (format!("{good}\npower = {good} 0"), 2),
            (format!("{good}\npower = {good} many"), 2),
            (format!("{good}\nbootstrap = host:0"), 2),
            (format!("{good}\nquorum = half"), 2),
            (format!("{good}\nbootstrap = nowhere"), 2),
            (format!("{good}\nbootstrap = public\nbootstrap = a:1"), 3),
            (format!("{good}\n\ncolour = red"), 3),
            (format!("{good}\npower = {} 4", key(2)), 2),
            (format!("{good}\napi = ftp://x"), 2),
        ] {
            match text.parse::<TrustFile>() {
                Err(TrustError::Line { line: at, .. }) => assert_eq!(at, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!("# nothing".parse::<TrustFile>(), Err(TrustError::Whole(_))));
    }
}
