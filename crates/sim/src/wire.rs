//! Messages of servers, read by `docs/protocol.md` alone: a second reader beside the quorum's own,
//! and the pen of those who lie.
use seedbank_quorum::Message;
use seedbank_types::{
    Checkpoint, CommunityId, DecodeError, Hash, Header, Reader, ServerKey, ServerSecret, Signature, Writer,
};

/// A vote without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) kind: u8,
    pub(crate) height: u64,
    pub(crate) round: u32,
    pub(crate) value: Option<Hash>,
    pub(crate) key: ServerKey,
}

/// A proposal without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) height: u64,
    pub(crate) round: u32,
    pub(crate) polka: Option<u32>,
    pub(crate) key: ServerKey,
    pub(crate) header: Header,
}

/// What a message says, as far as the simulation cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spoken {
    Vote(Vote),
    Proposal(Box<Proposal>),
    Status { height: u64, epoch: u64, votes: Vec<(Vote, Signature)> },
    Checkpoint { key: ServerKey, checkpoint: Box<Checkpoint> },
    Polka { height: u64, round: u32, hash: Hash },
    Uncertified { epoch: u64, sign_from: u64 },
    Other,
}

impl Spoken {
    /// For people.
    pub(crate) fn describe(&self) -> String {
        let short = |hash: &Hash| hash.to_string().chars().take(8).collect::<String>();
        match self {
            Self::Vote(vote) => {
                let kind = if vote.kind == 1 { "prevote" } else { "precommit" };
                let value = vote.value.as_ref().map_or_else(|| "nil".to_owned(), short);
                format!("{kind} {value} at height {} round {}", vote.height, vote.round)
            }
            Self::Proposal(said) => {
                let (hash, polka) = (short(&said.header.hash()), said.polka);
                format!("proposal {hash} at height {} round {}, polka {polka:?}", said.height, said.round)
            }
            Self::Status { height, epoch, votes } => format!("height {height}, epoch {epoch}, {} votes", votes.len()),
            Self::Checkpoint { checkpoint, .. } => format!("checkpoint of epoch {}", checkpoint.epoch),
            Self::Polka { height, round, hash } => {
                format!("polka for {} at height {height} round {round}", short(hash))
            }
            Self::Uncertified { epoch, sign_from } => {
                format!("epoch {epoch} without certificate, signs from {sign_from}")
            }
            Self::Other => "something else".to_owned(),
        }
    }
}

/// Reads a message.
pub(crate) fn read(bytes: &[u8]) -> Spoken {
    let mut reader = Reader::new("sent message", bytes);
    read_from(&mut reader).expect("what was sent has the format of the protocol")
}

fn read_from(reader: &mut Reader<'_>) -> Result<Spoken, DecodeError> {
    reader.version()?;
    Ok(match reader.u8("kind")? {
        1 => Spoken::Vote(read_vote(reader)?),
        2 => Spoken::Proposal(Box::new(read_proposal(reader)?)),
        3 => Spoken::Polka {
            height: reader.u64("height")?,
            round: reader.u32("round")?,
            hash: Hash(reader.array("header hash")?),
        },
        5 => {
            let (height, epoch, count) = (reader.u64("height")?, reader.u64("epoch")?, reader.u8("votes")?);
            let votes = (0..count).map(|_| Ok((read_vote(reader)?, Signature(reader.array("signature")?))));
            Spoken::Status { height, epoch, votes: votes.collect::<Result<_, DecodeError>>()? }
        }
        6 => Spoken::Checkpoint {
            key: ServerKey(reader.array("key")?),
            checkpoint: Box::new(Checkpoint::decode(reader.take("checkpoint", 257)?)?),
        },
        8 => {
            let (epoch, _closing) = (reader.u64("epoch")?, reader.take("closing header hash", 32)?);
            Spoken::Uncertified { epoch, sign_from: reader.u64("sign from")? }
        }
        _ => Spoken::Other,
    })
}

fn read_vote(reader: &mut Reader<'_>) -> Result<Vote, DecodeError> {
    Ok(Vote {
        kind: reader.u8("kind")?,
        height: reader.u64("height")?,
        round: reader.u32("round")?,
        value: match reader.u8("nil")? {
            0 => None,
            _ => Some(Hash(reader.array("header hash")?)),
        },
        key: ServerKey(reader.array("key")?),
    })
}

fn read_proposal(reader: &mut Reader<'_>) -> Result<Proposal, DecodeError> {
    Ok(Proposal {
        height: reader.u64("height")?,
        round: reader.u32("round")?,
        polka: match reader.u8("polka")? {
            0 => None,
            _ => Some(reader.u32("polka round")?),
        },
        key: ServerKey(reader.array("key")?),
        header: Header::decode(reader.take("header", 285)?)?,
    })
}

impl Vote {
    fn write(&self, writer: Writer) -> Writer {
        let writer = writer.u8(self.kind).u64(self.height).u32(self.round);
        let writer = match &self.value {
            None => writer.u8(0),
            Some(hash) => writer.u8(1).bytes(&hash.0),
        };
        writer.bytes(&self.key.0)
    }

    /// The message that carries it.
    pub(crate) fn sign(&self, community: &CommunityId, secret: &ServerSecret) -> Message {
        let signed = self.write(Writer::default().bytes(b"seedbank/vote/1").bytes(&community.0)).finish();
        message(self.write(Writer::default().u8(1).u8(1)).bytes(&secret.sign(&signed).0))
    }
}

impl Proposal {
    fn write(&self, writer: Writer) -> Writer {
        let writer = writer.u64(self.height).u32(self.round);
        let writer = match self.polka {
            None => writer.u8(0),
            Some(round) => writer.u8(1).u32(round),
        };
        writer.bytes(&self.key.0).bytes(&self.header.encode())
    }

    /// The message that carries it.
    pub(crate) fn sign(&self, community: &CommunityId, secret: &ServerSecret) -> Message {
        let signed = self.write(Writer::default().bytes(b"seedbank/proposal/1").bytes(&community.0)).finish();
        message(self.write(Writer::default().u8(1).u8(2)).bytes(&secret.sign(&signed).0))
    }
}

/// A status.
pub(crate) fn status(height: u64, epoch: u64, votes: &[(Vote, Signature)]) -> Message {
    let count = u8::try_from(votes.len()).expect("as many as were read");
    let writer = Writer::default().u8(1).u8(5).u64(height).u64(epoch).u8(count);
    message(votes.iter().fold(writer, |writer, (vote, signature)| vote.write(writer).bytes(&signature.0)))
}

/// A checkpoint with a signature.
pub(crate) fn checkpoint(checkpoint: &Checkpoint, secret: &ServerSecret) -> Message {
    let signature = checkpoint.sign(secret);
    let writer = Writer::default().u8(1).u8(6).bytes(&secret.public().0).bytes(&checkpoint.encode());
    message(writer.bytes(&signature.0))
}

fn message(writer: Writer) -> Message {
    Message::decode(&writer.finish()).expect("written by the protocol")
}
