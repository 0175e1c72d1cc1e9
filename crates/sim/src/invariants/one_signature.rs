//! No key contradicts itself, whatever happened to its disk: one vote a height, round and kind, one
//! proposal a height and round, one checkpoint an epoch.
use std::collections::BTreeMap;

use seedbank_quorum::Message;
use seedbank_types::{Reader, ServerKey};

/// All that servers ever sent, by what it is about.
#[derive(Debug, Default)]
pub struct Spoken {
    said: BTreeMap<(ServerKey, Subject), Vec<u8>>,
}

/// What a signature is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Vote { kind: u8, height: u64, round: u32 },
    Proposal { height: u64, round: u32 },
    Checkpoint { epoch: u64 },
}

impl Spoken {
    /// Panics if the message contradicts an earlier one of the same key. The bytes are read here once
    /// more, by `docs/protocol.md` alone, so that the quorum's own reader is checked as well.
    pub fn hear(&mut self, message: &Message) {
        let bytes = message.encode();
        let Some((key, subject, value)) = read(&bytes) else { return };
        let before = self.said.entry((key, subject)).or_insert_with(|| value.clone());
        assert_eq!(*before, value, "server {key} contradicts itself about {subject:?}");
    }

    /// How many different things were signed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.said.len()
    }
}

fn read(bytes: &[u8]) -> Option<(ServerKey, Subject, Vec<u8>)> {
    let mut reader = Reader::new("sent message", bytes);
    let fields = (|| {
        reader.version()?;
        let kind = reader.u8("kind")?;
        Ok::<_, seedbank_types::DecodeError>(match kind {
            1 => {
                let (kind, height, round) = (reader.u8("kind")?, reader.u64("height")?, reader.u32("round")?);
                let value = match reader.u8("nil")? {
                    0 => Vec::new(),
                    _ => reader.take("header hash", 32)?.to_vec(),
                };
                Some((ServerKey(reader.array("key")?), Subject::Vote { kind, height, round }, value))
            }
            2 => {
                let (height, round) = (reader.u64("height")?, reader.u32("round")?);
                if reader.u8("polka")? == 1 {
                    reader.u32("polka round")?;
                }
                let key = ServerKey(reader.array("key")?);
                Some((key, Subject::Proposal { height, round }, reader.take("header", 285)?.to_vec()))
            }
            6 => {
                let key = ServerKey(reader.array("key")?);
                let checkpoint = reader.take("checkpoint", 257)?;
                let mut epoch = [0; 8];
                epoch.copy_from_slice(&checkpoint[33..41]);
                Some((key, Subject::Checkpoint { epoch: u64::from_be_bytes(epoch) }, checkpoint.to_vec()))
            }
            _ => None,
        })
    })();
    fields.expect("what was sent has the format of the protocol")
}
