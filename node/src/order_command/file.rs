//! Orders in files: the exact bytes, and beside them what they say, for people.
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use seedbank_types::{CommunityId, NumberedSignature, Order, Rule, ServerKey, ServerSet, Signature, SignedOrder};
use serde::{Deserialize, Serialize};

use super::shown;
use crate::exit::Failure;
use crate::home::write_whole;

/// Longest order file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// An order with the servers that may sign it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderFile {
    pub(super) community: CommunityId,
    pub(super) name: String,
    pub(super) symbol: String,
    pub(super) decimals: u8,
    pub(super) quorum: Rule,
    /// The servers in force, which sign.
    pub(super) servers: ServerSet,
    pub(super) order: Order,
    /// Numbers ascending.
    pub(super) signatures: Vec<NumberedSignature>,
}

/// As it is written. What it does is told in words, which must be those of the bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    what: Vec<String>,
    community: String,
    name: String,
    symbol: String,
    decimals: u8,
    quorum: String,
    servers: Vec<WrittenServer>,
    order: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenServer {
    key: String,
    power: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    server: String,
    signature: String,
}

impl OrderFile {
    /// Reads a file. Signatures that do not fit, and words that are not those of the bytes, are errors.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let missing = "make one with `seedbankd order propose`";
        let length = std::fs::metadata(path).map(|metadata| metadata.len());
        let length = length.map_err(|error| Failure::unreadable("order file", path, &error, missing))?;
        if length > FILE_BYTES_MAX {
            return Err(Failure::usage(anyhow!("order file {}: it is longer than 64 KiB", path.display())));
        }
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| Failure::unreadable("order file", path, &error, missing))?;
        Self::parse(&text).with_context(|| format!("order file {}", path.display())).map_err(Failure::Usage)
    }

    /// Reads copies of one order and takes their signatures together.
    pub(super) fn read_all(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for path in paths {
            all.push((path, Self::read(path)?));
        }
        let mut all = all.into_iter();
        let (_, mut whole) = all.next().ok_or_else(|| Failure::usage(anyhow!("no order file is named")))?;
        for (path, other) in all {
            if (other.community, &other.order, &other.servers) != (whole.community, &whole.order, &whole.servers) {
                let why = "it is another order than the first: name copies of one order only";
                return Err(Failure::usage(anyhow!("order file {}: {why}", path.display())));
            }
            other.signatures.into_iter().for_each(|one| whole.add(one));
        }
        Ok(whole)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let written: Written = serde_json::from_str(text)?;
        let bytes = hex::decode(&written.order).context("order")?;
        // An unsigned order is one with an empty list of signatures.
        let order = SignedOrder::decode(&[&bytes[..], &[0]].concat())?.order;
        let mut members = Vec::new();
        for server in &written.servers {
            members.push((server.key.parse::<ServerKey>().context("a server's key")?, server.power));
        }
        let mut file = Self {
            community: written.community.parse().context("community")?,
            name: written.name,
            symbol: written.symbol,
            decimals: written.decimals,
            quorum: written.quorum.parse().map_err(|error: String| anyhow!(error))?,
            servers: ServerSet::new(members)?,
            order,
            signatures: Vec::new(),
        };
        for one in &written.signatures {
            let (key, signature) = (one.server.parse::<ServerKey>()?, one.signature.parse::<Signature>()?);
            file.check_and_add(key, signature)?;
        }
        if written.what != shown::what(&file) {
            bail!("its words are not what its bytes say: somebody changed it; have it proposed again");
        }
        Ok(file)
    }

    fn check_and_add(&mut self, key: ServerKey, signature: Signature) -> anyhow::Result<()> {
        let Some(number) = self.servers.number(&key) else {
            bail!("it is signed by {key}, which is none of its servers")
        };
        if !key.verifies(&self.order.signed_bytes(&self.community), &signature) {
            bail!("the signature of server {key} does not fit: the order was changed after it was signed");
        }
        self.add(NumberedSignature { number, signature });
        Ok(())
    }

    /// Adds a signature, once for each server.
    pub(super) fn add(&mut self, one: NumberedSignature) {
        self.signatures.retain(|known| known.number != one.number);
        self.signatures.push(one);
        self.signatures.sort_by_key(|one| one.number);
    }

    /// The power behind it.
    pub(super) fn power(&self) -> u64 {
        self.signatures.iter().filter_map(|one| self.servers.member(one.number)).map(|(_, power)| power).sum()
    }

    /// The servers that have not signed.
    pub(super) fn unsigned(&self) -> Vec<ServerKey> {
        let signed = |key: &ServerKey| {
            let number = self.servers.number(key);
            self.signatures.iter().any(|one| Some(one.number) == number)
        };
        self.servers.keys().filter(|key| !signed(key)).collect()
    }

    pub(super) fn signed(&self) -> SignedOrder {
        SignedOrder { order: self.order.clone(), signatures: self.signatures.clone() }
    }

    fn written(&self) -> Vec<u8> {
        let member = |(key, power): &(ServerKey, u64)| WrittenServer { key: key.to_string(), power: *power };
        let signature = |one: &NumberedSignature| {
            let (server, _) = self.servers.member(one.number)?;
            Some(WrittenSignature { server: server.to_string(), signature: one.signature.to_string() })
        };
        let written = Written {
            what: shown::what(self),
            community: self.community.to_string(),
            name: self.name.clone(),
            symbol: self.symbol.clone(),
            decimals: self.decimals,
            quorum: self.quorum.to_string(),
            servers: self.servers.members().iter().map(member).collect(),
            order: hex::encode(self.order.encode()),
            signatures: self.signatures.iter().filter_map(signature).collect(),
        };
        let mut text = serde_json::to_vec_pretty(&written).expect("texts and numbers become JSON");
        text.push(b'\n');
        text
    }

    pub(super) fn write_new(&self, path: &Path) -> Result<(), Failure> {
        if path.exists() {
            return Err(Failure::usage(anyhow!("{} exists already: name another file with --out", path.display())));
        }
        self.rewrite(path)
    }

    pub(super) fn rewrite(&self, path: &Path) -> Result<(), Failure> {
        write_whole(path, &self.written())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use seedbank_types::{Amount, Epoch, OrderKind, ServerSecret};

    use super::*;

    pub(in crate::order_command) fn secret(byte: u8) -> ServerSecret {
        ServerSecret::from_bytes(&[byte; 32])
    }

    pub(in crate::order_command) fn sample() -> OrderFile {
        OrderFile {
            community: CommunityId([7; 32]),
            name: "Village".to_owned(),
            symbol: "VIL".to_owned(),
            decimals: 2,
            quorum: Rule::Majority,
            servers: ServerSet::new((1..=3).map(|byte| (secret(byte).public(), 1))).expect("a set"),
            order: Order { kind: OrderKind::Retire { amount: Amount(500) }, sequence: 2, last_epoch: Epoch(9) },
            signatures: Vec::new(),
        }
    }

    fn sign(file: &mut OrderFile, byte: u8) {
        let signature = secret(byte).sign(&file.order.signed_bytes(&file.community));
        file.check_and_add(secret(byte).public(), signature).expect("a server's");
    }

    #[test]
    fn what_is_written_is_read_back_with_its_signatures() {
        let mut file = sample();
        sign(&mut file, 2);
        sign(&mut file, 1);
        let text = String::from_utf8(file.written()).expect("JSON");
        assert_eq!(OrderFile::parse(&text).expect("its own"), file);
        assert_eq!((file.power(), file.unsigned()), (2, vec![secret(3).public()]));
        assert!(text.contains("retires 5.00 VIL"), "{text}");
    }

    #[test]
    fn words_or_bytes_that_were_changed_are_refused() {
        let mut file = sample();
        sign(&mut file, 2);
        let text = String::from_utf8(file.written()).expect("JSON");
        let bytes = hex::encode(file.order.encode());
        let other = hex::encode(Order { sequence: 3, ..file.order.clone() }.encode());
        for changed in [text.replace("5.00 VIL", "6.00 VIL"), text.replace(&bytes, &other)] {
            assert_ne!(changed, text);
            assert!(OrderFile::parse(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn copies_of_one_order_are_taken_together_and_others_are_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut one, mut two) = (sample(), sample());
        sign(&mut one, 1);
        sign(&mut two, 3);
        let other = OrderFile { order: Order { sequence: 9, ..sample().order }, ..sample() };
        let paths = ["one", "two", "other"].map(|name| dir.path().join(name));
        for (file, path) in [one, two, other].iter().zip(&paths) {
            file.write_new(path).expect("written");
            assert!(file.write_new(path).is_err(), "nothing is overwritten");
        }
        assert_eq!(OrderFile::read_all(&paths[..2]).expect("copies").power(), 2);
        assert!(OrderFile::read_all(&paths).is_err());
    }
}
