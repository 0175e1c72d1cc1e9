//! `seedbank dht get`: an item, and how many nodes hold it.
use std::time::Instant;

use seedbank_dht::{Id, Item, LookUp};
use seedbank_dht_proto::SALT_BYTES_MAX;
use seedbank_types::ServerKey;
use serde_json::json;

use super::ask::{Way, nobody_answered};
use super::flags::GetFlags;
use super::item::{Said, target_of};
use super::value;
use crate::errors::{Exit, Failure};
use crate::network::dht_failure;
use crate::report::{self, Answer, Voice};
use crate::settings::Settings;

/// What is looked for.
#[derive(Debug, PartialEq, Eq)]
struct Sought {
    key: Option<ServerKey>,
    salt: Vec<u8>,
    target: Id,
}

pub(super) async fn run(settings: &Settings, way: &Way, flags: &GetFlags) -> Result<Answer, Failure> {
    let sought = Sought::new(flags)?;
    let asker = way.start().await?;
    let (voice, started) = (settings.voice, Instant::now());
    let look_up = asker.dht.look_up_telling(sought.target, sought.salt.clone(), |item| tell(voice, started, item));
    let found = look_up.await.map_err(|error| dht_failure(&error))?;
    let said = found.item.as_ref().and_then(|item| Said::new(item, way.trusted.as_ref(), report::now()));
    let words = words(&sought, &found, said.as_ref());
    Ok(Answer::new(words, json(&sought, &found, said.as_ref())).with(sought.missing(&found)))
}

impl Sought {
    fn new(flags: &GetFlags) -> Result<Self, Failure> {
        let salt = salt(flags)?;
        let wrong = |why: &str| {
            let message = format!("{:?} is neither a key nor a target: {why}", flags.what);
            Failure::usage(message, "Give a key of 64 hex digits, such as a line of the trust file, or a target of 40.")
        };
        match flags.what.len() {
            40 => {
                let target = Id::from_hex(&flags.what).ok_or_else(|| wrong("it has other signs than hex digits"))?;
                Ok(Self { key: None, salt, target })
            }
            64 => {
                let key: ServerKey = flags
                    .what
                    .parse()
                    .map_err(|_bad: seedbank_types::HexError| wrong("it has other signs than hex digits"))?;
                let key =
                    Some(key).filter(ServerKey::is_valid).ok_or_else(|| wrong("no Ed25519 key has these bytes"))?;
                Ok(Self { key: Some(key), target: target_of(key, &salt), salt })
            }
            length => Err(wrong(&format!("it has {length} signs"))),
        }
    }

    /// Why there is nothing to show.
    fn missing(&self, found: &LookUp) -> Option<Failure> {
        if found.item.is_some() {
            return None;
        }
        if found.answered == 0 {
            return Some(nobody_answered());
        }
        let next = match self {
            Self { key: None, salt, .. } if salt.is_empty() => "If it is a mutable item with a salt, give --salt.",
            Self { key: None, .. } => "Check target and salt; nodes forget items after two hours.",
            _ => "Check the key and the salt, and that its owner has put something in the last two hours.",
        };
        let message = format!("no node holds an item with target {}", self.target);
        Some(Failure::new(Exit::NotFound, message, next))
    }
}

fn salt(flags: &GetFlags) -> Result<Vec<u8>, Failure> {
    let next = format!("A salt has at most {SALT_BYTES_MAX} bytes.");
    let salt = match (&flags.salt, &flags.salt_hex) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(digits)) => {
            hex::decode(digits).map_err(|error| Failure::usage(format!("--salt-hex is {digits:?}: {error}"), &next))?
        }
        (None, None) => Vec::new(),
    };
    if salt.len() > SALT_BYTES_MAX {
        return Err(Failure::usage(format!("the salt has {} bytes", salt.len()), next));
    }
    Ok(salt)
}

/// A value as it comes; a better one may follow.
fn tell(voice: Voice, started: Instant, item: &Item) {
    let after = started.elapsed().as_millis();
    match item.seq() {
        Some(seq) => voice.aside(&format!("seq {seq} after {after} ms, looking on")),
        None => voice.aside(&format!("found after {after} ms, counting who holds it")),
    }
}

fn words(sought: &Sought, found: &LookUp, said: Option<&Said>) -> String {
    let mut lines = vec![format!("target     {}", sought.target)];
    if let Some(Item::Mutable(item)) = &found.item {
        lines.push(format!("key        {}", item.key));
        lines.push(format!("seq        {}", item.seq));
    }
    match (&found.item, said) {
        (_, Some(said)) => {
            lines.push(format!("record     {}", said.words()));
            lines.extend(said.contacts().map(|contact| format!("contact    {contact}")));
        }
        (Some(item), None) => lines.push(format!("value      {}", value::readable(item.value()))),
        (None, None) => {}
    }
    lines.push(held(found));
    lines.join("\n")
}

fn held(found: &LookUp) -> String {
    let LookUp { holders, asked, answered, .. } = found;
    format!("held by    {holders} of {asked} nodes asked; {answered} answered")
}

fn json(sought: &Sought, found: &LookUp, said: Option<&Said>) -> serde_json::Value {
    let item = found.item.as_ref();
    let key = match item {
        Some(Item::Mutable(item)) => Some(item.key),
        _ => sought.key,
    };
    json!({
        "target": sought.target.to_string(),
        "key": key.map(|key| key.to_string()),
        "salt_hex": hex::encode(&sought.salt),
        "seq": item.and_then(Item::seq),
        "value": item.map(|item| value::readable(item.value())),
        "value_hex": item.map(|item| hex::encode(item.value())),
        "record": said.map(Said::json),
        "holders": found.holders,
        "asked": found.asked,
        "answered": found.answered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought(what: &str, salt: Option<&str>, salt_hex: Option<&str>) -> Result<Sought, Failure> {
        let [salt, salt_hex] = [salt, salt_hex].map(|text| text.map(str::to_owned));
        Sought::new(&GetFlags { what: what.to_owned(), salt, salt_hex })
    }

    #[test]
    fn a_key_or_a_target_is_told_by_its_length() {
        let key = crate::samples::secrets()[0].public();
        let by_key = sought(&key.to_string(), Some("ab"), None).expect("a key");
        assert_eq!((by_key.key, by_key.target), (Some(key), target_of(key, b"ab")));
        assert_eq!(sought(&key.to_string(), None, Some("6162")), Ok(by_key));
        assert_eq!(sought(&"0a".repeat(20), None, None).expect("a target").target, Id([10; 20]));
    }

    #[test]
    fn what_is_neither_is_wrong_use_and_says_why() {
        let refused = |what: &str, why: &str| {
            let failure = sought(what, None, None).expect_err(what);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(why), "{}", failure.message);
        };
        refused("abc", "it has 3 signs");
        refused(&"zz".repeat(20), "hex");
        refused(&"zz".repeat(32), "hex");
        refused(&"00".repeat(32), "no Ed25519 key");
    }

    #[test]
    fn a_salt_has_at_most_64_bytes() {
        let target = "0a".repeat(20);
        assert!(sought(&target, Some(&"x".repeat(64)), None).is_ok());
        assert!(sought(&target, Some(&"x".repeat(65)), None).expect_err("too long").message.contains("65"));
        assert!(sought(&target, None, Some("abc")).expect_err("odd").message.contains("--salt-hex"));
    }
}
