//! `seedbank dht put`: stores a text.
use seedbank_dht::Item;
use seedbank_dht_proto::bencode;
use serde_json::json;

use super::ask::Way;
use super::flags::PutFlags;
use crate::errors::Failure;
use crate::network::dht_failure;
use crate::report::Answer;

pub(super) async fn run(way: &Way, flags: &PutFlags) -> Result<Answer, Failure> {
    let item = Item::Immutable { value: bencode::bytes(flags.immutable.as_bytes()) };
    seedbank_dht_proto::check_value(item.value()).map_err(|error| Failure::usage(error, "Give a shorter text."))?;
    let target = item.target();
    let stored = way.start().await?.dht.put(item, None).await.map_err(|error| dht_failure(&error))?;
    let words = format!("target     {target}\nstored on  {} of {} nodes", stored.nodes, stored.tried);
    Ok(Answer::new(words, json!({ "target": target.to_string(), "stored": stored.nodes, "tried": stored.tried })))
}
