//! Items, and the records of servers among them.
use seedbank_dht::{FoundRecord, Id, Item, MutableItem};
use seedbank_types::{Contact, Grade, ServerKey, ServerRecord, Signature, TimeMs};
use serde_json::{Value, json};

use super::value;
use crate::judge::Judge;
use crate::report;
use crate::settings::Trusted;

/// Where the mutable item of a key and a salt is kept.
pub(super) fn target_of(key: ServerKey, salt: &[u8]) -> Id {
    let (salt, value) = (salt.to_vec(), Vec::new());
    Item::Mutable(MutableItem { key, salt, seq: 0, signature: Signature([0; 64]), value }).target()
}

/// The item as the record that it may be.
pub(super) fn as_found(item: &Item) -> Option<FoundRecord> {
    let Item::Mutable(item) = item else { return None };
    let (seq, value) = (u64::try_from(item.seq).ok()?, value::string_of(&item.value)?.to_vec());
    item.salt.is_empty().then_some(FoundRecord { key: item.key, seq, value, signature: item.signature })
}

/// What the record in an item says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) record: ServerRecord,
    /// Whether the trust file's servers signed it; nobody knows without one that names its server.
    judged: Option<Result<Grade, String>>,
    age_ms: u64,
}

impl Said {
    pub(super) fn new(item: &Item, trusted: Option<&Trusted>, now: TimeMs) -> Option<Self> {
        let found = as_found(item)?;
        let record = ServerRecord::decode(&found.value).ok()?;
        let trusted = trusted.filter(|trusted| trusted.file.servers.number(&found.key).is_some());
        let judge = |trusted: &Trusted| Judge::new(&trusted.file, trusted.community);
        let judged = trusted.map(|trusted| judge(trusted).grade(&record.certificate, now));
        let age_ms = now.since(record.certificate.checkpoint.time);
        Some(Self { judged: judged.map(|judged| judged.map_err(|why| why.to_string())), age_ms, record })
    }

    /// In one line.
    pub(super) fn words(&self) -> String {
        let (checkpoint, age) = (&self.record.certificate.checkpoint, report::age(self.age_ms));
        let signers: Vec<_> = self.signers().map(|number| number.to_string()).collect();
        let (epoch, signers) = (report::grouped(checkpoint.epoch.0), signers.join(", "));
        format!("epoch {epoch}, {age} old, signed by servers {signers}; {}", self.judgement())
    }

    pub(super) fn json(&self) -> Value {
        let checkpoint = &self.record.certificate.checkpoint;
        json!({
            "community": checkpoint.community.to_string(),
            "epoch": checkpoint.epoch.0,
            "age_s": self.age_ms / 1000,
            "root": checkpoint.root.to_string(),
            "infohash": checkpoint.snapshot.info_hash.to_string(),
            "signers": self.signers().collect::<Vec<_>>(),
            "contacts": self.contacts().collect::<Vec<_>>(),
            "grade": self.judged.as_ref().and_then(|judged| judged.as_ref().ok()).map(ToString::to_string),
            "problem": self.judged.as_ref().and_then(|judged| judged.as_ref().err()),
        })
    }

    pub(super) fn contacts(&self) -> impl Iterator<Item = String> {
        let text = |(Contact::Mesh(text) | Contact::Api(text)): &Contact| report::shown(text);
        self.record.contacts.iter().map(text)
    }

    fn signers(&self) -> impl Iterator<Item = u8> {
        self.record.certificate.signatures.iter().map(|one| one.number)
    }

    fn judgement(&self) -> String {
        match &self.judged {
            Some(Ok(grade)) => format!("grade {grade}"),
            Some(Err(problem)) => format!("NOT BELIEVED: {problem}"),
            None => "not checked: no trust file names this server".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use seedbank_types::ServerSecret;

    use super::*;
    use crate::samples::{self, NOW, certificate, trust};

    fn item(value: &[u8]) -> Item {
        let value = seedbank_dht_proto::bencode::bytes(value);
        Item::Mutable(MutableItem::sign(&samples::secrets()[0], vec![], 5, value))
    }

    fn trusted() -> Trusted {
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        Trusted { file: trust(), text: String::new(), community: None, ip, api: None }
    }

    fn record(signers: &[u8]) -> Item {
        let record = ServerRecord { certificate: certificate(4, 1, signers), contacts: Vec::new() };
        item(&record.encode())
    }

    #[test]
    fn a_record_is_told_with_what_its_signatures_are_worth() {
        let words = |item: &Item, trusted: Option<&Trusted>| Said::new(item, trusted, NOW).expect("a record").words();
        let trusted = trusted();
        assert!(words(&record(&[0, 1, 2]), Some(&trusted)).ends_with("signed by servers 0, 1, 2; grade byzantine"));
        assert!(words(&record(&[0]), Some(&trusted)).contains("NOT BELIEVED"));
        assert!(words(&record(&[0, 1]), None).contains("not checked"));
        assert!(words(&record(&[0, 1]), None).starts_with("epoch 4, 16 min old"));
    }

    #[test]
    fn what_is_no_record_is_not_told_as_one() {
        assert!(Said::new(&item(b"something else"), None, NOW).is_none());
        assert!(Said::new(&Item::Immutable { value: b"4:text".to_vec() }, None, NOW).is_none());
        let salted = MutableItem::sign(&ServerSecret::from_bytes(&[1; 32]), b"salt".to_vec(), 5, b"1:x".to_vec());
        assert!(as_found(&Item::Mutable(salted)).is_none());
    }

    #[test]
    fn the_target_is_that_of_the_item() {
        let key = samples::secrets()[0].public();
        assert_eq!(target_of(key, b""), item(b"x").target());
        assert_ne!(target_of(key, b"salt"), item(b"x").target());
    }
}
