//! What every fuzz target asserts: a decoder does not panic, and what it accepts is written back as
//! the same bytes; and one server that whatever is decoded may be said to.
use std::collections::BTreeMap;

use seedbank_quorum::{Chain, Input, Message, Now, Quorum, QuorumError, Recovered, Settings};
use seedbank_types::{
    AccountId, AccountRecord, Amount, DecodeError, Genesis, Hash, Rule, ServerSecret, ServerSet, TimeMs,
};

/// Decodes; what was accepted must be the one encoding of its value.
pub fn written_back<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, DecodeError>, encode: impl Fn(&T) -> Vec<u8>) {
    if let Ok(value) = decode(bytes) {
        assert_eq!(encode(&value), bytes, "two encodings of one value");
    }
}

/// A server of three that never ran, with this log.
pub fn server(log: Vec<Vec<u8>>) -> Result<Quorum, QuorumError> {
    let genesis = genesis();
    let recovered = Recovered { log, ..Recovered::fresh(Chain::genesis(&genesis)) };
    Quorum::new(Settings::new(&genesis, ServerSecret::from_bytes(&[1; 32])), recovered)
}

/// A server starts with this log and replays it once it has heard the others.
pub fn replay(log: Vec<Vec<u8>>) {
    if let Ok(mut quorum) = server(log) {
        hear_others(&mut quorum);
        say(&mut quorum, 2, 2_000, &[]);
    }
}

/// Says messages to a server that takes part, some time apart: `from u8 ‖ wait u8 ‖ length u16 ‖ message`, repeated.
pub fn converse(mut bytes: &[u8]) {
    let mut quorum = server(Vec::new()).expect("an empty log");
    let mut ms = 0;
    hear_others(&mut quorum);
    while let [from, wait, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (message, rest) = rest.split_at(length);
        ms += u64::from(*wait) * 8;
        say(&mut quorum, 2 + from % 2, ms, message);
        bytes = rest;
    }
}

fn hear_others(quorum: &mut Quorum) {
    for from in [2, 3] {
        let empty_status = [&[1, 5][..], &[0; 17]].concat();
        say(quorum, from, 0, &empty_status);
    }
}

fn say(quorum: &mut Quorum, from: u8, ms: u64, bytes: &[u8]) {
    let accounts: BTreeMap<AccountId, AccountRecord> = BTreeMap::new();
    let now = Now { wall: TimeMs(ms), steady_ms: ms };
    let input = match Message::decode(bytes) {
        Ok(message) => Input::Message { from: ServerSecret::from_bytes(&[from; 32]).public(), message },
        Err(_) => Input::Body(bytes.to_vec()),
    };
    drop(quorum.handle(now, input, &accounts));
    drop(quorum.handle(now, Input::Stored(u64::MAX), &accounts));
}

fn genesis() -> Genesis {
    Genesis {
        created: TimeMs(0),
        epoch_ms: 1_000,
        full_interval: 1,
        quorum: Rule::Majority,
        decimals: 2,
        name: "Fuzz".to_owned(),
        symbol: "F".to_owned(),
        fee_account: AccountId([3; 20]),
        minimum_fee: Amount(1),
        opening_minimum: Amount(1),
        root: Hash([0; 32]),
        count: 1,
        supply: Amount(0),
        servers: ServerSet::new([1, 2, 3].map(|n| (ServerSecret::from_bytes(&[n; 32]).public(), 1))).expect("a set"),
    }
}
