//! What servers say to each other on the topics `quorum` and `checkpoints`.
use seedbank_types::{Certificate, Checkpoint, DecodeError, Epoch, Hash, Height, Reader, ServerKey, Signature, Writer};

use crate::engine::wire;
use crate::engine::{Polka, Rounds, SignedProposal, SignedVote};

/// More votes than there can be servers are never read.
const VOTES_MAX: u8 = 64;

/// On which topic a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageTopic {
    /// Votes, proposals, statuses.
    Quorum,
    /// Signatures over checkpoints, and certificates.
    Checkpoints,
}

/// A message of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(pub(crate) Said);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Vote(SignedVote),
    Proposal(Box<SignedProposal>),
    Polka(Polka),
    Rounds(Rounds),
    Status(Status),
    Checkpoint(Box<SignedCheckpoint>),
    Certificate(Box<Certificate>),
    Uncertified(Box<Uncertified>),
}

/// Where a server stands; said every second and to whoever comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The last height it has applied.
    pub height: Height,
    /// The last epoch it knows to be certified.
    pub epoch: Epoch,
    /// For each server, the last vote of its key that was heard, by height, round and kind. It tells a server
    /// with a restored log what its key has said since, and proves it: a liar must not be able to
    /// silence a server that comes back.
    pub(crate) votes: Vec<SignedVote>,
}

/// What a server knows of the last closed epoch while it knows no certificate of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uncertified {
    pub(crate) epoch: Epoch,
    /// Hash of the header that closed it.
    pub(crate) closing_header: Hash,
    /// The first epoch that whoever says this signs again, if its disk may have forgotten something.
    pub(crate) sign_from: Epoch,
    /// Whose signature it has heard, with the hash of the checkpoint.
    pub(crate) signed: Vec<(ServerKey, Hash)>,
}

/// A checkpoint with one server's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// Who signed.
    pub key: ServerKey,
    /// What.
    pub checkpoint: Checkpoint,
    /// The signature.
    pub signature: Signature,
}

impl Message {
    /// The topic it travels on.
    #[must_use]
    pub const fn topic(&self) -> MessageTopic {
        match &self.0 {
            Said::Vote(_) | Said::Proposal(_) | Said::Polka(_) | Said::Rounds(_) | Said::Status(_) => {
                MessageTopic::Quorum
            }
            Said::Checkpoint(_) | Said::Certificate(_) | Said::Uncertified(_) => MessageTopic::Checkpoints,
        }
    }

    /// `version u8 ‖ kind u8 ‖ fields`; kinds: 1 vote, 2 proposal, 3 polka, 4 round certificate,
    /// 5 status, 6 signed checkpoint, 7 certificate, 8 uncertified epoch.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::default().u8(1);
        match &self.0 {
            Said::Vote(vote) => wire::write_signed_vote(writer.u8(1), vote),
            Said::Proposal(proposal) => wire::write_signed_proposal(writer.u8(2), proposal),
            Said::Polka(polka) => wire::write_polka(writer.u8(3), polka),
            Said::Rounds(rounds) => wire::write_rounds(writer.u8(4), rounds),
            Said::Status(status) => status.write(writer.u8(5)),
            Said::Checkpoint(signed) => {
                writer.u8(6).bytes(&signed.key.0).bytes(&signed.checkpoint.encode()).bytes(&signed.signature.0)
            }
            Said::Certificate(certificate) => writer.u8(7).bytes(&certificate.encode()),
            Said::Uncertified(uncertified) => uncertified.write(writer.u8(8)),
        }
        .finish()
    }

    /// Reads what [`Message::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("message of a server", bytes);
        reader.version()?;
        let said = match reader.u8("kind")? {
            1 => Said::Vote(wire::read_signed_vote(&mut reader)?),
            2 => Said::Proposal(Box::new(wire::read_signed_proposal(&mut reader)?)),
            3 => Said::Polka(wire::read_polka(&mut reader)?),
            4 => Said::Rounds(wire::read_rounds(&mut reader)?),
            5 => Said::Status(Status::read(&mut reader)?),
            6 => Said::Checkpoint(Box::new(SignedCheckpoint {
                key: ServerKey(reader.array("key")?),
                checkpoint: Checkpoint::read(&mut reader)?,
                signature: Signature(reader.array("signature")?),
            })),
            7 => Said::Certificate(Box::new(Certificate::read(&mut reader)?)),
            8 => Said::Uncertified(Box::new(Uncertified::read(&mut reader)?)),
            other => return Err(reader.error("kind", format!("no message has kind {other}"))),
        };
        reader.finish()?;
        Ok(Self(said))
    }
}

impl Status {
    fn write(&self, writer: Writer) -> Writer {
        let count = u8::try_from(self.votes.len()).expect("one vote of each server in at most three sets of 13");
        let writer = writer.u64(self.height.0).u64(self.epoch.0).u8(count);
        self.votes.iter().fold(writer, wire::write_signed_vote)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (height, epoch) = (Height(reader.u64("height")?), Epoch(reader.u64("epoch")?));
        let count = reader.u8("number of votes")?;
        if count > VOTES_MAX {
            return Err(reader.error("number of votes", format!("{count}, at most {VOTES_MAX}")));
        }
        let votes = (0..count).map(|_| wire::read_signed_vote(reader)).collect::<Result<_, DecodeError>>()?;
        Ok(Self { height, epoch, votes })
    }
}

impl Uncertified {
    fn write(&self, writer: Writer) -> Writer {
        let count = u8::try_from(self.signed.len()).expect("one signature of each server in at most three sets of 13");
        let writer = writer.u64(self.epoch.0).bytes(&self.closing_header.0).u64(self.sign_from.0).u8(count);
        self.signed.iter().fold(writer, |writer, (key, hash)| writer.bytes(&key.0).bytes(&hash.0))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (epoch, closing_header) = (Epoch(reader.u64("epoch")?), Hash(reader.array("closing header hash")?));
        let (sign_from, count) = (Epoch(reader.u64("sign from")?), reader.u8("number of signatures")?);
        if count > VOTES_MAX {
            return Err(reader.error("number of signatures", format!("{count}, at most {VOTES_MAX}")));
        }
        let one =
            |reader: &mut Reader<'_>| Ok((ServerKey(reader.array("key")?), Hash(reader.array("checkpoint hash")?)));
        let signed = (0..count).map(|_| one(reader)).collect::<Result<_, DecodeError>>()?;
        Ok(Self { epoch, closing_header, sign_from, signed })
    }
}
